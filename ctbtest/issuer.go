package ctbtest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/devidp"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// Issuer makes access tokens, and the keys that verify them, without network
// and evidence.
type Issuer struct {
	// URL is the "iss" of its tokens.
	URL string
	// Now is the clock that tokens are made and verified by; nil means
	// time.Now. Set it before anything else.
	Now func() time.Time

	tb  testing.TB
	key *devidp.Key
}

// NewIssuer returns an issuer with a fresh ES256 key.
func NewIssuer(tb testing.TB) *Issuer {
	tb.Helper()
	return &Issuer{URL: "https://issuer.example", tb: tb, key: newKey(tb, jose.ES256)}
}

// Keys returns the issuer's public key.
func (i *Issuer) Keys() ctb.StaticKeys {
	return ctb.StaticKeys{{ID: i.key.ID, Algorithm: i.key.Algorithm, Public: i.key.Private.Public()}}
}

// JWKS returns the issuer's public key as a JWK set.
func (i *Issuer) JWKS() []byte {
	i.tb.Helper()
	jwk, err := jose.MarshalJWK(jose.JWK{KeyID: i.key.ID, Algorithm: i.key.Algorithm, Key: i.key.Private.Public()})
	if err != nil {
		i.tb.Fatalf("ctbtest: %v", err)
	}
	return append(append([]byte(`{"keys":[`), jwk...), "]}"...)
}

// Verifier returns a verifier that accepts the issuer's tokens for [Audience].
func (i *Issuer) Verifier() *ctb.Verifier {
	i.tb.Helper()
	v, err := ctb.NewVerifier(ctb.Config{Issuer: i.URL, Audience: Audience, Keys: i.Keys(), Now: i.Now})
	if err != nil {
		i.tb.Fatalf("ctbtest: %v", err)
	}
	return v
}

// Token returns an access token (RFC 9068) for [Audience], good for five
// minutes, with changes:
//
//	iss.Token(nil)                                                         // good, without a scope
//	iss.Token(ctbtest.Claims{"scope": "read:reports"})                     // good for more
//	iss.Token(ctbtest.Claims{"exp": time.Now().Add(-time.Hour).Unix()})    // expired
//	iss.Token(ctbtest.Claims{"exp": nil})                                  // without expiry
func (i *Issuer) Token(changes Claims) string {
	i.tb.Helper()
	now := time.Now()
	if i.Now != nil {
		now = i.Now()
	}
	payload, err := json.Marshal(devidp.With(Claims{
		"iss":       i.URL,
		"aud":       Audience,
		"sub":       Subject,
		"client_id": ClientID,
		"iat":       now.Unix(),
		"exp":       now.Add(5 * time.Minute).Unix(),
		"jti":       rand.Text(),
	}, changes))
	if err != nil {
		i.tb.Fatalf("ctbtest: claims: %v", err)
	}
	return i.Sign(string(i.key.Header(ctb.AccessToken)), string(payload))
}

// Sign signs a header and a payload as they are, to make tokens that must be
// refused. The signature is always a good one by the issuer's ES256 key; to
// forge one, sign with another Issuer.
func (i *Issuer) Sign(header, payload string) string {
	i.tb.Helper()
	token, err := i.key.Sign([]byte(header), []byte(payload))
	if err != nil {
		i.tb.Fatalf("ctbtest: %v", err)
	}
	return token
}

// Header returns the JOSE header of the issuer's tokens, as a start for Sign.
func (i *Issuer) Header() string { return string(i.key.Header(ctb.AccessToken)) }

// Request returns a request for a handler (as [httptest.NewRequest] does) that
// carries a token with these changes.
func (i *Issuer) Request(method, target string, changes Claims) *http.Request {
	i.tb.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Authorization", "Bearer "+i.Token(changes))
	return r
}

func newKey(tb testing.TB, algorithm string) *devidp.Key {
	tb.Helper()
	key, err := devidp.NewKey(algorithm)
	if err != nil {
		tb.Fatalf("ctbtest: %v", err)
	}
	return key
}
