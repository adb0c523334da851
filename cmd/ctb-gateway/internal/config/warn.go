package config

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/credential"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// warn collects what is allowed but better not so.
func (r *reader) warn() {
	c := r.config
	say := func(format string, args ...any) { c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...)) }
	if !c.Enabled {
		why := "there is no authorization"
		if r.file.Has("authorization.enabled") {
			why = r.file.Written("authorization.enabled") + " is false"
			for _, v := range c.Variables {
				if name, ok := strings.CutSuffix(v, " (authorization.enabled)"); ok {
					why += ", as the environment variable " + name + " says"
				}
			}
		}
		say("EVERYTHING IS OPEN: %s, so every request of everyone is let through, without a credential", why)
		if a := r.schema.Authorization; a != nil && (a.JWT != nil || a.Whitelist != nil || a.Routes != nil) {
			say("what else %s says is checked, but has no effect", r.file.Written("authorization"))
		}
	}
	if c.Upstream != nil && c.TLS == nil && !isLoopback(c.Listen) {
		say("credentials can be read on the way here: plain HTTP on %s, which is not loopback; let TLS end close by, or set tls", c.Listen)
	}
	if c.Upstream != nil && c.ForwardToken && !fetch.Private(c.Upstream.URL) {
		say("tokens can be read on the way to the upstream: forward_token, and plain HTTP to %s", c.Upstream.URL.Host)
	}
	if c.Profile == gateway.Strict && len(c.sessionKeys) > 0 {
		say("sessions are off under profile strict, so these bound nothing here: %s; sessions: on has the gateway keep them", strings.Join(c.sessionKeys, ", "))
	}
	r.warnOfEmptyLists(say)
	c.warnOfPlaces(say)
	c.warnOfIssuers(say)
	c.warnOfRoutes(say)
	for _, p := range c.TrustedProxies {
		if p.Bits() == 0 {
			say("trusted_proxies has %s, which is everyone: whoever asks can say to be any address", p)
		}
	}
	for _, l := range [][3]string{
		{"authorize", c.Authorize, "learn which credentials are good"},
		{"ext_authz", c.ExtAuthz, "learn which credentials are good"},
		{"admin", c.Admin, "read the metrics"},
	} {
		if l[1] != "" && !isLoopback(l[1]) {
			say("%s listens on %s, which is not loopback: whoever reaches it can %s", l[0], l[1], l[2])
		}
	}
}

// warnOfEmptyLists is about rules that may have been lost on the way into the file.
func (r *reader) warnOfEmptyLists(say func(string, ...any)) {
	a := r.schema.Authorization
	if a == nil || a.JWT == nil {
		return
	}
	for _, l := range []struct {
		key   string
		count int
	}{{"claims", len(a.JWT.Claims)}, {"scopes", len(a.JWT.Scopes)}, {"deny", len(a.JWT.Deny)}} {
		if key := "authorization.jwt." + l.key; l.count == 0 && r.file.Has(key) {
			say("%s is an empty list, which asks for nothing", r.file.Written(key))
		}
	}
}

// warnOfPlaces is about credentials that come without anybody's doing, or stay where they were seen.
func (c *Config) warnOfPlaces(say func(string, ...any)) {
	for _, p := range c.TokenFrom {
		switch p.Kind {
		case credential.Query:
			say("tokens in the query parameter %s stay in histories and in the logs of proxies before this one: use it only where no header can be set", p.Name)
		case credential.Cookie:
			say("browsers send the cookie %s with requests that other sites cause: give it SameSite, or let the upstream demand a token against it (CSRF)", p.Name)
			if c.CORS != nil && slices.Contains(c.CORS.Origins, "*") || c.Profile == gateway.Notary {
				say("every origin may ask, and the cookie %s is a credential: name the origins in cors, or take tokens from elsewhere", p.Name)
			}
		}
	}
}

// warnOfIssuers is about keys that may sign for others, too.
func (c *Config) warnOfIssuers(say func(string, ...any)) {
	for _, i := range c.Issuers {
		set := cmp.Or(i.JWKSFile, i.JWKSURL)
		switch {
		case i.Audience != "":
		case set != "":
			say("tokens of %s are let through whomever they are for: name this service's audience, unless the keys of %s sign for it alone", cmp.Or(i.Name, "every issuer"), set)
		case len(c.Issuers) > 1:
			say("tokens of %s are let through whomever they are for: name this service's audience, unless the key in %s signs for it alone", i.Name, i.PublicKeyPEM)
		}
		if i.Name == "" && set != "" {
			say("tokens are let through whatever their iss: name the issuer, unless the keys of %s are of one alone", set)
		}
	}
}

// warnOfRoutes is about rules that say less than they seem to.
func (c *Config) warnOfRoutes(say func(string, ...any)) {
	for i := range c.Routes {
		rt := &c.Routes[i]
		if len(rt.Rules) > 0 && !slices.ContainsFunc(rt.Rules, func(r gateway.Rule) bool { return !r.Deny }) {
			say("the route %s refuses everyone: no rule of it allows; end them with {action: allow} if others may pass", nameOf(rt))
		}
		if rt.Open && rt.Path == "/*" {
			say("EVERYTHING IS OPEN that no route before %s fits", nameOf(rt))
		}
	}
}

// isLoopback tells whether an address is of this machine alone.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && fetch.Private(&url.URL{Scheme: "http", Host: net.JoinHostPort(host, "1")})
}

// CollateralWarnings are of the collateral that is named for brokers: it may be
// on its way out. Unlike Load it reads those files.
func (c *Config) CollateralWarnings() []string {
	var all []string
	for _, i := range c.Issuers {
		if i.Broker == nil {
			continue
		}
		found, err := i.Broker.Collateral.Warnings()
		if err != nil {
			continue // who opens the files tells of it, at its place
		}
		all = append(all, found...)
	}
	return all
}
