package attest_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
)

// fakeTEE is hardware whose quote is the report data behind the four bytes of
// a quote v3: enough for everything that is not the platform's own affair.
type fakeTEE struct {
	report   attest.Report // what its verifier says; Data is taken from the quote
	failure  error
	platform string // "dcap" if empty
	padding  int    // bytes that make the quote as large as that of another platform
}

// newOther is hardware of another maker, whose report is of this size.
func newOther(platform string, size int) *fakeTEE {
	t := newTEE()
	t.platform, t.padding = platform, size-len(quoteHead)-64
	return t
}

func newTEE() *fakeTEE {
	return &fakeTEE{report: attest.Report{
		TEE: "sgx",
		Measurements: map[string][]byte{
			"mrenclave": bytes.Repeat([]byte{0xaa}, 32),
			"mrsigner":  bytes.Repeat([]byte{0xbb}, 32),
		},
		ISVProdID: 1, ISVSVN: 2,
		TCB:        attest.TCB{Status: attest.UpToDate, Platform: attest.UpToDate, QE: attest.UpToDate, EvaluationNumber: 17},
		Collateral: attest.Window{NotBefore: day(0), NotAfter: day(30)},
	}}
}

var quoteHead = []byte{3, 0, 2, 0}

func (t *fakeTEE) Quote(_ context.Context, data [64]byte) (*attest.Evidence, error) {
	if t.failure != nil {
		return nil, t.failure
	}
	quote := slices.Concat(quoteHead, data[:], make([]byte, t.padding))
	return &attest.Evidence{Platform: t.Platform(), Quote: quote, Collateral: []byte("collateral")}, nil
}

func (t *fakeTEE) Platform() string { return cmp.Or(t.platform, "dcap") }

func (t *fakeTEE) Verify(_ context.Context, e *attest.Evidence, at time.Time) (*attest.Report, error) {
	if t.failure != nil {
		return nil, t.failure
	}
	if e.Platform != t.Platform() || len(e.Quote) != 68+t.padding || !bytes.HasPrefix(e.Quote, quoteHead) {
		return nil, errors.New("not a quote of the fake hardware")
	}
	if at.Before(t.report.Collateral.NotBefore) || at.After(t.report.Collateral.NotAfter) {
		return nil, errors.New("collateral is not valid at this time")
	}
	r := t.report
	copy(r.Data[:], e.Quote[4:])
	return &r, nil
}

// day is the n-th day of the tests' calendar.
func day(n int) time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) }

const issuer = "https://broker.example.com"

// binding is the usual one of a signing key, valid from day 1 to day 2.
func binding() attest.Binding {
	return attest.Binding{
		Use: attest.UseSignature, Issuer: issuer, RulesDigest: [32]byte{1, 2, 3},
		Issued: day(1), Expires: day(2),
	}
}

var keys = struct {
	p256, p384, ed25519, rsa func() crypto.Signer
}{
	p256: sync.OnceValue(func() crypto.Signer { return made(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }),
	p384: sync.OnceValue(func() crypto.Signer { return made(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) }),
	rsa:  sync.OnceValue(func() crypto.Signer { return made(rsa.GenerateKey(rand.Reader, 2048)) }),
	ed25519: sync.OnceValue(func() crypto.Signer {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return made(key, err)
	}),
}

var otherRSA = sync.OnceValue(func() crypto.Signer { return made(rsa.GenerateKey(rand.Reader, 2048)) })

func made[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func platforms(t *fakeTEE) []attest.Verifier { return []attest.Verifier{t} }

func newP256(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
