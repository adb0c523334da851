package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/snp"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// hostsOwn are the certificates that a host gives its guests, without a revocation list.
func hostsOwn(t *testing.T, p *snptest.Platform) []byte {
	t.Helper()
	c, err := kds.FromTable(p.Table())
	if err != nil {
		t.Fatal(err)
	}
	return c.Marshal()
}

// What is served for SEV-SNP is what its verifier needs, and nothing that is not this platform's.
func TestStapleOfSNP(t *testing.T) {
	p, err := snptest.New(snptest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := snptest.New(snptest.Config{Product: kds.Genoa})
	if err != nil {
		t.Fatal(err)
	}
	service := snptest.NewService(p)
	server := httptest.NewTLSServer(service)
	defer server.Close()
	ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	full, err := p.Quote(t.Context(), [64]byte{7})
	if err != nil {
		t.Fatal(err)
	}
	bare := &attest.Evidence{Platform: tee.SNP, Quote: full.Quote}
	table := hostsOwn(t, p)
	brought := &attest.Evidence{Platform: tee.SNP, Quote: full.Quote, Collateral: table}
	stranger, err := other.Quote(t.Context(), [64]byte{7})
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.Collateral(t.Context(), p.About())
	if err != nil {
		t.Fatal(err)
	}
	file := evidence.Source{File: write(t, "snp.json", string(all.Marshal()))}
	certificates := evidence.Source{File: write(t, "certificates.json", string(table))}
	list := evidence.Source{File: write(t, "list.json", string((&kds.Collateral{CRL: p.CRL()}).Marshal()))}
	for name, c := range map[string]struct {
		from   evidence.Source
		e      *attest.Evidence
		says   string // in the error; empty: none
		logged string
	}{
		"AMD's service":                         {evidence.Source{KDS: server.URL, CA: ca}, bare, "", "checkers can verify this platform"},
		"a file":                                {file, bare, "", "checkers can verify this platform"},
		"a file without a list":                 {certificates, bare, "", "unchecked_revocation"},
		"a list, and what the host brought":     {list, brought, "", "checkers can verify this platform"},
		"a list alone":                          {list, bare, "it is missing", ""},
		"another platform":                      {file, &attest.Evidence{Platform: tee.SNP, Quote: stranger.Quote}, "the product", ""},
		"no source of AMD's":                    {evidence.Source{PCS: evidence.Intel}, bare, "names no source of AMD's collateral", ""},
		"a source of AMD's for Intel's":         {file, &attest.Evidence{Platform: tee.DCAP, Quote: full.Quote}, "names no source of Intel's collateral", ""},
		"junk for a report":                     {file, &attest.Evidence{Platform: tee.SNP, Quote: []byte("report")}, "report", ""},
		"evidence that has all it is judged by": {file, &attest.Evidence{Platform: tee.Nitro}, `got evidence of "nitro"`, ""},
		"evidence of nobody we know":            {file, &attest.Evidence{Platform: "cca"}, `got evidence of "cca"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			s, err := newStaple(&config{Collateral: c.from}, p.Root(), slog.New(slog.NewJSONHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			data, until, err := s.collateral(t.Context(), c.e)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) || data != nil {
					t.Errorf("got %d bytes, %v, want … %s", len(data), err, c.says)
				}
				return
			}
			if err != nil || until.Before(time.Now()) || !strings.Contains(log.String(), c.logged) {
				t.Errorf("got until %v, %v, logged %s, want … %s", until, err, &log, c.logged)
			}
			report, err := (&snp.Verifier{Root: p.Root()}).Verify(t.Context(), &attest.Evidence{Platform: tee.SNP, Quote: c.e.Quote, Collateral: data}, time.Now())
			if err != nil || report.AMD.RevocationChecked == strings.Contains(c.logged, "unchecked") {
				t.Errorf("its verifier says %+v, %v", report, err)
			}
		})
	}
}

// While AMD's service is down, what the host brought is served, and that it is down is told.
func TestStapleOfSNPWhileTheServiceIsDown(t *testing.T) {
	p, err := snptest.New(snptest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	quote, err := p.Quote(t.Context(), [64]byte{7})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStaple(&config{Collateral: evidence.Source{KDS: server.URL}}, p.Root(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	e := &attest.Evidence{Platform: tee.SNP, Quote: quote.Quote, Collateral: hostsOwn(t, p)}
	if data, _, err := s.collateral(t.Context(), e); err == nil || !json.Valid(data) || len(data) == 0 {
		t.Errorf("got %d bytes, %v, want the host's certificates, and why there is no more", len(data), err)
	}
	e.Collateral = []byte(`{"leaf": 7}`)
	if data, _, err := s.collateral(t.Context(), e); err == nil || !strings.Contains(err.Error(), "what came with the evidence") || data != nil {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
}

// Files that became pipes are not waited for: what was read last is kept.
func TestStapleDoesNotWaitForPipes(t *testing.T) {
	p, err := snptest.New(snptest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.Collateral(t.Context(), p.About())
	if err != nil {
		t.Fatal(err)
	}
	quote, err := p.Quote(t.Context(), [64]byte{7})
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, "snp.json", string(all.Marshal()))
	var log bytes.Buffer
	s, err := newStaple(&config{Collateral: evidence.Source{File: path}}, p.Root(), slog.New(slog.NewJSONHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
		t.Fatal(err)
	}
	data, _, err := s.collateral(t.Context(), quote)
	if err != nil || len(data) == 0 || !strings.Contains(log.String(), "no regular file any more") {
		t.Errorf("got %d bytes, %v, logged %s", len(data), err, &log)
	}
}
