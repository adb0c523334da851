// Package gateway is the authorizing reverse proxy: it lets requests through
// to an upstream when their token is good enough.
//
// It owns what passes between client and upstream: which headers are believed,
// which are taken away, what is logged and what a client is told. It does not
// know keys or evidence; a [ctb.Verifier] does, and its Protect answers every
// request that is refused.
//
// What is not configurable: every request needs a token, and who has none is
// answered within seconds, whatever is left of his body; the client's own
// X-Forwarded-* and Forwarded headers never reach the upstream; a connection is
// upgraded to websocket or tcp alone; redirects of the upstream are passed on,
// not followed; no proxy is taken from the environment.
//
// The server that runs the gateway bounds what comes before a request: set its
// ReadHeaderTimeout, IdleTimeout and MaxHeaderBytes.
package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/confidential-token-broker/ctb"
)

// Config is what a gateway needs.
type Config struct {
	// Upstream is where requests go: http or https, a host, and perhaps a path
	// that is put before the request's. Required.
	Upstream *url.URL
	// Verifier judges the tokens. Required. With [NoteRefusal] as its
	// OnRefusal, the log says why a request was turned away.
	Verifier *ctb.Verifier
	// Requirements must all be met by a token.
	Requirements []ctb.Requirement
	// ForwardToken passes the Authorization header on to the upstream. A
	// bearer token opens whatever accepts its audience to everyone who
	// sees it, so the upstream gets it only if it needs it.
	ForwardToken bool
	// Transport goes to the upstream; nil means [NewTransport]'s.
	Transport http.RoundTripper
	// Logger gets a line for every request, at level Info, or Error where the
	// upstream failed; nil means none. No line has a token, a query or a claim
	// but jti in it. Of requests without a good token it gets at most 100 lines
	// a second, and then one at level Warn that counts the others.
	Logger *slog.Logger
}

// New returns the gateway. It refuses a configuration that would let everything through.
func New(c Config) (http.Handler, error) {
	if c.Verifier == nil {
		return nil, errors.New("verifier: missing; a gateway without one would let everything through")
	}
	if err := checkUpstream(c.Upstream); err != nil {
		return nil, err
	}
	for i, r := range c.Requirements {
		if err := r.Validate(); err != nil {
			return nil, fmt.Errorf("requirements[%d]: %w", i, err)
		}
	}
	if c.Transport == nil {
		c.Transport = NewTransport()
	}
	h := c.Verifier.Protect(welcome(noteToken(newProxy(c))), c.Requirements...)
	h = holdBriefly(refusePaths(h))
	if c.Logger == nil {
		return h, nil
	}
	return &accessLog{next: h, log: c.Logger}, nil
}

// checkUpstream accepts only URLs whose every part has an effect.
func checkUpstream(u *url.URL) error {
	switch {
	case u == nil:
		return errors.New("upstream: missing")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("upstream: got scheme %q, want http or https", u.Scheme)
	case u.Host == "" || u.Hostname() == "":
		return errors.New("upstream: has no host")
	case u.User != nil:
		return errors.New("upstream: has a user name, which would not be sent")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("upstream: has a query or fragment, want scheme, host and perhaps a path")
	}
	return nil
}
