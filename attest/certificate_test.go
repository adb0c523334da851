package attest_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
)

func TestCertifyIsAppraised(t *testing.T) {
	for name, key := range map[string]crypto.Signer{
		"P-256": keys.p256(), "P-384": keys.p384(), "Ed25519": keys.ed25519(), "RSA": keys.rsa(),
	} {
		t.Run(name, func(t *testing.T) {
			tee := newTEE()
			want := binding()
			want.Nonce = []byte("fresh")
			want.Names = []string{"broker.example.com", "127.0.0.1"}
			cert, err := attest.Certify(context.Background(), tee, key, want)
			if err != nil {
				t.Fatal(err)
			}
			a, err := attest.Appraise(context.Background(), cert, attest.DICE, platforms(tee), day(1), day(1))
			if err != nil {
				t.Fatal(err)
			}
			got := a.Binding
			if got.Scheme != attest.DICE || got.Use != want.Use || got.Issuer != want.Issuer || got.RulesDigest != want.RulesDigest ||
				!got.Issued.Equal(want.Issued) || !got.Expires.Equal(want.Expires) || !bytes.Equal(got.Nonce, want.Nonce) || !slices.Equal(got.Names, want.Names) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if !key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(a.Key) {
				t.Error("appraised key is another one")
			}
		})
	}
}

func TestCertificateForm(t *testing.T) {
	b := binding()
	b.Use = attest.UseTLS
	b.Names = []string{"broker.example.com", "::1"}
	cert, err := attest.Certify(context.Background(), newTEE(), keys.p256(), b)
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		t.Error(err)
	}
	if got := cert.Subject.String(); got != "CN=confidential-token-broker" {
		t.Errorf("got subject %s", got)
	}
	if cert.Version != 3 || cert.KeyUsage != x509.KeyUsageDigitalSignature || cert.IsCA {
		t.Errorf("got version %d, key usage %v, CA %v", cert.Version, cert.KeyUsage, cert.IsCA)
	}
	if cert.SerialNumber.Sign() != 1 || cert.SerialNumber.BitLen() > 127 {
		t.Errorf("got serial %v", cert.SerialNumber)
	}
	for _, host := range []string{"broker.example.com", "::1"} {
		if err := cert.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(asn1.ObjectIdentifier{2, 23, 133, 5, 4, 9}) && ext.Critical {
			t.Error("evidence is critical: OpenSSL and mbedtls would refuse the certificate")
		}
		if bytes.Contains(ext.Value, []byte("collateral")) {
			t.Error("the certificate carries collateral")
		}
	}
}

// One certificate serves checkers of both kinds, and each reads only the evidence it was told to.
func TestBothSchemes(t *testing.T) {
	tee := newTEE()
	cert, err := attest.Certify(context.Background(), tee, keys.rsa(), binding(), attest.DICE, attest.Original)
	if err != nil {
		t.Fatal(err)
	}
	if got := attest.Schemes(cert); !slices.Equal(got, []string{attest.DICE, attest.Original}) {
		t.Errorf("got schemes %v", got)
	}
	for _, scheme := range []string{attest.DICE, attest.Original} {
		a, err := attest.Appraise(context.Background(), cert, scheme, platforms(tee), day(1), day(1))
		if err != nil {
			t.Fatalf("%s: %v", scheme, err)
		}
		if a.Binding.Scheme != scheme || a.Binding.Use != attest.UseSignature {
			t.Errorf("got %+v, want scheme %s", a.Binding, scheme)
		}
		if vouched := a.Binding.Issuer != ""; vouched != (scheme == attest.DICE) {
			t.Errorf("scheme %s: got issuer %q", scheme, a.Binding.Issuer)
		}
	}
}

func TestCertifyRefuses(t *testing.T) {
	change := func(f func(*attest.Binding)) attest.Binding {
		b := binding()
		f(&b)
		return b
	}
	broken := newTEE()
	broken.failure = errors.New("no such device")
	tests := map[string]struct {
		q       attest.Quoter
		key     crypto.Signer
		b       attest.Binding
		schemes []string
		want    string
	}{
		"no use":                    {b: change(func(b *attest.Binding) { b.Use = "" }), want: "no use"},
		"no issuer":                 {b: change(func(b *attest.Binding) { b.Issuer = "" }), want: `got issuer "", want a URL`},
		"issuer is a bare name":     {b: change(func(b *attest.Binding) { b.Issuer = "broker" }), want: "want a URL"},
		"expires when issued":       {b: change(func(b *attest.Binding) { b.Expires = b.Issued }), want: "is not after"},
		"expires in that second":    {b: change(func(b *attest.Binding) { b.Expires = b.Issued.Add(time.Second / 2) }), want: "is not after"},
		"long nonce":                {b: change(func(b *attest.Binding) { b.Nonce = make([]byte, 65) }), want: "nonce of 65 bytes"},
		"unknown scheme":            {schemes: []string{"newer"}, want: `got scheme "newer"`},
		"original with EC":          {schemes: []string{attest.Original}, want: "for RSA alone"},
		"original for TLS":          {key: keys.rsa(), b: change(func(b *attest.Binding) { b.Use = attest.UseTLS }), schemes: []string{attest.Original}, want: "keys that sign tokens"},
		"same scheme twice":         {schemes: []string{attest.DICE, attest.DICE}, want: "duplicate"},
		"hardware fails":            {q: broken, want: "quote: no such device"},
		"an empty report":           {q: quoterFunc(func() *attest.Evidence { return &attest.Evidence{Platform: "snp"} }), want: "the quote is empty"},
		"a platform without a name": {q: quoterFunc(func() *attest.Evidence { return &attest.Evidence{Quote: []byte{1}} }), want: `got platform ""`},
		"a platform's odd name":     {q: quoterFunc(func() *attest.Evidence { return &attest.Evidence{Platform: "SEV SNP", Quote: []byte{1}} }), want: `got platform "SEV SNP", want a name such as "snp"`},
		"huge report":               {q: quoterFunc(func() *attest.Evidence { return &attest.Evidence{Platform: "snp", Quote: make([]byte, 64<<10)} }), want: "at most 65536"},
		"huge quote":                {q: quoterFunc(func() *attest.Evidence { return &attest.Evidence{Platform: "dcap", Quote: make([]byte, 64<<10)} }), want: "at most 65536"},
		"original without v3":       {q: quoterFunc(func() *attest.Evidence { return &attest.Evidence{Platform: "dcap", Quote: []byte{4, 0, 2, 0}} }), key: keys.rsa(), schemes: []string{attest.Original}, want: "quote v3"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.q == nil {
				test.q = newTEE()
			}
			if test.key == nil {
				test.key = keys.p256()
			}
			if test.b.Scheme == "" && test.b.Expires.IsZero() {
				test.b = binding()
			}
			_, err := attest.Certify(context.Background(), test.q, test.key, test.b, test.schemes...)
			wantError(t, err, test.want)
		})
	}
}

type quoterFunc func() *attest.Evidence

func (f quoterFunc) Quote(context.Context, [64]byte) (*attest.Evidence, error) { return f(), nil }

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("got error %v, want one that says %q", err, want)
	}
}

// recorded is a verifier that believes the genuine quote of the original's
// sample: its report data is at offset 368 (quote header 48, report body 320).
type recorded struct{}

func (recorded) Platform() string { return "dcap" }

func (recorded) Verify(_ context.Context, e *attest.Evidence, _ time.Time) (*attest.Report, error) {
	genuine, err := os.ReadFile("testdata/original_quote.bin")
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(e.Quote) != sha256.Sum256(genuine) {
		return nil, errors.New("not the recorded quote")
	}
	return &attest.Report{TEE: "sgx", Data: [64]byte(e.Quote[368:432])}, nil
}

// The original broker's published certificate: bound by its own scheme, by no other.
func TestOriginalSample(t *testing.T) {
	der, err := os.ReadFile("testdata/original_cert.der")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if got := attest.Schemes(cert); !slices.Equal(got, []string{attest.Original}) {
		t.Errorf("got schemes %v", got)
	}
	if cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil {
		t.Error("the sample's self-signature is valid: the reason to not check it is gone")
	}
	at := time.Unix(1696053950, 0)
	a, err := attest.Appraise(context.Background(), cert, attest.Original, []attest.Verifier{recorded{}}, at, at)
	if err != nil {
		t.Fatal(err)
	}
	if a.Binding.Use != attest.UseSignature || !a.Binding.Expires.Equal(time.Date(2023, 10, 3, 7, 15, 58, 0, time.UTC)) {
		t.Errorf("got %+v", a.Binding)
	}
	_, err = attest.Appraise(context.Background(), cert, attest.DICE, []attest.Verifier{recorded{}}, at, at)
	wantError(t, err, "got 0 extensions 2.23.133.5.4.9")
	_, err = attest.Appraise(context.Background(), cert, attest.Original, []attest.Verifier{recorded{}}, day(0), at)
	wantError(t, err, "the key expired at 2023-10-03T07:15:58Z")
}
