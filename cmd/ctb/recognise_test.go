package main

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/nitro/nitrotest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/google/go-sev-guest/verify/testdata"
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
	f.Add(testdata.AttestationBytes)
	f.Add([]byte(base64.StdEncoding.EncodeToString(testdata.AttestationBytes)))
	f.Add(append(testdata.AttestationBytes[:kds.ReportSize:kds.ReportSize], make([]byte, 48)...))
	module, err := nitrotest.New(nitrotest.Config{Tagged: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(module.Document([]byte("data"), nil, nil, simulatedAt))
	for _, text := range []string{"", "\n", `{"leaf":"MAA="}`, "\x84\x44\xa1\x01\x38\x22", "0x02000000", "{}", `{"keys":[]}`, `{"keys":[{}]}`, `{"issuer":"https://b.example.com","keys":[{"kid":"a","use":"sig","x5c":["MAA="]}],"collateral":{"dcap":{}}}`, "-----BEGIN CERTIFICATE-----\n", "0x0300", "AwACAA==", "a.b.c", "\x03\x00\x02\x00", "0\x82"} {
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
		claims(in.evidence)
		if in.cert != nil {
			claims(evidenceIn(in.cert))
		}
		if in.evidence == nil && in.cert == nil && len(in.keys) == 0 && len(in.attestation.Keys) == 0 {
			t.Fatal("got nothing that could carry evidence")
		}
	})
}

// FuzzCollateral feeds anything to the door that reads collateral: it never panics, and what is valid is genuine.
func FuzzCollateral(f *testing.F) {
	for _, text := range []string{"", "{}", `{"leaf":"MAA=","ca":"MAA=","root":"MAA=","crl":"MAA="}`, `{"tcb_info":"{}"}`, `{"leaf":"","tcb_info":""}`,
		`{"issuer":"https://b.example.com","keys":[],"collateral":{"snp":{"root":"MAA="},"dcap":{}}}`} {
		f.Add([]byte(text))
	}
	p, err := simulated.New(simulated.Config{Seed: make([]byte, 32), Now: simulatedAt})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.Collateral().Marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		what, fix := insteadOfCollateral(data)
		if (what == "") != (fix == "") {
			t.Fatalf("got %q and %q, want both or neither", what, fix)
		}
		for _, root := range []*x509.Certificate{nil, p.Root()} {
			if x := inspectCollateral(data, root, simulatedAt); x.Valid && !x.Genuine || x.Genuine && x.Basis == nil || !x.Valid && len(x.Reasons) == 0 {
				t.Fatalf("got %+v", x)
			}
		}
	})
}

// TestRecogniseReport: a report by itself or with certificates behind it, and what only begins like one is told as what it is.
func TestRecogniseReport(t *testing.T) {
	report := testdata.AttestationBytes
	version := func(n byte) []byte { return append([]byte{n}, report[1:]...) }
	for _, test := range []struct {
		name string
		data []byte
		want string // of the error; "" recognised, "-" not recognised
	}{
		{"alone", report, ""},
		{"with an empty table", append(report[:kds.ReportSize:kds.ReportSize], make([]byte, 24)...), ""},
		{"cut", report[:1183], "has 1183 bytes, want 1184"},
		{"with junk behind it", append(report[:kds.ReportSize:kds.ReportSize], "junk"...), "4 bytes behind its 1184, which are no certificate table"},
		{"of version 1", version(1), "version"},
		{"of version 9", version(9), "version"},
		{"of version 0", version(0), "-"},
		{"a quote", []byte{3, 0, 2, 0}, "-"},
		{"nothing", nil, "-"},
	} {
		e, err := recogniseReport(test.data)
		switch {
		case test.want == "" && (err != nil || e == nil || len(e.Quote) != kds.ReportSize), test.want == "-" && (e != nil || err != nil),
			test.want != "" && test.want != "-" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %+v and the error %v, want %q", test.name, e, err, test.want)
		}
	}
}

// TestRecogniseDocument: a tag before a document is taken off, and nothing else is a document.
func TestRecogniseDocument(t *testing.T) {
	begin := []byte("\x84\x44\xa1\x01\x38\x22rest")
	for _, data := range [][]byte{begin, append([]byte{0xd2}, begin...)} {
		if e, err := recogniseDocument(data); err != nil || e == nil || !bytes.Equal(e.Quote, begin) {
			t.Errorf("%x: got %+v and the error %v", data, e, err)
		}
	}
	for _, data := range []string{"", "\xd2", "\xd2\xd2\x84\x44\xa1\x01\x38\x22", "\x84\x43\xa1\x01\x26", "\x83\x44\xa1\x01\x38\x22"} {
		if e, err := recogniseDocument([]byte(data)); err != nil || e != nil {
			t.Errorf("%x: got %+v and the error %v, want neither", data, e, err)
		}
	}
}
