package main

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzRecognise feeds anything to the door that reads what strangers send: it never
// panics, and what it recognises is a quote, a certificate or a reason why not.
func FuzzRecognise(f *testing.F) {
	for _, name := range []string{"jwks.json", "cert.der", "quote.bin", "idp_jwks.json", "access_1_response.jwt"} {
		data, err := os.ReadFile(filepath.Join("testdata/original", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, text := range []string{"", "\n", "{}", `{"keys":[]}`, `{"keys":[{}]}`, `{"issuer":"https://b.example.com","keys":[{"kid":"a","use":"sig","x5c":["MAA="]}],"collateral":{"dcap":{}}}`, "-----BEGIN CERTIFICATE-----\n", "0x0300", "AwACAA==", "a.b.c", "\x03\x00\x02\x00", "0\x82"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := recognise(data)
		if (err == nil) != (in != nil) {
			t.Fatalf("got %v and the error %v, want one or the other", in, err)
		}
		if err != nil {
			return
		}
		claims(in.quote)
		if in.cert != nil {
			claims(quoteIn(in.cert))
		}
		if in.quote == nil && in.cert == nil && len(in.keys) == 0 && len(in.attestation.Keys) == 0 {
			t.Fatal("got nothing that could carry evidence")
		}
	})
}
