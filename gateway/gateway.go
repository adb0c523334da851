// Package gateway is the authorizing reverse proxy: it lets requests through
// to an upstream when who asks may.
//
// It owns the decision, and what passes between client and upstream: which
// headers are believed, which are taken away, what is logged and what a client
// is told. It does not know keys, whitelists or evidence: an
// [access.Authenticator] finds out who asks, and package credential has them.
// [Gateway.Decide] is the decision without the proxy, [Gateway.Authorize] the
// same for other proxies that ask.
//
// What is not configurable: who has shown no good credential is answered within
// seconds, whatever is left of his body; what a client says of itself in
// X-Forwarded-*, Forwarded, or in a header that carries a claim never reaches
// the upstream; where paths decide, a path that could be read in two ways is
// refused; a connection is upgraded to websocket or tcp alone; redirects of the
// upstream are passed on, not followed; no proxy is taken from the environment.
//
// The server that runs the gateway bounds what comes before a request: set its
// ReadHeaderTimeout, IdleTimeout, MaxHeaderBytes and, for net/http reads a body before it
// answers "OPTIONS *", DisableGeneralOptionsHandler.
package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/limit"
	"github.com/confidential-token-broker/ctb/gateway/session"
)

// Config is what a gateway needs.
type Config struct {
	// Upstream is where requests go: http or https, a host, and perhaps a path
	// that is put before the request's. Nil means that the gateway decides only,
	// for others that ask; as a handler it then refuses everything.
	Upstream *url.URL
	// Transport goes to the upstream; nil means [NewTransport]'s.
	Transport http.RoundTripper

	// Credentials finds out who asks. Required, unless Open.
	Credentials access.Authenticator
	// Open lets everything through, whoever asks. Dangerous: it is for a notary
	// that has its authorization disabled. It is refused together with
	// Credentials, Requirements, Deny and Routes.
	Open bool
	// Requirements must all be met by a token, wherever it goes. They do not concern API keys.
	Requirements []ctb.Requirement
	// Deny turns a token away that meets one of them. A claim of an unexpected
	// type counts as meeting it.
	Deny []ctb.Requirement
	// Routes say who may ask for what. The first that fits counts, and what
	// fits none is refused. Without any, every good credential is enough for everything.
	Routes []Route

	// Sessions are the notary's; nil means none. Their two paths come before the routes.
	Sessions *session.Sessions
	// Limits bound what one identity may ask for; nil means no limits.
	Limits *limit.Limits

	// Profile is the form of refusals; empty means [Strict].
	Profile Profile
	// CORS lets scripts of other origins read answers; nil means that the
	// upstream says who may. Profile Notary lets all of them, whatever stands here.
	CORS *CORS
	// ForwardToken passes credentials on to the upstream. A bearer token opens
	// whatever accepts its audience to everyone who sees it, so the upstream
	// gets it only if it needs it.
	ForwardToken bool
	// ClaimHeaders tell the upstream who asks.
	ClaimHeaders []ClaimHeader
	// TrustedProxies may say whom they speak for: their X-Forwarded-For, -Host
	// and -Proto, Forwarded and X-Request-Id are believed, and added to. What
	// everyone else says of these is taken away.
	TrustedProxies []netip.Prefix
	// IdleTimeout cuts an upgraded connection on which no byte has moved for so
	// long, in either direction; 0 means never.
	IdleTimeout time.Duration

	// Observer counts; nil means nobody does.
	Observer Observer
	// Logger gets a line for every request, at level Info, or Error where the
	// keys cannot be had or the upstream failed; nil means none. No line has a
	// credential, a query or a claim but jti in it. Of requests without a good
	// credential, and of refusals, it gets at most 100 lines a second, and then
	// one at level Warn that counts the others.
	Logger *slog.Logger
}

// Gateway decides, and forwards what it allows. It is safe for concurrent use.
type Gateway struct {
	config        Config
	routes        []route
	claims        []claimHeader
	named         map[string]bool // folded names of the headers that carry claims
	cors          *CORS           // nil: the upstream's business
	proxy         *httputil.ReverseProxy
	methodsDecide bool // a route depends on the method, or a session
	buffers       buffers
	refusals      ration       // of the log
	held          atomic.Int64 // refusals over HTTP/2 under way
}

// New returns the gateway. It refuses a configuration that would let everything
// through without saying so.
func New(c Config) (*Gateway, error) {
	if c.Profile == "" {
		c.Profile = Strict
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Requirements, c.Deny = slices.Clone(c.Requirements), slices.Clone(c.Deny)
	c.TrustedProxies = slices.Clone(c.TrustedProxies)
	g := &Gateway{config: c, routes: compileRoutes(c.Routes), cors: c.CORS}
	if c.Profile == Notary {
		g.cors = &CORS{Origins: []string{"*"}}
	}
	g.methodsDecide = c.Sessions != nil || slices.ContainsFunc(c.Routes, func(r Route) bool { return len(r.Methods) > 0 })
	g.claims, g.named = compileClaims(c.ClaimHeaders)
	if c.Upstream != nil {
		g.proxy = g.newProxy()
	}
	return g, nil
}

// check finds what is missing, contradicting or malformed. Every error names the field.
func (c *Config) check() error {
	switch {
	case c.Credentials == nil && !c.Open:
		return errors.New("credentials: missing; a gateway without them would let everything through")
	case c.Open && (c.Credentials != nil || len(c.Requirements)+len(c.Deny)+len(c.Routes) > 0):
		return errors.New("open: lets everything through, so credentials, requirements, deny and routes beside it would mean nothing")
	case c.Sessions != nil && c.Upstream == nil:
		return errors.New("sessions: there is no upstream to connect to")
	case c.Profile != Strict && c.Profile != Notary:
		return fmt.Errorf("profile: got %.40q, want %s or %s", c.Profile, Strict, Notary)
	case c.IdleTimeout < 0:
		return fmt.Errorf("idle timeout: got %v, want a positive one, or 0 for none", c.IdleTimeout)
	}
	if err := checkUpstream(c.Upstream); err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	if c.CORS != nil {
		if err := c.CORS.Validate(); err != nil {
			return fmt.Errorf("cors: %w", err)
		}
	}
	if i, err := firstFault(c.Requirements); err != nil {
		return fmt.Errorf("requirements[%d]: %w", i, err)
	}
	if i, err := firstFault(c.Deny); err != nil {
		return fmt.Errorf("deny[%d]: %w", i, err)
	}
	if i, err := firstFault(c.ClaimHeaders); err != nil {
		return fmt.Errorf("claim headers[%d]: %w", i, err)
	}
	if i, err := firstFault(c.Routes); err != nil {
		return fmt.Errorf("routes[%d]: %w", i, err)
	}
	if err := checkNames(c.ClaimHeaders); err != nil {
		return err
	}
	return checkReach(c.Routes)
}

// firstFault returns the first of a list that is not well formed, and why.
func firstFault[T interface{ Validate() error }](list []T) (int, error) {
	for i, v := range list {
		if err := v.Validate(); err != nil {
			return i, err
		}
	}
	return 0, nil
}

// checkUpstream accepts only URLs whose every part has an effect.
func checkUpstream(u *url.URL) error {
	switch {
	case u == nil:
		return nil
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("got scheme %q, want http or https", u.Scheme)
	case u.Host == "" || u.Hostname() == "":
		return errors.New("has no host")
	case u.User != nil:
		return errors.New("has a user name, which would not be sent")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("has a query or fragment, want scheme, host and perhaps a path")
	}
	return nil
}
