package nitro_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/nitro"
	"github.com/confidential-token-broker/ctb/attest/nitro/nitrotest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// verifications is how many ECDSA verifications one document takes: four certificates below the root, and its own.
const verifications = 5

// BenchmarkVerify is one full verification. Its ratio to the bare one is what everything but the signatures costs, and one
// signature more: crypto/x509 finds the root twice, as what is trusted and in the bundle, and verifies what it signed for each.
func BenchmarkVerify(b *testing.B) {
	b.Run("document", func(b *testing.B) {
		m := newModule(b, nitrotest.Config{})
		v := &nitro.Verifier{Root: m.Root()}
		e := &tee.Evidence{Platform: tee.Nitro, Quote: m.Document(make([]byte, 64), nil, nil, at)}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Verify(context.Background(), e, at); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		digest := sha512.Sum384([]byte("message"))
		signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			for range verifications {
				if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
					b.Fatal("does not verify")
				}
			}
		}
	})
}

func BenchmarkParseDocument(b *testing.B) {
	doc := newModule(b, nitrotest.Config{}).Document(make([]byte, 64), nil, nil, at)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nitro.ParseDocument(doc); err != nil {
			b.Fatal(err)
		}
	}
}
