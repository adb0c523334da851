package snptest_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

var _ tee.Quoter = (*snptest.Platform)(nil)

// TestEvidence carries the data that it was asked to, and its collateral unless it is bare.
func TestEvidence(t *testing.T) {
	for _, bare := range []bool{false, true} {
		p, err := snptest.New(snptest.Config{Bare: bare})
		if err != nil {
			t.Fatal(err)
		}
		data := [64]byte{1, 2, 3}
		e, err := p.Quote(context.Background(), data)
		if err != nil || e.Platform != tee.SNP || !bytes.Equal(e.Quote[0x50:0x90], data[:]) || (e.Collateral == nil) != bare {
			t.Errorf("got %+v, %v", e, err)
		}
		block, rest := pem.Decode(p.RootPEM())
		if root, err := x509.ParseCertificate(block.Bytes); err != nil || len(rest) > 0 || !root.Equal(p.Root()) {
			t.Errorf("got %v, %v", root, err)
		}
	}
}

// TestService has what it was made with, and nothing else.
func TestService(t *testing.T) {
	p, err := snptest.New(snptest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := snptest.NewService(p)
	for url, want := range map[string]int{
		"/vcek/v1/Milan/cert_chain": 200, "/vcek/v1/Milan/crl": 200, "/vcek/v1/Genoa/crl": 404, "/vlek/v1/Milan/crl": 404, "/vcek/v2/Milan/crl": 404, "/": 404,
		"/vcek/v1/Milan/00?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115": 404,
	} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, nil))
		if w.Code != want {
			t.Errorf("%s: got %d, want %d", url, w.Code, want)
		}
	}
	if _, err := p.Collateral(t.Context(), kds.Platform{SignedBy: kds.VLEK}); err == nil {
		t.Error("has collateral of a key that it is not")
	}
}
