package jwt

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

const (
	issuer   = "https://broker.example.com"
	audience = "https://api.example.com"
	subject  = "auth0|7f3c"
)

// serveKeys serves a JWKS over HTTPS.
func serveKeys(t *testing.T, jwks []byte) keySource {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Write(jwks)
	}))
	t.Cleanup(server.Close)
	return keySource{server.URL + "/jwks.json", server.Client()}
}

func claims() map[string]any {
	now := time.Now().Unix()
	return map[string]any{"iss": issuer, "aud": audience, "sub": subject, "iat": now, "exp": now + 600, "jti": "1"}
}

// TestOurSignaturesVerifyElsewhere signs with the profile of the broker, in every algorithm.
func TestOurSignaturesVerifyElsewhere(t *testing.T) {
	for _, algorithm := range algorithms {
		t.Run(algorithm, func(t *testing.T) {
			key := newKey(t, algorithm)
			kid := must(jose.Thumbprint(key.Public()))(t)
			jwk := must(jose.MarshalJWK(jose.JWK{KeyID: kid, Algorithm: algorithm, Key: key.Public()}))(t)
			keys := serveKeys(t, []byte(`{"keys":[`+string(jwk)+`]}`))
			payload := must(json.Marshal(claims()))(t)
			raw := must(jose.Sign(jose.Header{Algorithm: algorithm, KeyID: kid, Type: ctb.AccessToken}, payload, key))(t)
			wantVerdicts(t, keys, expectation{algorithm, issuer, audience}, subject, raw)
		})
	}
}

// TestTheirSignaturesVerifyHere lets each stranger sign an id token in every algorithm.
func TestTheirSignaturesVerifyHere(t *testing.T) {
	for _, s := range signers {
		for _, algorithm := range algorithms {
			t.Run(s.name+"/"+algorithm, func(t *testing.T) {
				key := newKey(t, algorithm)
				keys := must(ctb.ParseKeys(s.jwks(t, algorithm, key.Public())))(t)
				v := must(ctb.NewVerifier(ctb.Config{Issuer: issuer, Audience: audience, Keys: keys, Type: ctb.IDToken}))(t)
				raw := s.sign(t, algorithm, key, claims())
				token, err := v.Verify(t.Context(), raw)
				if err != nil {
					t.Fatalf("refuses its token: %v", err)
				}
				if token.Subject != subject {
					t.Errorf("reads subject %q, want %q", token.Subject, subject)
				}
				for _, fault := range faults {
					if _, err := v.Verify(t.Context(), fault.spoil(t, raw)); err == nil {
						t.Errorf("accepts %s", fault.name)
					}
				}
			})
		}
	}
}
