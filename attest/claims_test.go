package attest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"os"
	"reflect"
	"testing"
	"time"
)

func TestClaimsForm(t *testing.T) {
	b := Binding{
		Use: UseSignature, Issuer: "https://b.example", RulesDigest: [32]byte{1},
		Issued: time.Unix(1000, 0), Expires: time.Unix(2000, 0), Nonce: []byte{0xff},
	}
	got, err := claimsOf(b, []byte("the key")).marshal()
	if err != nil {
		t.Fatal(err)
	}
	// Written out by hand: shorter names first, every value a byte string.
	sum := sha256.Sum256([]byte("the key"))
	bound := bytes.Join([][]byte{
		{0xa5},
		{0x63}, []byte("use"), {0x63}, []byte("sig"),
		{0x65}, []byte("rules"), {0x82, 0x01, 0x58, 32, 1}, make([]byte, 31),
		{0x66}, []byte("issued"), {0x19, 0x03, 0xe8},
		{0x66}, []byte("issuer"), {0x71}, []byte("https://b.example"),
		{0x67}, []byte("expires"), {0x19, 0x07, 0xd0},
	}, nil)
	want := bytes.Join([][]byte{
		{0xa3},
		{0x65}, []byte("nonce"), {0x41, 0xff},
		{0x6b}, []byte("ctb-binding"), {0x58, byte(len(bound))}, bound,
		{0x6b}, []byte("pubkey-hash"), {0x58, 36, 0x82, 0x01, 0x58, 32}, sum[:],
	}, nil)
	if !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

// FuzzClaims holds that claims of our own form have one encoding: what is
// read from them writes the same bytes, unless there were further entries.
func FuzzClaims(f *testing.F) {
	b := Binding{Use: UseTLS, Issuer: "https://b.example", Issued: time.Unix(1000, 0), Expires: time.Unix(2000, 0)}
	plain, err := claimsOf(b, nil).marshal()
	if err != nil {
		f.Fatal(err)
	}
	b.Nonce, b.RulesDigest = []byte("n"), [32]byte{9}
	full, err := claimsOf(b, []byte("key")).marshal()
	if err != nil {
		f.Fatal(err)
	}
	foreign, err := (&claims{keyHash: hashEntry{Algorithm: hashSHA384, Digest: make([]byte, 48)}}).marshal()
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{plain, full, foreign, {}, {0xa0}, {0xbf, 0xff}, {0xa1, 0x40, 0x40}, full[:len(full)-1]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseClaims(data)
		if err != nil {
			return
		}
		again, err := c.marshal()
		if err != nil {
			t.Fatal(err)
		}
		c2, err := parseClaims(again)
		if err != nil {
			t.Fatalf("%x becomes %x: %v", data, again, err)
		}
		if !reflect.DeepEqual(c, c2) {
			t.Fatalf("%x says something else than %x", again, data)
		}
		third, err := c2.marshal()
		if err != nil || !bytes.Equal(third, again) {
			t.Fatalf("%x becomes %x", again, third)
		}
	})
}

// FuzzCertificate reads extensions of any content by both schemes, and by both forms of the first.
func FuzzCertificate(f *testing.F) {
	genuine, err := os.ReadFile("testdata/original_cert.der")
	if err != nil {
		f.Fatal(err)
	}
	cert, err := x509.ParseCertificate(genuine)
	if err != nil {
		f.Fatal(err)
	}
	quote, err := extension(cert, oidOriginal)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(quote)
	for _, b := range []Binding{{Use: UseSignature, Issuer: "https://b.example", Issued: cert.NotBefore, Expires: cert.NotAfter}} {
		claimed, err := claimsOf(b, cert.RawSubjectPublicKeyInfo).marshal()
		if err != nil {
			f.Fatal(err)
		}
		value, err := detEnc.Marshal(taggedEvidence(quote, claimed))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	f.Add(must((&cmwContent{Platform: "snp", Quote: quote, Claims: []byte{0xa0}}).marshal()))
	f.Add([]byte{0xd9, 0xea, 0x60, 0x82, 0x40, 0x40})
	f.Add([]byte{3, 0, 2, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		for i := range cert.Extensions {
			if cert.Extensions[i].Id.Equal(oidOriginal) {
				for _, id := range []asn1.ObjectIdentifier{oidDICE, oidCMW, oidOriginal} {
					c := *cert
					c.Extensions = append(c.Extensions[:0:0], cert.Extensions...)
					c.Extensions[i].Id, c.Extensions[i].Value = id, value
					scheme := DICE
					if id.Equal(oidOriginal) {
						scheme = Original
					}
					a, err := Appraise(context.Background(), &c, scheme, []Verifier{believer{}}, cert.NotBefore, cert.NotBefore)
					if err == nil && scheme == DICE {
						// The genuine certificate's signature covers another extension.
						t.Fatalf("accepted %x: %+v", value, a.Binding)
					}
				}
			}
		}
	})
}

// believer takes every quote for genuine, with the report data at its place in a quote v3.
type believer struct{}

func (believer) Platform() string { return "dcap" }

func (believer) Verify(_ context.Context, e *Evidence, _ time.Time) (*Report, error) {
	if len(e.Quote) < 432 {
		return nil, errors.New("too short")
	}
	return &Report{TEE: "sgx", Data: [64]byte(e.Quote[368:432])}, nil
}
