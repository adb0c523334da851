package dcap

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"path/filepath"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// verifications is how many ECDSA verifications one quote takes with its
// collateral: PCK, PCK CA, quoting enclave, quote, two revocation lists, TCB
// signer, TCB info and QE identity. TDX takes no other: what it has beside is in the TCB info.
const verifications = 9

// BenchmarkVerify is one full verification with the collateral in memory. Its
// ratio to the bare one is what everything but the signatures costs.
func BenchmarkVerify(b *testing.B) {
	for _, name := range []struct{ quote, collateral, at string }{
		{processorQuote, processorCollateral, "2025-06-20T00:00:00Z"},
		{platformQuote, platformCollateral, "2025-08-20T00:00:00Z"},
		{tdxQuote, tdxCollateral, "2025-06-20T00:00:00Z"},
	} {
		b.Run(strings.TrimSuffix(filepath.Base(name.quote), ".quote"), func(b *testing.B) {
			e := evidence(b, name.quote, name.collateral)
			c, err := ParseCollateral(e.Collateral)
			if err != nil {
				b.Fatal(err)
			}
			v := &Verifier{Collateral: c}
			e = &tee.Evidence{Platform: e.Platform, Quote: e.Quote}
			at := instant(name.at)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(context.Background(), e, at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("bare", signaturesAlone)
}

// signaturesAlone is the same number of ECDSA verifications, and nothing else.
func signaturesAlone(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	r, s = new(big.Int).Set(r), new(big.Int).Set(s)
	b.ReportAllocs()
	for b.Loop() {
		for range verifications {
			if !ecdsa.Verify(&key.PublicKey, digest[:], r, s) {
				b.Fatal("does not verify")
			}
		}
	}
}

// BenchmarkParseQuote shows that parsing allocates the quote and its body, and nothing else.
func BenchmarkParseQuote(b *testing.B) {
	for _, name := range []string{platformQuote, tdxQuote} {
		b.Run(strings.TrimSuffix(filepath.Base(name), ".quote"), func(b *testing.B) {
			data := vector(b, name)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseQuote(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParseCollateral is what collateral costs that comes along with the evidence.
func BenchmarkParseCollateral(b *testing.B) {
	data := vector(b, platformCollateral)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseCollateral(data); err != nil {
			b.Fatal(err)
		}
	}
}
