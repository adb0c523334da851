package snptest

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
)

// Service is a key distribution service that speaks as AMD's (AMD publication 57230, chapter 4). It may be used by many goroutines at once.
type Service struct {
	// Fault answers in place of the service, if it returns true; nil never does.
	Fault func(w http.ResponseWriter, r *http.Request) bool

	mu        sync.Mutex
	platforms []*Platform
	asked     []string
}

// NewService makes one that knows the platforms.
func NewService(p ...*Platform) *Service { return &Service{platforms: p} }

// Asked are the URLs that were asked for, with their queries, without the host.
func (s *Service) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// SetFault changes Fault while the service runs.
func (s *Service) SetFault(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Fault = f
}

// ServeHTTP implements [http.Handler].
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.RequestURI())
	fault := s.Fault
	s.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	steps := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/") // vcek/v1/Milan/crl
	if r.Method != http.MethodGet || len(steps) != 4 || steps[1] != "v1" {
		http.Error(w, "no such document", http.StatusNotFound)
		return
	}
	for _, p := range s.platforms {
		if body := p.document(steps[0], steps[2], steps[3], r); body != nil {
			_, _ = w.Write(body) // who hangs up sees it himself
			return
		}
	}
	http.Error(w, "no such document", http.StatusNotFound)
}

// document is what the service has of this platform; nil if that is another one.
func (p *Platform) document(signedBy, product, what string, r *http.Request) []byte {
	if signedBy != p.config.SignedBy || product != p.config.Product {
		return nil
	}
	switch what {
	case "cert_chain":
		block := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }
		return append(block(p.ca.Raw), block(p.root.Raw)...)
	case "crl":
		return p.CRL()
	}
	id, t := p.chip(), p.config.TCB
	want := map[string]uint8{"blSPL": t.Bootloader, "teeSPL": t.TEE, "snpSPL": t.SNP, "ucodeSPL": t.Microcode}
	if product == kds.Turin {
		id, want["fmcSPL"] = id[:8], t.FMC
	}
	if signedBy != kds.VCEK || what != fmt.Sprintf("%x", id) || len(r.URL.Query()) != len(want) {
		return nil
	}
	for name, n := range want {
		if r.URL.Query().Get(name) != fmt.Sprintf("%02d", n) {
			return nil
		}
	}
	return p.leaf.Raw
}
