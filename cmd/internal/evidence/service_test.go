package evidence_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// The time of the simulated services.
var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// world is a simulated machine, the service that knows it, and what was sent to that.
type world struct {
	machine  *simulated.Platform
	platform dcap.Platform
	service  *simulated.PCS
	url      string
	key      atomic.Value // the newest request's API key, a string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	p, err := simulated.New(simulated.Config{Seed: make([]byte, 32), Now: at})
	if err != nil {
		t.Fatal(err)
	}
	e, err := p.Quote(t.Context(), [64]byte{})
	if err != nil {
		t.Fatal(err)
	}
	quote, err := dcap.ParseQuote(e.Quote)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{machine: p, service: simulated.NewPCS(p)}
	if w.platform, err = quote.Platform(); err != nil {
		t.Fatal(err)
	}
	w.service.Now = now
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func now() time.Time { return at }

func (w *world) ServeHTTP(answer http.ResponseWriter, r *http.Request) {
	w.key.Store(r.Header.Get("Ocp-Apim-Subscription-Key"))
	w.service.ServeHTTP(answer, r)
}

// open opens a source under the simulated root.
func (w *world) open(t *testing.T, s evidence.Source) *evidence.Collateral {
	t.Helper()
	s.Now = now
	c, err := s.Open(w.machine.Root())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestServiceThenFile: the service is asked first, the file serves in its place,
// and what neither has is refused with both reasons.
func TestServiceThenFile(t *testing.T) {
	w := newWorld(t)
	file := write(t, "collateral.json", string(w.machine.Collateral().Marshal()))
	both := w.open(t, evidence.Source{PCS: w.url, File: file})
	c, err := both.DCAP().Collateral(t.Context(), w.platform)
	if err != nil || !strings.Contains(c.TCBInfo, at.Format(`"issueDate":"2006-01-02T15:04:05Z"`)) {
		t.Errorf("got %+v and %v, want what the service issues now", c, err)
	}
	if both.Err() != nil || len(both.Status()) != 1 {
		t.Errorf("got %v and %d entries, want all well and one platform", both.Err(), len(both.Status()))
	}

	w.service.Fail(simulated.PCSUnauthorized) // which is not asked twice, so that nobody waits
	both = w.open(t, evidence.Source{PCS: w.url, File: file})
	if _, err := both.DCAP().Collateral(t.Context(), w.platform); err != nil {
		t.Errorf("the service is down, and there is a file: %v", err)
	}
	if both.Err() == nil {
		t.Error("an outage is told by nobody")
	}
	other := w.platform
	other.TEE = "tdx"
	_, err = both.DCAP().Collateral(t.Context(), other)
	for _, want := range []string{"401", "collateral.json: it is about the platform sgx f0c7b0de0000"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

// TestCacheOutlivesTheProgram: what a directory keeps needs no service, and is verified again.
func TestCacheOutlivesTheProgram(t *testing.T) {
	w := newWorld(t)
	s := evidence.Source{PCS: w.url, Cache: filepath.Join(t.TempDir(), "cache")}
	if _, err := w.open(t, s).DCAP().Collateral(t.Context(), w.platform); err != nil {
		t.Fatal(err)
	}
	w.service.Fail(simulated.PCSUnauthorized) // which is not asked twice, so that nobody waits
	if _, err := w.open(t, s).DCAP().Collateral(t.Context(), w.platform); err != nil {
		t.Errorf("with the cache: %v", err)
	}
	s.Now = now
	stranger, err := s.Open(nil) // under Intel's root
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.DCAP().Collateral(t.Context(), w.platform); err == nil {
		t.Error("another root believes what the cache keeps")
	}
}

func TestNoSource(t *testing.T) {
	c, err := evidence.Source{}.Open(nil)
	if c != nil || err != nil {
		t.Errorf("got %v and %v, want nothing at all", c, err)
	}
	if c.Err() != nil || c.Status() != nil || c.DCAP() != nil || c.SNP() != nil {
		t.Error("nothing is unwell")
	}
}

// TestAPIKey: the key comes from a file, goes to the service, and is in no error.
func TestAPIKey(t *testing.T) {
	w := newWorld(t)
	c := w.open(t, evidence.Source{PCS: w.url, APIKeyFile: write(t, "key", "0123456789abcdef\n")})
	if _, err := c.DCAP().Collateral(t.Context(), w.platform); err != nil || w.key.Load() != "0123456789abcdef" {
		t.Errorf("got %v, and the service got the key %q", err, w.key.Load())
	}
	for text, want := range map[string]string{
		"": "the file is empty", "two words": "want one word of printable ASCII", "caf\xc3\xa9": "want one word", strings.Repeat("a", 1025): "got more than 1024 bytes",
	} {
		_, err := evidence.Source{PCS: w.url, APIKeyFile: write(t, "key", text)}.Open(nil)
		if err == nil || !strings.Contains(err.Error(), want) || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want %q in it, and never the key", err, want)
		}
	}
}

// TestServiceByCA: a service that no public CA knows is known by a file.
func TestServiceByCA(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewTLSServer(w)
	defer server.Close()
	ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	if _, err := w.open(t, evidence.Source{PCS: server.URL, CA: ca}).DCAP().Collateral(t.Context(), w.platform); err != nil {
		t.Error(err)
	}
	if _, err := w.open(t, evidence.Source{PCS: server.URL}).DCAP().Collateral(t.Context(), w.platform); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want that nobody knows the server", err)
	}
	if _, err := (evidence.Source{PCS: server.URL, CA: write(t, "no.pem", "x")}).Open(nil); err == nil || !strings.Contains(err.Error(), "got no certificate") {
		t.Errorf("got %v", err)
	}
}

// TestQCNL: the file of Intel's libraries names the service, and what it weakens is told.
func TestQCNL(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewTLSServer(w.service.PCCS())
	defer server.Close()
	conf := write(t, "qcnl.conf", fmt.Sprintf(`{"pccs_url": "%s/sgx/certification/v4/", "use_secure_cert": false}`, server.URL))
	s := evidence.Source{PCS: conf}
	warnings, err := s.Warnings()
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "use_secure_cert is false") {
		t.Errorf("got %q and %v, want a warning", warnings, err)
	}
	if _, err := w.open(t, s).DCAP().Collateral(t.Context(), w.platform); err != nil {
		t.Error(err)
	}
	// A CA that the operator names is asked for all the same.
	s.CA = write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.machine.Root().Raw})))
	if warnings, err := s.Warnings(); err != nil || warnings != nil {
		t.Errorf("got %q and %v with a CA", warnings, err)
	}
	if _, err := w.open(t, s).DCAP().Collateral(t.Context(), w.platform); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v, want that the CA does not know the server", err)
	}
	for _, bad := range []evidence.Source{{PCS: filepath.Join(t.TempDir(), "absent.conf")}, {PCS: "intel", Update: "late"}} {
		if _, err := bad.Warnings(); err == nil {
			t.Errorf("%+v: got no error", bad)
		}
		if _, err := bad.Open(nil); err == nil {
			t.Errorf("%+v: opened", bad)
		}
	}
	if warnings, err := (evidence.Source{File: "any"}).Warnings(); err != nil || warnings != nil {
		t.Errorf("got %q and %v for a file", warnings, err)
	}
}
