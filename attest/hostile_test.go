package attest_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/confidential-token-broker/ctb/attest"
)

var (
	oidDICE     = asn1.ObjectIdentifier{2, 23, 133, 5, 4, 9}
	oidOriginal = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}
)

// forgery is a certificate in the making, each step of which can be spoiled.
// It is written here from the form's description, by other code than Certify's.
type forgery struct {
	key      crypto.Signer
	keyHash  any         // of the "pubkey-hash" entry, embedded; nil makes the right one
	bound    any         // of the "ctb-binding" entry, embedded; nil leaves it out
	claims   map[any]any // further entries, and replacements
	raw      []byte      // the claims as a whole, instead of all the above
	data     func([]byte) [64]byte
	evidence func(quote, claims []byte) any    // what the extension's value encodes
	value    []byte                            // the extension's value, instead
	wrapped  func(quote, claims []byte) []byte // the value of the extension for other platforms, instead of that of DICE
	template *x509.Certificate
	signer   crypto.Signer
	at       time.Time
	tee      *fakeTEE
	scheme   string
}

// boundMap is the "ctb-binding" entry of a usual key, valid from day 1 to day 2.
func boundMap() map[string]any {
	return map[string]any{
		"use": "sig", "issuer": issuer, "issued": day(1).Unix(), "expires": day(2).Unix(),
		"rules": []any{1, make([]byte, 32)},
	}
}

func newForgery(t testing.TB) *forgery {
	return &forgery{
		key: newP256(t), bound: boundMap(), claims: map[any]any{}, tee: newTEE(), at: day(1), scheme: attest.DICE,
		data: func(claims []byte) (data [64]byte) {
			sum := sha256.Sum256(claims)
			copy(data[:], sum[:])
			return data
		},
		evidence: func(quote, claims []byte) any { return cbor.Tag{Number: 60000, Content: []any{quote, claims}} },
		template: &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "RATLS"}, NotBefore: day(1), NotAfter: day(2),
		},
	}
}

var det = made(cbor.CoreDetEncOptions().EncMode())

func encode(v any) []byte { return made(det.Marshal(v)) }

func (f *forgery) certificate(t testing.TB) *x509.Certificate {
	t.Helper()
	if f.keyHash == nil {
		sum := sha256.Sum256(made(x509.MarshalPKIXPublicKey(f.key.Public())))
		f.keyHash = []any{1, sum[:]}
	}
	m := map[any]any{"pubkey-hash": encode(f.keyHash)}
	if f.bound != nil {
		m["ctb-binding"] = encode(f.bound)
	}
	for k, v := range f.claims {
		if m[k] = v; v == nil {
			delete(m, k)
		}
	}
	claims := encode(m)
	if f.raw != nil {
		claims = f.raw
	}
	id, hardware := oidDICE, newTEE()
	if f.wrapped != nil {
		id, hardware = oidCMW, f.tee
	}
	quote := made(hardware.Quote(context.Background(), f.data(claims))).Quote
	switch {
	case f.wrapped != nil:
		f.value = f.wrapped(quote, claims)
	case f.value == nil:
		f.value = encode(f.evidence(quote, claims))
	}
	if f.signer == nil {
		f.signer = f.key
	}
	f.template.ExtraExtensions = append(f.template.ExtraExtensions, pkix.Extension{Id: id, Value: f.value})
	parent := &x509.Certificate{Subject: f.template.Subject, SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, f.template, parent, f.key.Public(), f.signer)
	if err != nil {
		t.Fatal(err)
	}
	return made(x509.ParseCertificate(der))
}

func (f *forgery) appraise(t testing.TB) (*attest.Appraisal, error) {
	t.Helper()
	return attest.Appraise(context.Background(), f.certificate(t), f.scheme, platforms(f.tee), f.at, day(1))
}

// Certificates in the same form by other software pass as far as their claims go.
func TestForeignCertificates(t *testing.T) {
	for name, change := range map[string]func(*forgery){
		"as ours":           func(f *forgery) {},
		"Gramine":           func(f *forgery) { f.bound = nil },
		"with a nonce":      func(f *forgery) { f.bound = nil; f.claims["nonce"] = []byte("n") },
		"with a long nonce": func(f *forgery) { f.bound = nil; f.claims["nonce"] = make([]byte, 1000) },
		"with further claims": func(f *forgery) {
			f.bound = nil
			f.claims["more"] = []byte{1}
			f.claims["text"] = "t"
			f.claims[7] = []any{1}
		},
		"SHA-384": func(f *forgery) {
			f.bound = nil
			sum := sha512.Sum384(made(x509.MarshalPKIXPublicKey(f.key.Public())))
			f.keyHash = []any{7, sum[:]}
		},
		"SHA-512": func(f *forgery) {
			f.bound = nil
			sum := sha512.Sum512(made(x509.MarshalPKIXPublicKey(f.key.Public())))
			f.keyHash = []any{8, sum[:]}
		},
		"claims in another order": func(f *forgery) {
			sum := sha256.Sum256(made(x509.MarshalPKIXPublicKey(f.key.Public())))
			hash := encode([]any{1, sum[:]})
			f.raw = append([]byte{0xa2}, append(append(encode("pubkey-hash"), encode(hash)...), append(encode("nonce"), encode([]byte("n"))...)...)...)
		},
		"critical evidence": func(f *forgery) {
			f.bound = nil
			f.template.ExtraExtensions = append(f.template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 23, 133, 5, 4, 2}, Critical: true, Value: []byte{0xd9, 0xea, 0x60, 0x40}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForgery(t)
			change(f)
			a, err := f.appraise(t)
			if err != nil {
				t.Fatal(err)
			}
			if !a.Binding.Issued.Equal(day(1)) || !a.Binding.Expires.Equal(day(2)) {
				t.Errorf("got validity from %v to %v", a.Binding.Issued, a.Binding.Expires)
			}
			if f.bound == nil && (a.Binding.Use != "" || a.Binding.Issuer != "") {
				t.Errorf("got %+v from claims that say nothing of it", a.Binding)
			}
		})
	}
}

// publicOnly is a key that signs nothing.
type publicOnly struct{ crypto.Signer }

func (publicOnly) Public() crypto.PublicKey {
	return &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 8192, 1), E: 65537}
}

// One fault each. Genuine evidence that is not bound has its facts beside the error; malformed evidence has none.
func TestHostileCertificates(t *testing.T) {
	bound := func(change func(map[string]any)) func(*forgery) {
		return func(f *forgery) {
			m := boundMap()
			change(m)
			f.bound = m
		}
	}
	raw := func(b ...byte) func(*forgery) { return func(f *forgery) { f.raw = append([]byte{}, b...) } }
	malformed := map[string]struct {
		change func(*forgery)
		want   string
	}{
		"no evidence":    {func(f *forgery) { f.scheme = attest.Original }, "no evidence by the scheme original"},
		"unknown scheme": {func(f *forgery) { f.scheme = "any" }, `got scheme "any"`},
		"a key that takes its time": {func(f *forgery) { f.key, f.signer = publicOnly{}, made(rsa.GenerateKey(rand.Reader, 2048)) },
			"an RSA key of 8193 bits, want at most 8192"},
		"empty extension":      {func(f *forgery) { f.value = []byte{} }, "evidence: EOF"},
		"DER in the extension": {func(f *forgery) { f.value = []byte{0x30, 0x00} }, "evidence: "},
		"untagged":             {func(f *forgery) { f.evidence = func(q, c []byte) any { return []any{q, c} } }, "evidence: "},
		"tag of a TEE report": {func(f *forgery) {
			f.evidence = func(q, c []byte) any { return cbor.Tag{Number: 60001, Content: []any{q, c}} }
		}, "got CBOR tag 60001, want 60000"},
		"nothing in the tag": {func(f *forgery) {
			f.evidence = func(q, c []byte) any { return cbor.Tag{Number: 60000, Content: []any{}} }
		}, "got an array of 0, want [quote, claims]"},
		"quote alone": {func(f *forgery) {
			f.evidence = func(q, c []byte) any { return cbor.Tag{Number: 60000, Content: []any{q}} }
		}, "got an array of 1"},
		"three items": {func(f *forgery) {
			f.evidence = func(q, c []byte) any { return cbor.Tag{Number: 60000, Content: []any{q, c, c}} }
		}, "got an array of 3"},
		"quote is text": {func(f *forgery) {
			f.evidence = func(q, c []byte) any { return cbor.Tag{Number: 60000, Content: []any{"q", c}} }
		}, "quote: not a byte string"},
		"quote is an array of numbers": {func(f *forgery) {
			f.evidence = func(q, c []byte) any { return cbor.Tag{Number: 60000, Content: []any{[]int{3, 0, 2, 0}, c}} }
		}, "quote: not a byte string"},
		"claims are not wrapped": {func(f *forgery) {
			f.evidence = func(q, c []byte) any { return cbor.Tag{Number: 60000, Content: []any{q, cbor.RawMessage(c)}} }
		}, "claims: not a byte string"},
		"bytes behind the evidence": {func(f *forgery) {
			f.value = append(encode(cbor.Tag{Number: 60000, Content: []any{[]byte{1}, []byte{0xa0}}}), 0)
		}, "extraneous data"},
		"evidence of 64 KiB": {func(f *forgery) {
			f.evidence = func(q, c []byte) any { return cbor.Tag{Number: 60000, Content: []any{make([]byte, 64<<10), c}} }
		}, "at most 65536"},
		"indefinite array":             {func(f *forgery) { f.value = []byte{0xd9, 0xea, 0x60, 0x9f, 0x41, 1, 0x41, 0xa0, 0xff} }, "indefinite-length"},
		"claims are empty":             {raw(), "claims: EOF"},
		"claims are an array":          {raw(0x80), "claims: cbor"},
		"claims of 16 KiB":             {func(f *forgery) { f.claims["more"] = make([]byte, 16<<10) }, "want at most 16384"},
		"claims with a repeated entry": {raw(0xa2, 0x61, 'a', 0x40, 0x61, 'a', 0x40), "duplicate map key"},
		"claims of indefinite length":  {raw(0xbf, 0x61, 'a', 0x40, 0xff), "indefinite-length"},
		"claims cut off":               {raw(0xa2, 0x61, 'a', 0x40), "EOF"},
		"bytes behind the claims":      {raw(0xa0, 0x00), "extraneous data"},
		"claims with invalid UTF-8":    {raw(0xa1, 0x61, 0xff, 0x40), "UTF-8"},
		"claims nested deeply": {func(f *forgery) {
			f.raw = append(append([]byte{0xa1, 0x61, 'a'}, bytes.Repeat([]byte{0x81}, 1000)...), 0x80)
		}, "nest"},
		"claims with a map as a name":   {raw(0xa1, 0xa0, 0x40), "claims: cbor"},
		"no hash of the key":            {func(f *forgery) { f.claims["pubkey-hash"] = nil }, `no "pubkey-hash"`},
		"hash of the key not wrapped":   {func(f *forgery) { f.claims["pubkey-hash"] = []any{1, make([]byte, 32)} }, `"pubkey-hash": not a byte string`},
		"hash without an algorithm":     {func(f *forgery) { f.keyHash = make([]byte, 32) }, `"pubkey-hash": cbor`},
		"hash with three items":         {func(f *forgery) { f.keyHash = []any{1, make([]byte, 32), 0} }, "got an array of 3, want [algorithm, digest]"},
		"hash by SHA-1's number":        {func(f *forgery) { f.keyHash = []any{0, make([]byte, 20)} }, "got hash algorithm 0"},
		"hash algorithm is negative":    {func(f *forgery) { f.keyHash = []any{-1, make([]byte, 32)} }, `"pubkey-hash": cbor`},
		"hash algorithm is text":        {func(f *forgery) { f.keyHash = []any{"sha-256", make([]byte, 32)} }, `"pubkey-hash": cbor`},
		"truncated SHA-256":             {func(f *forgery) { f.keyHash = []any{1, make([]byte, 16)} }, "got a digest of 16 bytes, want 32"},
		"empty SHA-512":                 {func(f *forgery) { f.keyHash = []any{8, []byte{}} }, "got a digest of 0 bytes, want 64"},
		"nonce is a number":             {func(f *forgery) { f.claims["nonce"] = 7 }, `"nonce": not a byte string`},
		"binding is not wrapped":        {func(f *forgery) { f.claims["ctb-binding"] = boundMap() }, `"ctb-binding": not a byte string`},
		"binding is an array":           {func(f *forgery) { f.bound = []any{"sig"} }, `"ctb-binding": cbor`},
		"binding with a further member": {bound(func(m map[string]any) { m["delegate"] = true }), "members that are not known here"},
		"binding without a use":         {bound(func(m map[string]any) { delete(m, "use") }), "not in deterministic form"},
		"binding of an empty use":       {bound(func(m map[string]any) { m["use"] = "" }), "names no use"},
		"binding of use as bytes":       {bound(func(m map[string]any) { m["use"] = []byte("sig") }), `"ctb-binding": cbor`},
		"binding of times as text":      {bound(func(m map[string]any) { m["issued"] = "now" }), `"ctb-binding": cbor`},
		"binding of times as fractions": {bound(func(m map[string]any) { m["issued"] = 1.5 }), `"ctb-binding": cbor`},
		"binding that ends at once":     {bound(func(m map[string]any) { m["expires"] = m["issued"] }), "which is not after"},
		"binding of null rules":         {bound(func(m map[string]any) { m["rules"] = nil }), "not in deterministic form"},
		"binding of SHA-512 rules":      {bound(func(m map[string]any) { m["rules"] = []any{8, make([]byte, 64)} }), "no SHA-256"},
		"binding of short rules":        {bound(func(m map[string]any) { m["rules"] = []any{1, make([]byte, 31)} }), "no SHA-256"},
		"unknown critical extension": {func(f *forgery) {
			f.template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}, "critical extension 1.2.3, which is not known here"},
		"evidence that is not genuine": {func(f *forgery) { f.tee.failure = errors.New("quote signature is wrong") }, "evidence: quote signature is wrong"},
	}
	for name, test := range malformed {
		t.Run(name, func(t *testing.T) {
			f := newForgery(t)
			test.change(f)
			_, err := f.appraise(t)
			wantError(t, err, test.want)
			var facts *attest.BindingError
			if errors.As(err, &facts) {
				t.Error("got facts of evidence that nothing is known of")
			}
		})
	}
	unbound := map[string]struct {
		change func(*forgery)
		want   string
	}{
		"evidence of another key": {func(f *forgery) {
			sum := sha256.Sum256(made(x509.MarshalPKIXPublicKey(keys.p256().Public())))
			f.keyHash = []any{1, sum[:]}
		}, "bound to another key"},
		"hash of the bare key": {func(f *forgery) {
			var spki struct {
				Algorithm pkix.AlgorithmIdentifier
				Key       asn1.BitString
			}
			if _, err := asn1.Unmarshal(made(x509.MarshalPKIXPublicKey(f.key.Public())), &spki); err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(spki.Key.Bytes)
			f.keyHash = []any{1, sum[:]}
		}, "bound to another key"},
		"claims changed after the quote": {func(f *forgery) {
			f.data = func(claims []byte) [64]byte { return [64]byte(bytes.Repeat([]byte{7}, 64)) }
		}, "bound to something else: got report data 0707"},
		"second half of the report data": {func(f *forgery) {
			right := f.data
			f.data = func(claims []byte) [64]byte { d := right(claims); d[63] = 1; return d }
		}, "bound to something else"},
		"first bit of the report data": {func(f *forgery) {
			right := f.data
			f.data = func(claims []byte) [64]byte { d := right(claims); d[0] ^= 0x80; return d }
		}, "bound to something else"},
		"SHA-512 of the claims": {func(f *forgery) {
			f.data = func(claims []byte) [64]byte { return sha512.Sum512(claims) }
		}, "bound to something else"},
		"signed by another key":            {func(f *forgery) { f.signer = keys.p256() }, "not signed by its own key"},
		"Gramine's, signed by another key": {func(f *forgery) { f.bound = nil; f.signer = keys.p256() }, "not signed by its own key"},
		"certificate lives longer":         {func(f *forgery) { f.template.NotAfter = day(20) }, "the certificate is valid from 2026-01-02T00:00:00Z to 2026-01-21T00:00:00Z, its evidence says"},
		"certificate begins earlier":       {func(f *forgery) { f.template.NotBefore = day(0) }, "its evidence says from 2026-01-02T00:00:00Z"},
		"a second before its time":         {func(f *forgery) { f.at = day(1).Add(-time.Second) }, "not valid before"},
		"a second after its time":          {func(f *forgery) { f.at = day(2).Add(time.Second) }, "expired at"},
		"Gramine's, after its time":        {func(f *forgery) { f.bound = nil; f.at = day(2).Add(time.Second) }, "expired at"},
		"Gramine's, before its time":       {func(f *forgery) { f.bound = nil; f.at = day(0) }, "not valid before"},
	}
	for name, test := range unbound {
		t.Run(name, func(t *testing.T) {
			f := newForgery(t)
			test.change(f)
			a, err := f.appraise(t)
			wantError(t, err, test.want)
			var facts *attest.BindingError
			if !errors.As(err, &facts) || facts.Report.TEE != "sgx" || a != nil {
				t.Errorf("got %T and %v, want a BindingError with the report", err, a)
			}
		})
	}
	if n := len(malformed) + len(unbound); n < 40 {
		t.Errorf("got %d hostile certificates, want 40 or more", n)
	}
}

// Our own entry has one encoding: a binding that says the same in another is refused.
func TestBindingHasOneEncoding(t *testing.T) {
	canonical := encode(boundMap())
	f := newForgery(t)
	f.bound = cbor.RawMessage(canonical)
	if _, err := f.appraise(t); err != nil {
		t.Fatal(err)
	}
	longer := bytes.Replace(canonical, []byte("\x63use\x63sig"), []byte("\x63use\x78\x03sig"), 1) // length in two bytes
	swapped := append([]byte{canonical[0]}, bytes.Replace(canonical[1:], []byte("\x63use\x63sig"), nil, 1)...)
	swapped = append(swapped, "\x63use\x63sig"...)
	for name, other := range map[string][]byte{"longer": longer, "swapped": swapped} {
		if bytes.Equal(other, canonical) {
			t.Fatalf("%s: same encoding", name)
		}
		f := newForgery(t)
		f.bound = cbor.RawMessage(other)
		_, err := f.appraise(t)
		wantError(t, err, "not in deterministic form")
	}
}

func TestAppraiseNeedsVerifier(t *testing.T) {
	cert := newForgery(t).certificate(t)
	at := day(1)
	_, err := attest.Appraise(context.Background(), nil, attest.DICE, platforms(newTEE()), at, at)
	wantError(t, err, "no certificate")
	_, err = attest.Appraise(context.Background(), cert, attest.DICE, nil, at, at)
	wantError(t, err, "no platform verifier")
	_, err = attest.Appraise(context.Background(), cert, attest.DICE, []attest.Verifier{otherPlatform{}}, at, at)
	wantError(t, err, `no verifier for evidence of platform "dcap"`)
	_, err = attest.Appraise(context.Background(), cert, attest.DICE, []attest.Verifier{silent{}}, at, at)
	wantError(t, err, "has no report")
}

type otherPlatform struct{ *fakeTEE }

func (otherPlatform) Platform() string { return "snp" }

type silent struct{ *fakeTEE }

func (silent) Platform() string { return "dcap" }
func (silent) Verify(context.Context, *attest.Evidence, time.Time) (*attest.Report, error) {
	return nil, nil
}

// The original's scheme, spoiled.
func TestHostileOriginal(t *testing.T) {
	tee := newTEE()
	good := certify(t, tee, keys.rsa(), binding(), attest.Original)
	value := func(cert *x509.Certificate) []byte {
		for _, ext := range cert.Extensions {
			if ext.Id.Equal(oidOriginal) {
				return bytes.Clone(ext.Value)
			}
		}
		t.Fatal("no extension")
		return nil
	}
	forge := func(key crypto.Signer, values ...[]byte) *x509.Certificate {
		c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: day(1), NotAfter: day(2)}
		for _, v := range values {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidOriginal, Value: v})
		}
		cert := made(x509.ParseCertificate(made(x509.CreateCertificate(rand.Reader, c, c, key.Public(), key))))
		return cert
	}
	flipped := value(good)
	flipped[4] ^= 1
	zeros := value(good)
	zeros[len(zeros)-1] = 1
	twice := forge(keys.rsa(), value(good))
	twice.Extensions = append(twice.Extensions, twice.Extensions...) // which the parser would not let through
	for name, test := range map[string]struct {
		cert *x509.Certificate
		want string
	}{
		"none":                          {forge(keys.rsa()), "got 0 extensions 1.2.840.113741.1.13.1"},
		"twice":                         {twice, "got 2 extensions"},
		"Intel's PCK extension":         {forge(keys.rsa(), []byte{0x30, 0}), "not an SGX quote v3"},
		"empty":                         {forge(keys.rsa(), []byte{}), "not an SGX quote v3"},
		"large":                         {forge(keys.rsa(), append(bytes.Clone(quoteHead), make([]byte, 64<<10)...)), "at most 65536"},
		"EC key":                        {forge(keys.p256(), value(good)), "for RSA alone"},
		"another RSA key":               {forge(otherRSA(), value(good)), "bound to something else"},
		"report data, first byte":       {forge(keys.rsa(), flipped), "bound to something else"},
		"report data, beyond the first": {forge(keys.rsa(), zeros), "bound to something else"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := attest.Appraise(context.Background(), test.cert, attest.Original, platforms(tee), day(1), day(1))
			wantError(t, err, test.want)
		})
	}
}

// What is not there is refused, and ends no server.
func TestNothingIsRefused(t *testing.T) {
	p := anyPolicy()
	for name, c := range map[string]attest.Config{"with a policy": {Policy: p, Platforms: platforms(newTEE())}, "without": {}} {
		if a, err := attest.AppraiseCertificate(t.Context(), nil, c); err != nil || a.Err == nil {
			t.Errorf("no certificate, %s: got %v, %v", name, a.Err, err)
		}
	}
	var refused *attest.RefusalError
	if err := p.Check(nil, nil); !errors.As(err, &refused) {
		t.Errorf("no report: got %v", err)
	}
}
