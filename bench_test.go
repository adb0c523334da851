package ctb_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
)

// BenchmarkVerifyNew verifies tokens that were not seen before ("ours") beside
// the bare signature verification of the standard library ("bare").
func BenchmarkVerifyNew(b *testing.B) {
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		// More tokens than the cache holds, so that each one is new when it comes round again.
		tokens := make([]string, 9000)
		for i := range tokens {
			if i < 1000 || alg != "RS256" {
				tokens[i] = mint(b, alg, with(claims{"sub": fmt.Sprint(i)}))
				continue
			}
			tokens[i] = tokens[i%1000]
		}
		if alg == "RS256" { // RSA signs slowly; a fresh verifier for each thousand does the same
			tokens = tokens[:1000]
		}
		b.Run(alg+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			v := verifier(b, config())
			for i := 0; b.Loop(); i++ {
				if i%len(tokens) == 0 {
					v = verifier(b, config())
				}
				if _, err := v.Verify(b.Context(), tokens[i%len(tokens)]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(alg+"/bare", func(b *testing.B) {
			b.ReportAllocs()
			dot := strings.LastIndexByte(tokens[0], '.')
			signature, err := base64.RawURLEncoding.DecodeString(tokens[0][dot+1:])
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if !bareVerify(signers()[alg].Public(), []byte(tokens[0][:dot]), signature) {
					b.Fatal("wrong signature")
				}
			}
		})
	}
}

func bareVerify(key crypto.PublicKey, signed, signature []byte) bool {
	sum := sha256.Sum256(signed)
	switch key := key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	case ed25519.PublicKey:
		return ed25519.Verify(key, signed, signature)
	}
	return false
}

// BenchmarkVerifySeen verifies one token again and again.
func BenchmarkVerifySeen(b *testing.B) {
	v := verifier(b, config())
	raw := mint(b, "RS256", with(nil))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSatisfies(b *testing.B) {
	tok, err := ctb.UnverifiedToken(mustJSON(with(claims{"email_verified": true})))
	if err != nil {
		b.Fatal(err)
	}
	reqs := []ctb.Requirement{ctb.Scope("read:reports"), ctb.Claim("email_verified", true)}
	b.ReportAllocs()
	for b.Loop() {
		if err := tok.Satisfies(reqs...); err != nil {
			b.Fatal(err)
		}
	}
}
