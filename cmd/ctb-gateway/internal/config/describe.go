package config

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/credential"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// page is a description that is being written.
type page struct{ w io.Writer }

func (p *page) line(name, format string, args ...any) {
	fmt.Fprintf(p.w, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
}

// Describe tells in words what would be enforced, for people.
func (c *Config) Describe(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	p := &page{t}
	name := c.Path
	if name == "" {
		name = "The environment"
	}
	fmt.Fprintf(t, "%s is good. It would\n", name)
	c.describeServer(p)
	c.describeWho(p)
	c.describeRoutes(p)
	c.describeSessions(p)
	c.describeLimits(p)
	c.describeRest(p)
	for _, text := range append(c.Warnings, c.CollateralWarnings()...) {
		p.line("WARNING", "%s", text)
	}
	return t.Flush()
}

func (c *Config) describeServer(p *page) {
	if c.Upstream == nil {
		p.line("forward", "nothing: it decides for other proxies alone")
	} else {
		protocol := "plain HTTP"
		if c.TLS != nil {
			protocol = "HTTPS with " + c.TLS.Certificate
		}
		p.line("listen on", "%s, %s, at most %d connections", c.Listen, protocol, c.Connections)
		c.describeUpstream(p)
	}
	for _, l := range [][3]string{
		{"answer", c.Authorize, "/authorize, for proxies that ask before they forward"},
		{"answer", c.ExtAuthz, "Envoy's ext_authz (gRPC)"},
		{"serve", c.Admin, "/metrics, /healthz and /readyz"},
	} {
		if l[1] != "" {
			p.line(l[0], "on %s: %s", l[1], l[2])
		}
	}
	form := "by RFC 6750, with 403 for what is good but not enough, and problem details"
	if c.Profile == gateway.Notary {
		form = "as the notary server does, with CORS for every origin"
	}
	p.line("refuse", "%s (profile %s, %s)", form, c.Profile, c.ProfileReason)
	if c.CORS != nil {
		p.line("let read", "scripts of %s (CORS)", strings.Join(c.CORS.Origins, ", "))
	}
}

func (c *Config) describeUpstream(p *page) {
	u := c.Upstream
	credentials := "without the credential"
	if c.ForwardToken {
		credentials = "with the token"
	}
	p.line("forward to", "%s, %s", u.URL.Redacted(), credentials)
	if u.URL.Scheme == "https" {
		known := "a certificate of a public CA"
		if u.CAs != "" {
			known = "a certificate of the CAs in " + u.CAs
		}
		if u.ServerName != "" {
			known += " for " + u.ServerName
		}
		if u.Certificate != "" {
			known += ", showing it " + u.Certificate
		}
		p.line("  known by", "%s", known)
	}
	if c.Enabled || len(c.ClaimHeaders) > 0 {
		for _, h := range c.ClaimHeaders {
			p.line("  told in", "%s; the client's own is taken away", headerInWords(h))
		}
	}
	if len(c.TrustedProxies) > 0 {
		var all []string
		for _, t := range c.TrustedProxies {
			all = append(all, t.String())
		}
		p.line("  believing", "X-Forwarded-*, Forwarded and X-Request-Id of %s", strings.Join(all, ", "))
	} else {
		p.line("  believing", "no X-Forwarded-* or Forwarded header, whoever sends it")
	}
}

// describeWho says whose requests are let through.
func (c *Config) describeWho(p *page) {
	switch {
	case !c.Enabled:
		p.line("LET THROUGH", "EVERYTHING, OF EVERYONE, WITHOUT A CREDENTIAL")
		return
	case c.Combine:
		p.line("let through", "who has a good token or a good API key")
	case c.Whitelist != nil:
		p.line("let through", "who has a good API key")
	default:
		p.line("let through", "who has a good token")
	}
	if w := c.Whitelist; w != nil {
		form := ""
		if w.Header == "Authorization" {
			form = ", raw, without a scheme"
		}
		p.line("  API keys", "of %s, in the header %s%s", w.Path, w.Header, form)
	}
	for i := range c.Issuers {
		c.Issuers[i].describe(p)
	}
	if len(c.Issuers) == 0 {
		return
	}
	var places []string
	for _, place := range c.TokenFrom {
		places = append(places, placeInWords(place))
	}
	p.line("  tokens stand", "in %s; in one place only", strings.Join(places, ", or in "))
	for _, r := range c.Requirements {
		p.line("  tokens have", "%s", requirementInWords(r))
	}
	for _, r := range c.Deny {
		p.line("  REFUSED", "is a token with %s, whatever else it has", requirementInWords(r))
	}
}

func placeInWords(p credential.Place) string {
	switch p.Kind {
	case credential.Authorization:
		return "Authorization: Bearer"
	case credential.WebSocketProtocol:
		return "Sec-WebSocket-Protocol: bearer, <token>"
	}
	return p.String()
}

// describe says which tokens of an issuer are good.
func (i *Issuer) describe(p *page) {
	kind := "access tokens (typ at+jwt)"
	if i.Type == ctb.IDToken {
		kind = "JWTs (typ JWT, or none)"
	}
	p.line("  tokens", "%s that have not expired", kind)
	p.line("    issued by", "%s", orAny(i.Name, "anyone who has the key"))
	p.line("    for", "%s", orAny(i.Audience, "any audience, or none"))
	p.line("    signed by", "%s, %s", i.keysInWords(), i.algorithmsInWords())
	if i.Broker != nil {
		p.line("    known by", "%s", i.serverInWords())
		p.line("    judged by", "%s", i.Broker.collateralInWords())
	}
}

func orAny(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return fmt.Sprintf("%q", value)
}

// keysInWords says whose signature is accepted.
func (i *Issuer) keysInWords() string {
	switch {
	case i.PublicKeyPEM != "":
		return "the key in " + i.PublicKeyPEM
	case i.JWKSFile != "":
		return "a key in " + i.JWKSFile
	case i.JWKSURL != "":
		if i.CAs != "" {
			return fmt.Sprintf("a key at %s, known by the CAs in %s", fetch.Redact(i.JWKSURL), i.CAs)
		}
		return "a key at " + fetch.Redact(i.JWKSURL)
	}
	return fmt.Sprintf("an attested key of the broker at %s that %s accepts", fetch.Redact(i.Broker.URL), i.Broker.Policy)
}

func (i *Issuer) algorithmsInWords() string {
	switch {
	case len(i.Algorithms) > 0:
		return "with " + strings.Join(i.Algorithms, " or ")
	case i.PublicKeyPEM != "":
		return "with the algorithm that follows from its type"
	}
	return "with the algorithm that the key names"
}

// serverInWords says how the broker's server is known.
func (i *Issuer) serverInWords() string {
	switch i.Broker.TLS {
	case AttestedTLS:
		return "a TLS key that is attested too"
	case CustomTLS:
		return "a certificate of the CAs in " + i.CAs
	case PublicTLS:
		return "a certificate of a public CA"
	}
	return "its loopback address, over plain HTTP"
}

// collateralInWords says what the evidence of the broker's keys is verified with.
func (b *Broker) collateralInWords() string {
	const staple = "the collateral that the broker serves beside its evidence"
	if b.Collateral.Empty() {
		return staple + ", which the hardware's maker has signed"
	}
	return staple + " and, where that is no older, that of " + b.Collateral.String()
}

func requirementInWords(r ctb.Requirement) string {
	if r.Type == ctb.ScopeList && r.Name == "scope" && len(r.Values) == 1 {
		return fmt.Sprintf("scope %v", r.Values[0])
	}
	kind := r.Type
	if kind == "" {
		kind = ctb.String
	}
	if len(r.Values) == 0 {
		return fmt.Sprintf("claim %s, any %s", r, kind)
	}
	values := make([]string, len(r.Values))
	for i, v := range r.Values {
		values[i] = fmt.Sprint(v)
		if s, ok := v.(string); ok {
			values[i] = fmt.Sprintf("%q", s)
		}
	}
	how := " or "
	if kind == ctb.ScopeList {
		how = " and "
	}
	return fmt.Sprintf("claim %s %s (%s)", r, strings.Join(values, how), kind)
}
