package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/confidential-token-broker/ctb/cmd/internal/bounded"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// check finds what is wrong before any other file is read.
func (c *config) check() error {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return c.file.Fault("listen", "got %q, want an address and a port such as 127.0.0.1:9999", c.Listen)
	}
	if c.TLS != nil && (c.TLS.Certificate == "" || c.TLS.Key == "") {
		return c.file.Fault("tls", "want both certificate and key, PEM files; or no tls for plain HTTP")
	}
	if n := c.Limits.Connections; n < 1 || n > bounded.MaxConnections {
		return c.file.Fault("limits.connections", "got %d, want 1 to %d", n, bounded.MaxConnections)
	}
	if c.Upstream == "" {
		return c.file.Fault("upstream", "missing; want a URL such as http://127.0.0.1:3000")
	}
	u, err := url.Parse(c.Upstream)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return c.file.Fault("upstream", "got %q, want http or https, a host and perhaps a path, such as http://127.0.0.1:3000", redact(c.Upstream, u))
	}
	c.upstream = u
	if e := c.Authorization.Enabled; e != nil && !*e {
		return c.file.Fault("authorization.enabled", "got false, want true or nothing: a gateway that lets everything through has nothing to do")
	}
	if c.Authorization.JWT == nil {
		return c.file.Fault("authorization.jwt", "missing; want the tokens that are let through")
	}
	return c.checkJWT(c.Authorization.JWT)
}

// redact keeps a password in a URL out of messages.
func redact(raw string, u *url.URL) string {
	if u == nil {
		return "a text that is no URL"
	}
	if u.User != nil {
		return u.Redacted()
	}
	return raw
}

func (c *config) checkJWT(j *jwtConfig) error {
	if err := c.checkKeys(j); err != nil {
		return err
	}
	// A key file may sign for this gateway alone; keys that sign for others as
	// well must not open it for everyone's tokens.
	if j.PublicKeyPEM == "" && j.Issuer == "" {
		return c.file.Fault("authorization.jwt.issuer", "missing; want the exact iss of the tokens")
	}
	if j.PublicKeyPEM == "" && j.Audience == "" {
		return c.file.Fault("authorization.jwt.audience", "missing; want this service's name in the tokens' aud, or tokens for other services would be let through")
	}
	switch strings.ToLower(j.Type) {
	case "", "at+jwt", "jwt":
	default:
		return c.file.Fault("authorization.jwt.type", "got %q, want at+jwt (RFC 9068 access tokens) or JWT (typ JWT or none)", j.Type)
	}
	for i, r := range j.Claims {
		if err := r.Validate(); err != nil {
			return c.file.Fault(fmt.Sprintf("authorization.jwt.claims[%d]", i), "%w", err)
		}
	}
	for i, s := range j.Scopes {
		if s == "" || strings.ContainsAny(s, " \t\r\n\"\\") {
			return c.file.Fault(fmt.Sprintf("authorization.jwt.scopes[%d]", i), "got %q, want one scope (RFC 6749 section 3.3)", s)
		}
	}
	return nil
}

// checkKeys wants exactly one source of keys, and nothing beside it that would have no effect.
func (c *config) checkKeys(j *jwtConfig) error {
	var given []string
	for name, ok := range map[string]bool{
		"public_key_pem_path": j.PublicKeyPEM != "", "jwks_url": j.JWKSURL != "", "jwks_path": j.JWKSFile != "", "broker": j.Broker != nil,
	} {
		if ok {
			given = append(given, name)
		}
	}
	if len(given) != 1 {
		got := "none"
		if len(given) > 1 {
			got = strings.Join(inOrder(given), " and ")
		}
		return c.file.Fault("authorization.jwt", "got %s, want exactly one of public_key_pem_path, jwks_url, jwks_path and broker", got)
	}
	if j.JWKSURL != "" && !isHTTPS(j.JWKSURL) {
		return c.file.Fault("authorization.jwt.jwks_url", "got %q, want an https URL (http is for loopback addresses)", fetch.Redact(j.JWKSURL))
	}
	if j.Broker != nil {
		if err := c.checkBroker(j); err != nil {
			return err
		}
	}
	if j.CAs != "" && j.JWKSURL == "" && j.Broker == nil {
		return c.file.Fault("authorization.jwt.ca_path", "has no effect here: it is for jwks_url and broker")
	}
	if j.Algorithm != "" {
		if j.PublicKeyPEM == "" {
			return c.file.Fault("authorization.jwt.algorithm", "has no effect here: keys of a set name their algorithm")
		}
		if !jose.Supported(j.Algorithm) {
			return c.file.Fault("authorization.jwt.algorithm", "got %q, want one of %s", j.Algorithm, strings.Join(jose.Algorithms(), ", "))
		}
	}
	return nil
}

// checkBroker is checkKeys for those of an attested broker.
func (c *config) checkBroker(j *jwtConfig) error {
	const key = "authorization.jwt.broker."
	b := j.Broker
	switch {
	case !isHTTPS(b.URL):
		return c.file.Fault(key+"url", "got %q, want the broker's https URL (http is for loopback addresses)", fetch.Redact(b.URL))
	case b.Policy == "":
		return c.file.Fault(key+"policy", "missing; want the policy file: which builds and rules are accepted")
	case b.TLS != "" && b.TLS != attestedTLS && b.TLS != publicTLS:
		return c.file.Fault(key+"tls", "got %q, want %s or %s", b.TLS, attestedTLS, publicTLS)
	case b.TLS != "" && j.CAs != "":
		return c.file.Fault(key+"tls", "got %q beside ca_path, want one of the two", b.TLS)
	}
	var fault *evidence.KeyError
	if err := b.Collateral.Validate(); errors.As(err, &fault) {
		return c.file.Fault(key+"collateral."+fault.Key, "%w", fault.Err)
	}
	return nil
}

// inOrder sorts as the example file does.
func inOrder(given []string) []string {
	var sorted []string
	for _, name := range []string{"public_key_pem_path", "jwks_url", "jwks_path", "broker"} {
		for _, g := range given {
			if g == name {
				sorted = append(sorted, name)
			}
		}
	}
	return sorted
}

// isHTTPS tells whether keys may come from the URL: nobody on the way may change them.
func isHTTPS(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && fetch.Private(u) && u.User == nil && u.Fragment == ""
}
