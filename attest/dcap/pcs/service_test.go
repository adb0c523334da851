package pcs

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// t0 is when the simulated world begins.
var t0 = time.Date(2025, 8, 20, 12, 0, 0, 0, time.UTC)

var seed = []byte("a seed for the tests of collateral, 32 bytes or more")

// sgx is the platform that most tests ask about.
var sgx = dcap.Platform{TEE: "sgx", FMSPC: [6]byte{0xf0, 0xc7, 0xb0, 0xde}, CA: "platform"}

// hardware makes a platform under the one root of these tests. Its judgement is
// of a day before the configuration's Now.
func hardware(t testing.TB, c simulated.Config) *simulated.Platform {
	t.Helper()
	c.Seed = seed
	if c.Now.IsZero() {
		c.Now = t0
	}
	p, err := simulated.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// issued is the collateral of the platform sgx, made at the instant.
func issued(t testing.TB, at time.Time) *dcap.Collateral {
	t.Helper()
	return hardware(t, simulated.Config{Now: at}).Collateral()
}

// service is a PCS, or a PCCS, with one answer to each question.
type service struct {
	mu     sync.Mutex
	asked  []*http.Request
	answer *dcap.Collateral
	form   func(der []byte) []byte                                 // of revocation lists
	fault  func(w http.ResponseWriter, r *http.Request) (did bool) // answers in place of the service
	url    string
	client *http.Client
}

// serve starts a service over TLS.
func serve(t testing.TB, c *dcap.Collateral) *service {
	t.Helper()
	s := &service{answer: c, form: func(der []byte) []byte { return der }}
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of connections that tests break off
	server.StartTLS()
	t.Cleanup(server.Close)
	s.url, s.client = server.URL, server.Client()
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r)
	c, fault, form := s.answer, s.fault, s.form
	s.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	switch path.Base(r.URL.Path) {
	case "tcb":
		name := "TCB-Info-Issuer-Chain"
		if strings.Contains(r.URL.Path, "/v3/") {
			name = "SGX-TCB-Info-Issuer-Chain"
		}
		setChain(w, name, c.TCBInfoIssuerChain)
		fmt.Fprintf(w, `{"tcbInfo":%s,"signature":"%x"}`, c.TCBInfo, c.TCBInfoSignature)
	case "identity":
		setChain(w, "SGX-Enclave-Identity-Issuer-Chain", c.QEIdentityIssuerChain)
		fmt.Fprintf(w, `{"enclaveIdentity":%s,"signature":"%x"}`, c.QEIdentity, c.QEIdentitySignature)
	case "pckcrl":
		setChain(w, "SGX-PCK-CRL-Issuer-Chain", c.PCKCRLIssuerChain)
		w.Write(form(c.PCKCRL))
	case "rootcacrl", "IntelSGXRootCA.der":
		w.Write(form(c.RootCACRL))
	default:
		http.NotFound(w, r)
	}
}

// setChain encodes a chain as Intel does.
func setChain(w http.ResponseWriter, name, chain string) {
	w.Header().Set(name, strings.ReplaceAll(url.QueryEscape(chain), "+", "%20"))
}

func (s *service) set(c *dcap.Collateral, fault func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer, s.fault = c, fault
}

// questions returns what was asked since the last call, as paths with queries, sorted.
func (s *service) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, r := range s.asked {
		all = append(all, r.URL.RequestURI())
	}
	s.asked = nil
	slices.Sort(all)
	return all
}

// of limits a fault to the paths with this end.
func of(end string, fault func(http.ResponseWriter, *http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, end) && fault(w, r)
	}
}

// status is the fault of answering with it.
func status(code int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool { http.Error(w, "no", code); return true }
}

// with returns a copy that was changed.
func with(c *dcap.Collateral, change func(*dcap.Collateral)) *dcap.Collateral {
	changed := *c
	change(&changed)
	return &changed
}

// hexOf is how some PCCS write a revocation list.
func hexOf(der []byte) []byte { return []byte(strings.ToUpper(hex.EncodeToString(der)) + "\n") }

// wantError checks that an error has all of the words.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("got no error, want one with %q", words)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got the error %q, want %q in it", err, w)
		}
	}
}

// source is a dcap.Source in memory.
type source struct {
	mu     sync.Mutex
	asked  int
	answer func(ctx context.Context, p dcap.Platform) (*dcap.Collateral, error)
}

var errDown = errors.New("the source is down")

func (s *source) Collateral(ctx context.Context, p dcap.Platform) (*dcap.Collateral, error) {
	s.mu.Lock()
	s.asked++
	answer := s.answer
	s.mu.Unlock()
	return answer(ctx, p)
}

func (s *source) count() int { s.mu.Lock(); defer s.mu.Unlock(); return s.asked }

// gives makes the source answer so from now on.
func (s *source) gives(c *dcap.Collateral, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = func(context.Context, dcap.Platform) (*dcap.Collateral, error) { return c, err }
}
