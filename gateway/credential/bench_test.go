package credential

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"crypto"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

func authenticate(b *testing.B, a access.Authenticator, r *http.Request) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSeen authenticates one token again and again.
func BenchmarkSeen(b *testing.B) {
	raw := mint(b, "RS256", claims{"scope": "read:reports write:reports", "client_id": "app", "jti": "1"})
	b.Run("verifier", func(b *testing.B) { // what is beneath
		v := verifier(b, nil)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(b.Context(), raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one_issuer", func(b *testing.B) { authenticate(b, tokens(b), bearing(raw)) })
	b.Run("three_issuers", func(b *testing.B) {
		three := []Issuer{{issuerName, verifier(b, nil)}, {"https://a.example.com/", verifier(b, nil)}, {"https://b.example.com/", verifier(b, nil)}}
		t, err := NewTokens(three)
		if err != nil {
			b.Fatal(err)
		}
		authenticate(b, t, bearing(raw))
	})
	b.Run("five_places", func(b *testing.B) {
		places := []Place{{Kind: Authorization}, {Header, "X-Token"}, {Cookie, "token"}, {Query, "access_token"}, {Kind: WebSocketProtocol}}
		authenticate(b, tokens(b, places...), request("/?a=1&b=2", [2]string{"Cookie", "a=1; b=2; token=" + raw}))
	})
}

// BenchmarkNew authenticates tokens that were not seen before ("ours") beside
// the bare signature verification of the standard library ("bare").
func BenchmarkNew(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256"} {
		requests := make([]*http.Request, 200)
		for i := range requests {
			requests[i] = bearing(mint(b, alg, claims{"sub": fmt.Sprint(i)}))
		}
		b.Run(alg+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			var t *Tokens
			for i := 0; b.Loop(); i++ {
				if i%len(requests) == 0 {
					t = tokens(b) // which has seen none
				}
				if _, err := t.Authenticate(requests[i%len(requests)]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(alg+"/bare", func(b *testing.B) {
			b.ReportAllocs()
			raw := strings.TrimPrefix(requests[0].Header.Get("Authorization"), "Bearer ")
			dot := strings.LastIndexByte(raw, '.')
			signature, err := base64.RawURLEncoding.DecodeString(raw[dot+1:])
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if !bareVerify(signers()[alg].Public(), []byte(raw[:dot]), signature) {
					b.Fatal("wrong signature")
				}
			}
		})
	}
}

func bareVerify(key crypto.PublicKey, signed, signature []byte) bool {
	sum := sha256.Sum256(signed)
	if key, ok := key.(*rsa.PublicKey); ok {
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	}
	return ecdsa.Verify(key.(*ecdsa.PublicKey), sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
}

// BenchmarkAPIKey looks a key up among 10,000.
func BenchmarkAPIKey(b *testing.B) {
	var list strings.Builder
	list.WriteString("Name,ApiKey\n")
	for i := range 10_000 {
		fmt.Fprintf(&list, "client %d,0123456789abcdef0123456789abcdef%d\n", i, i)
	}
	w, err := ParseWhitelist([]byte(list.String()))
	if err != nil {
		b.Fatal(err)
	}
	k, err := NewKeys(w, "")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("known", func(b *testing.B) {
		authenticate(b, k, request("/", [2]string{"X-API-Key", "0123456789abcdef0123456789abcdef7777"}))
	})
	b.Run("unknown", func(b *testing.B) {
		r := request("/", [2]string{"X-API-Key", "0123456789abcdef0123456789abcdef"})
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Authenticate(r); err == nil {
				b.Fatal("a key that is in no list was accepted")
			}
		}
	})
}

// BenchmarkParseWhitelist reads 10,000 keys.
func BenchmarkParseWhitelist(b *testing.B) {
	var list strings.Builder
	list.WriteString("Name,ApiKey,CreatedAt\n")
	for i := range 10_000 {
		fmt.Fprintf(&list, "client %d,0123456789abcdef0123456789abcdef%d,2023-09-18T07:38:53Z\n", i, i)
	}
	b.SetBytes(int64(list.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseWhitelist([]byte(list.String())); err != nil {
			b.Fatal(err)
		}
	}
}
