package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/rules"
)

var (
	errSubject       = errors.New("not a compact JWT with an issuer")
	errUnknownIssuer = errors.New("no rule names the issuer")
	errIssuerKeys    = errors.New("the identity provider's keys can't be had")
)

// issuers are the identity providers that the rules name, by "iss".
type issuers map[string]*issuer

// issuer is one identity provider. Its verifier has keys of its own, so that no provider can sign for another.
type issuer struct {
	named    rules.Issuer
	keys     *ctb.RemoteKeys
	verifier *ctb.Verifier
}

// newIssuers reuses what is known, with its cached keys.
func newIssuers(c *Config, s *rules.Set, known issuers) (issuers, error) {
	all := issuers{}
	for _, named := range s.Issuers() {
		if i := known[named.URL]; i != nil && i.named == named {
			all[named.URL] = i
			continue
		}
		keys := &ctb.RemoteKeys{URL: named.JWKSURL, Client: c.Client, Now: c.Now}
		if named.JWKSURL == "" {
			keys.Issuer = named.URL // OpenID Connect Discovery
		}
		// Any audience: whose client the token is for is the rules' question,
		// and they accept only the audience that they name.
		verifier, err := ctb.NewVerifier(ctb.Config{
			Issuer: named.URL, AnyAudience: true, Type: ctb.IDToken, Keys: keys, Now: c.Now,
		})
		if err != nil {
			return nil, fmt.Errorf("identity provider %s: %w", named.URL, err)
		}
		all[named.URL] = &issuer{named: named, keys: keys, verifier: verifier}
	}
	return all, nil
}

// authenticate verifies an id token. The "iss" of the unverified token only
// chooses the verifier, which then insists on this very issuer and has no other's keys.
func (all issuers) authenticate(ctx context.Context, raw string) (*ctb.Token, error) {
	name, err := ctb.UnverifiedIssuer(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSubject, err)
	}
	i := all[name]
	if i == nil {
		return nil, fmt.Errorf("%w: got %.200q", errUnknownIssuer, name)
	}
	subject, err := i.verifier.Verify(ctx, raw)
	switch {
	case err == nil:
		if err := checkIDToken(subject); err != nil {
			return nil, err
		}
		return subject, nil
	case errors.Is(err, ctb.ErrInvalidToken):
		return nil, err
	}
	return nil, fmt.Errorf("%w: %s: %w", errIssuerKeys, name, err)
}

// checkIDToken refuses what the provider signed for another purpose.
func checkIDToken(t *ctb.Token) error {
	// OpenID Connect Core 1.0, section 2, requires it, and RFC 9068, section 2.2, of the token to come.
	if t.Subject == "" {
		return fmt.Errorf("%w: sub is missing or empty, want an id token, which names its user", ctb.ErrInvalidToken)
	}
	// A security event (RFC 8417), such as a logout token (OpenID Connect Back-Channel
	// Logout 1.0, section 2.4), names a user too, and is no login.
	if _, ok := t.Claim("events"); ok {
		return fmt.Errorf("%w: it has the claim events, which no id token has", ctb.ErrInvalidToken)
	}
	return nil
}
