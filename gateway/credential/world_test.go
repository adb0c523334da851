package credential

import (
	"crypto"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/internal/devidp"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

const (
	issuerName = "https://idp.example.com/"
	audience   = "https://api.example.com"
)

// now is the instant of all tests that need none of their own.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func clock() time.Time { return now }

// signers has one private key for each algorithm; that of RS256 is for PS256 as well.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	made := map[string]crypto.Signer{}
	for _, alg := range []string{"RS256", "ES256", "ES384", "EdDSA"} {
		key, err := jose.GenerateKey(alg, 2048)
		if err != nil {
			panic(err)
		}
		made[alg] = key
	}
	made["PS256"] = made["RS256"]
	return made
})

// keyFor is the public key of an algorithm, whose name is its id.
func keyFor(alg string) ctb.Key {
	return ctb.Key{ID: alg, Algorithm: alg, Public: signers()[alg].Public()}
}

func keySet() ctb.StaticKeys {
	return ctb.StaticKeys{keyFor("RS256"), keyFor("ES256"), keyFor("ES384"), keyFor("EdDSA")}
}

type claims = map[string]any

// with returns good claims, changed: a nil value removes a claim.
func with(changes claims) claims {
	return devidp.With(claims{"iss": issuerName, "aud": audience, "sub": "alice", "exp": now.Unix() + 300}, changes)
}

// signed returns a token of any payload, signed with the key of the algorithm.
func signed(tb testing.TB, alg string, payload string) string {
	tb.Helper()
	raw, err := jose.Sign(jose.Header{Algorithm: alg, KeyID: alg, Type: "JWT"}, []byte(payload), signers()[alg])
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func mint(tb testing.TB, alg string, changes claims) string {
	tb.Helper()
	payload, err := json.Marshal(with(changes))
	if err != nil {
		tb.Fatal(err)
	}
	return signed(tb, alg, string(payload))
}

func verifier(tb testing.TB, change func(*ctb.Config)) *ctb.Verifier {
	tb.Helper()
	c := ctb.Config{Issuer: issuerName, Audience: audience, Keys: keySet(), Type: ctb.IDToken, Now: clock}
	if change != nil {
		change(&c)
	}
	v, err := ctb.NewVerifier(c)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// tokens accepts the tokens of one issuer.
func tokens(tb testing.TB, places ...Place) *Tokens {
	tb.Helper()
	t, err := NewTokens([]Issuer{{Name: issuerName, Verifier: verifier(tb, nil)}}, places...)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// request has headers, each line a name and a value.
func request(target string, lines ...[2]string) *http.Request {
	r := httptest.NewRequest("GET", target, nil)
	for _, line := range lines {
		r.Header.Add(line[0], line[1])
	}
	return r
}

func bearing(raw string) *http.Request {
	return request("/", [2]string{"Authorization", "Bearer " + raw})
}

// refused returns the refusal, and fails if there is none or if somebody was let in as well.
func refused(t *testing.T, who *access.Identity, err error) *access.Refusal {
	t.Helper()
	var refusal *access.Refusal
	if who != nil || !errors.As(err, &refusal) {
		t.Fatalf("got %+v and the error %v, want a refusal", who, err)
	}
	if refusal.Public == "" || refusal.Error() == "" {
		t.Errorf("%+v says nothing", refusal)
	}
	return refusal
}
