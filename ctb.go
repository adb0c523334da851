// Package ctb verifies access tokens and protects HTTP handlers with them.
//
// A [Verifier] accepts JSON Web Tokens (RFC 7519) of one issuer for one
// audience, signed with a key of a [KeySet]. The keys may be given
// ([StaticKeys], [ParsePEM]), fetched ([NewRemoteKeys], [DiscoverKeys]) or, for
// the tokens of a confidential token broker, verified with the evidence that
// comes with them: see NewKeySet in package attest.
//
//	v, err := ctb.NewVerifier(ctb.Config{Issuer: "https://broker.example.com", Audience: "https://api.example.com", Keys: keys})
//	http.Handle("/reports", v.Protect(reports, ctb.Scope("read:reports")))
//
// What is not configurable: a token is signed, expires, is of the expected
// type, and is verified with the one algorithm of its key. There is no "none",
// no HMAC and no option that switches a check off. Tokens are in the compact
// form and of at most 16 KiB; "crit" is refused, and so are JSON texts in which
// a name stands twice.
package ctb

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/internal/jose"
)

// Config says which tokens are accepted.
type Config struct {
	Issuer   string // the exact "iss"; required but with AnyIssuer
	Audience string // "aud" must have it; required but with AnyAudience
	Keys     KeySet // required; asked for every token, and whose keys alone say which algorithms there are
	Type     string // the header's "typ"; empty means [AccessToken]

	// AnyIssuer and AnyAudience accept every value of the claim, and its
	// absence. They are for keys that sign for one purpose alone, such as the
	// notary server's public key file, and for who judges the claim himself,
	// as a broker's rules do with the audience.
	AnyIssuer, AnyAudience bool

	Now func() time.Time // the clock; nil means time.Now

	// OnRefusal, if set, is told why Protect turned a request away, unless its
	// client had gone. The error holds no token; errors.Is(err, ErrInvalidToken)
	// tells the client's fault from keys that cannot be had or trusted, which
	// should alarm somebody. A *RequirementError is neither.
	OnRefusal func(*http.Request, error)
}

// Values of Config.Type.
const (
	AccessToken = "at+jwt" // RFC 9068 section 2.1
	IDToken     = "JWT"    // "typ" is "JWT" or absent: OpenID Connect id tokens, and the access tokens of many issuers
)

// Leeway is how far two clocks may be apart when "exp" and "nbf" are judged.
const Leeway = 60 * time.Second

var (
	// ErrInvalidToken is the token's own fault (401).
	ErrInvalidToken = errors.New("invalid token")
	// ErrUnknownKey is returned by a KeySet that is up to date and has no such key.
	ErrUnknownKey = errors.New("unknown key")
)

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	config Config
	cache  tokenCache
}

// NewVerifier returns a verifier. It refuses a configuration that lacks a key
// set, an issuer or an audience.
func NewVerifier(c Config) (*Verifier, error) {
	switch {
	case c.Keys == nil:
		return nil, errors.New("ctb: Config.Keys is missing: without keys nothing can be verified")
	case c.Issuer == "" && !c.AnyIssuer:
		return nil, errors.New("ctb: Config.Issuer is missing: say whose tokens you accept")
	case c.Audience == "" && !c.AnyAudience:
		return nil, errors.New("ctb: Config.Audience is missing: say who you are, or tokens for others pass too")
	case c.Issuer != "" && c.AnyIssuer, c.Audience != "" && c.AnyAudience:
		return nil, errors.New("ctb: Config asks for one issuer or audience and for any: want one of the two")
	}
	if c.Type == "" {
		c.Type = AccessToken
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Verifier{config: c}, nil
}

// Verify checks a compact JWT. The error is ErrInvalidToken (wrapped) if the
// token is at fault; any other means that the keys cannot be had or trusted.
// The error may name the token's type, algorithm, issuer and times, and has no
// other part of it.
//
// The token may be shared with other callers: do not modify it.
func (v *Verifier) Verify(ctx context.Context, raw string) (*Token, error) {
	if len(raw) > jose.MaxSize { // before any work; Parse says what is wrong
		_, err := jose.Parse(raw)
		return nil, &tokenError{Malformed, "the token is malformed", err}
	}
	// A token that was verified before is judged again in all but its
	// signature: time goes on, and keys are retired.
	id := digest(raw)
	if seen, ok := v.cache.get(id); ok {
		if key, err := v.config.Keys.Key(ctx, seen.KeyID); err == nil && key.same(seen.key) {
			if err := checkTime(seen, v.config.Now()); err != nil {
				return nil, err
			}
			return seen, nil
		}
	}

	m, err := jose.Parse(raw)
	if err != nil {
		return nil, &tokenError{Malformed, "the token is malformed", err}
	}
	t, err := v.checkClaims(m)
	if err != nil {
		return nil, err
	}
	// Only now may a fetch happen: what is wrong by itself costs nothing.
	if t.key, err = v.key(ctx, t.KeyID); err != nil {
		return nil, err
	}
	if err := m.Verify(t.key.Algorithm, t.key.Public); err != nil {
		return nil, &tokenError{BadSignature, "the token's signature does not verify", err}
	}
	v.cache.put(id, t)
	return t, nil
}

// Current tells whether a token that was verified earlier would still be
// accepted, but for its time: it is of the type, of the issuer and for the
// audience, and its key is still the same in the key set. The errors are those of Verify.
//
// It is for what a token has opened and what outlives it, such as a session.
// The token may have been verified by another verifier, which this one has
// replaced since; one that nobody verified is refused.
func (v *Verifier) Current(ctx context.Context, t *Token) error {
	if err := v.checkParties(t); err != nil {
		return err
	}
	key, err := v.key(ctx, t.KeyID)
	if err != nil {
		return err
	}
	if !key.equal(t.key) {
		return &tokenError{UnknownKey, "the token is signed with an unknown key", errors.New("the key of its id is now another one")}
	}
	return v.checkType(t.kind)
}

// key returns the key of an id; the error says whose fault it is that there is none.
func (v *Verifier) key(ctx context.Context, kid string) (Key, error) {
	key, err := v.config.Keys.Key(ctx, kid)
	if errors.Is(err, ErrUnknownKey) {
		if err == ErrUnknownKey {
			err = nil // it says no more than we do
		}
		return Key{}, &tokenError{UnknownKey, "the token is signed with an unknown key", err}
	}
	if err != nil {
		return Key{}, fmt.Errorf("no key to verify the token with: %w", err)
	}
	return key, nil
}

func (v *Verifier) checkClaims(m *jose.Message) (*Token, error) {
	if err := v.checkType(m.Header.Type); err != nil {
		return nil, err
	}
	t, err := parseToken(m.Payload)
	if err != nil {
		return nil, &tokenError{Malformed, "the token's claims are malformed", err}
	}
	t.KeyID, t.kind = m.Header.KeyID, v.config.Type
	if err := v.checkParties(t); err != nil {
		return nil, err
	}
	return t, checkTime(t, v.config.Now())
}

func (v *Verifier) checkType(typ string) error {
	if !sameType(v.config.Type, typ) {
		return &tokenError{WrongType, "the token is of another type", fmt.Errorf("typ is %.40q, want %q", typ, v.config.Type)}
	}
	return nil
}

// checkParties asks who issued the token, and for whom.
func (v *Verifier) checkParties(t *Token) error {
	if want := v.config.Issuer; t.Issuer != want && !v.config.AnyIssuer {
		return &tokenError{WrongIssuer, "the token is from another issuer", fmt.Errorf("iss is %.200q, want %q", t.Issuer, want)}
	}
	if want := v.config.Audience; !v.config.AnyAudience && !slices.Contains(t.Audience, want) {
		return &tokenError{WrongAudience, "the token is for another audience", fmt.Errorf("aud lacks %q", want)}
	}
	return nil
}

func checkTime(t *Token, now time.Time) error {
	// "exp" is the last second in which the token is good, for leeway counts in whole seconds.
	if now.Unix() > t.Expiry.Add(Leeway).Unix() {
		return &tokenError{Expired, "the token has expired", fmt.Errorf("exp is %s, now is %s", t.Expiry.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))}
	}
	if now.Add(Leeway).Before(t.NotBefore) {
		return &tokenError{NotYetValid, "the token is not yet valid", fmt.Errorf("nbf is %s, now is %s", t.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))}
	}
	return nil
}

// sameType compares media types (RFC 7515 section 4.1.9: case does not count,
// and "application/" may be left out).
func sameType(want, got string) bool {
	const prefix = "application/"
	if len(got) > len(prefix) && strings.EqualFold(got[:len(prefix)], prefix) {
		got = got[len(prefix):]
	}
	return strings.EqualFold(got, want) || got == "" && want == IDToken
}
