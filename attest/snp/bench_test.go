package snp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"testing"

	"github.com/google/go-sev-guest/testing/data"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
)

// BenchmarkVerify is one full verification with the collateral that came along, the first of a chain and the next. Its ratio to the bare signatures
// is what everything else costs: of the first, that the library verifies the two certificates once more, but for Turin.
func BenchmarkVerify(b *testing.B) {
	for name, c := range map[string]snptest.Config{"milan": {}, "turin": {Product: kds.Turin}} {
		p := platform(b, c)
		e, again := quote(b, p), &Verifier{Root: p.Root()}
		for which, verifier := range map[string]func() *Verifier{
			"first": func() *Verifier { return &Verifier{Root: p.Root()} },
			"next":  func() *Verifier { return again },
		} {
			b.Run(name+"/"+which, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := verifier().Verify(b.Context(), e, now); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	b.Run("bare", signaturesAlone)
}

// signaturesAlone is the least that it takes: the CA, the key and the revocation list (RSA-4096 PSS), and the report (ECDSA P-384).
func signaturesAlone(b *testing.B) {
	digest := sha512.Sum384([]byte("message"))
	signature, err := rsa.SignPSS(rand.Reader, data.ARKPrivateKey, crypto.SHA384, digest[:], nil)
	if err != nil {
		b.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	report, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		for range 3 {
			if err := rsa.VerifyPSS(&data.ARKPrivateKey.PublicKey, crypto.SHA384, digest[:], signature, nil); err != nil {
				b.Fatal(err)
			}
		}
		if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], report) {
			b.Fatal("does not verify")
		}
	}
}

// BenchmarkParseReport shows that parsing copies the report, and allocates nothing else.
func BenchmarkParseReport(b *testing.B) {
	report, _ := genuine(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseReport(report); err != nil {
			b.Fatal(err)
		}
	}
}
