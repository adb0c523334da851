package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/confidential-token-broker/ctb"
)

// describe tells in words what the configuration would enforce.
func describe(w io.Writer, c *config) error {
	jwt := c.Authorization.JWT
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(t, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(t, "%s is good. It would\n", c.file.Path)

	protocol := "plain HTTP"
	if c.TLS != nil {
		protocol = "HTTPS with " + c.TLS.Certificate
	}
	line("listen on", "%s, %s, at most %d connections", c.Listen, protocol, c.Limits.Connections)
	forwarded := "without the token"
	if c.ForwardToken {
		forwarded = "with the token"
	}
	line("forward to", "%s, %s", c.upstream.Redacted(), forwarded)
	kind := "access tokens (typ at+jwt)"
	if jwt.tokenType() == ctb.IDToken {
		kind = "JWTs (typ JWT, or none)"
	}
	line("let through", "%s", kind)
	line("  signed by", "%s", jwt.keysInWords())
	if jwt.Broker != nil {
		line("  known by", "%s", jwt.serverInWords())
		line("  judged by", "%s", jwt.collateralInWords())
	}
	line("  issued by", "%s", orAny(jwt.Issuer, "anyone who has the key"))
	line("  for", "%s", orAny(jwt.Audience, "any audience, or none"))
	for _, s := range jwt.Scopes {
		line("  with scope", "%s", s)
	}
	for _, r := range jwt.Claims {
		line("  with claim", "%s %s", r, valuesInWords(r))
	}
	line("", "that have not expired")
	for _, text := range jwt.warnings() {
		line("warning", "%s", text)
	}
	return t.Flush()
}

func orAny(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return fmt.Sprintf("%q", value)
}

// keysInWords says whose signature is accepted.
func (j *jwtConfig) keysInWords() string {
	switch {
	case j.PublicKeyPEM != "":
		algorithm := j.Algorithm
		if algorithm == "" {
			algorithm = "by its own algorithm"
		}
		return fmt.Sprintf("the key in %s (%s)", j.PublicKeyPEM, algorithm)
	case j.JWKSFile != "":
		return "a key in " + j.JWKSFile
	case j.JWKSURL != "":
		return "a key at " + j.JWKSURL
	}
	return fmt.Sprintf("an attested key of the broker at %s that %s accepts", j.Broker.URL, j.Broker.Policy)
}

// serverInWords says how the broker's server is known.
func (j *jwtConfig) serverInWords() string {
	switch {
	case j.attestedTLS():
		return "a TLS key that is attested too"
	case j.CAs != "":
		return "a certificate of the CAs in " + j.CAs
	case j.Broker.TLS == publicTLS:
		return "a certificate of a public CA"
	}
	return "its loopback address, over plain HTTP"
}

// collateralInWords says what the evidence of the broker's keys is verified with.
func (j *jwtConfig) collateralInWords() string {
	const staple = "the collateral that the broker serves beside its evidence"
	if j.Broker.Collateral.Empty() {
		return staple + ", which the hardware's maker has signed"
	}
	return staple + " and, where that is no older, that of " + j.Broker.Collateral.String()
}

// warnings are of what is allowed but better not so.
func (j *jwtConfig) warnings() []string {
	if j.Broker == nil {
		return nil
	}
	found, err := j.Broker.Collateral.Warnings()
	if err != nil {
		return nil // the files were read before: one that is bad now is told of when it is read again
	}
	return found
}

func valuesInWords(r ctb.Requirement) string {
	kind := r.Type
	if kind == "" {
		kind = ctb.String
	}
	if len(r.Values) == 0 {
		return fmt.Sprintf("present (%s)", kind)
	}
	values := make([]string, len(r.Values))
	for i, v := range r.Values {
		values[i] = fmt.Sprintf("%v", v)
		if s, ok := v.(string); ok {
			values[i] = fmt.Sprintf("%q", s)
		}
	}
	how := " or "
	if kind == ctb.ScopeList {
		how = " and "
	}
	return fmt.Sprintf("%s (%s)", strings.Join(values, how), kind)
}
