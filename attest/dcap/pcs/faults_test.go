package pcs

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/internal/larder"
)

// stage is a simulated platform, the service of its maker over TLS, and a
// cache before it. Both ends have one clock.
type stage struct {
	platform *simulated.Platform
	about    dcap.Platform
	pcs      *simulated.PCS
	client   *Client
	cache    *Cache

	mu  sync.Mutex
	now time.Time
}

func (s *stage) clock() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.now }

func (s *stage) pass(d time.Duration) { s.mu.Lock(); defer s.mu.Unlock(); s.now = s.now.Add(d) }

// newStage makes it: the face is "pcs", as Intel's service speaks, or "v4" or "v3" of a PCCS.
func newStage(t testing.TB, tee, face string) *stage {
	t.Helper()
	p := hardware(t, simulated.Config{TEE: tee})
	s := &stage{platform: p, about: dcap.Platform{TEE: tee, FMSPC: sgx.FMSPC, CA: "platform"}, pcs: simulated.NewPCS(p), now: t0}
	s.pcs.Now = s.clock
	var handler http.Handler = s.pcs
	path := ""
	if face != "pcs" {
		handler, path = s.pcs.PCCS(), "/sgx/certification/"+face+"/"
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	// There is no other host in this world.
	transport := server.Client().Transport.(*http.Transport)
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != server.Listener.Addr().String() {
			return nil, &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	s.client = &Client{URL: server.URL + path, HTTP: server.Client(), now: s.clock, wait: func(context.Context, time.Duration) error { return nil }}
	s.cache = cacheOf(t, s.client, s.clock)
	return s
}

// verify verifies a quote that brings no collateral.
func (s *stage) verify(t testing.TB) (*tee.Report, error) {
	t.Helper()
	e, err := s.platform.Quote(t.Context(), [64]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	v := &dcap.Verifier{Root: s.platform.Root(), Collateral: s.cache}
	return v.Verify(t.Context(), &tee.Evidence{Platform: e.Platform, Quote: e.Quote}, s.clock())
}

func TestEveryFaceOfAService(t *testing.T) {
	for _, c := range []struct{ tee, face string }{{"sgx", "pcs"}, {"tdx", "pcs"}, {"sgx", "v4"}, {"tdx", "v4"}, {"sgx", "v3"}} {
		t.Run(c.tee+" "+c.face, func(t *testing.T) {
			s := newStage(t, c.tee, c.face)
			r, err := s.verify(t)
			if err != nil {
				t.Fatal(err)
			}
			if r.TEE != c.tee || r.TCB.Status != tee.UpToDate || r.TCB.EvaluationNumber != simulated.EvaluationNumber {
				t.Errorf("got %+v", r)
			}
			if n := s.pcs.Requests(""); n != 4 {
				t.Errorf("it took %d requests, want 4", n)
			}
			if _, err := s.verify(t); err != nil || s.pcs.Requests("") != 4 {
				t.Errorf("the second quote: %v, %d requests in all", err, s.pcs.Requests(""))
			}
		})
	}
	_, err := newStage(t, "tdx", "v3").verify(t)
	wantError(t, err, "API version 3", "no documents about TDX")
	if !errors.Is(err, tee.ErrUnavailable) {
		t.Errorf("got %v, want one that says that it can't be told", err)
	}
}

// TestEveryFault: whatever a service does, the good collateral stays in use until its end, never
// beyond, and the cache says what is wrong; and when the service is well, so is the cache.
func TestEveryFault(t *testing.T) {
	words := map[simulated.PCSFault]string{
		simulated.PCSDown:          "status 503",
		simulated.PCSBroken:        "status 500",
		simulated.PCSNoUpstream:    "status 502",
		simulated.PCSUnauthorized:  "wants an API key",
		simulated.PCSBusy:          "asked too often",
		simulated.PCSUnknown:       "status 404",
		simulated.PCSUncached:      "must be registered",
		simulated.PCSUncertified:   "no certificates for the TCB",
		simulated.PCSDrops:         "EOF",
		simulated.PCSSlow:          "did not answer in time",
		simulated.PCSTruncates:     "broke off after",
		simulated.PCSHalves:        "malformed JSON",
		simulated.PCSOversize:      "more than 524288 bytes",
		simulated.PCSGarbage:       "malformed JSON",
		simulated.PCSHTML:          "the header TCB-Info-Issuer-Chain is missing",
		simulated.PCSRedirects:     "no such host",
		simulated.PCSNoChain:       "the header TCB-Info-Issuer-Chain is missing",
		simulated.PCSSwappedChains: "issuer chain",
		simulated.PCSOtherFMSPC:    "want that of",
		simulated.PCSOtherTEE:      "want that of",
		simulated.PCSOtherCA:       "(processor CA), want that of",
		simulated.PCSOlder:         "tcbEvaluationDataNumber: got 16, want at least 17",
		simulated.PCSExpired:       "not valid after",
		simulated.PCSNotYetValid:   "not valid before",
		simulated.PCSForged:        "not signed by",
	}
	faces := map[string]string{"sgx": "pcs", "tdx": "v4"}
	for _, fault := range simulated.PCSFaults() {
		for kind, face := range faces {
			t.Run(string(fault)+" "+kind, func(t *testing.T) {
				want, ok := words[fault]
				if !ok {
					t.Fatal("nobody says here what is expected")
				}
				survive(t, newStage(t, kind, face), fault, want)
			})
		}
	}
}

func survive(t *testing.T, s *stage, fault simulated.PCSFault, want string) {
	good, err := s.cache.Collateral(t.Context(), s.about)
	if err != nil {
		t.Fatal(err)
	}
	s.pcs.Fail(fault)
	if fault == simulated.PCSSlow {
		s.client.HTTP.Timeout = 50 * time.Millisecond // of requests that would hang for ever
	}
	const day = 24 * time.Hour
	for _, step := range []struct {
		pass  time.Duration
		valid bool
	}{{day, true}, {29 * day, true}, {time.Hour, false}} {
		s.pass(step.pass)
		before := s.pcs.Requests("")
		s.cache.Refresh(t.Context())
		if s.pcs.Requests("") == before {
			t.Errorf("%v: the service was not asked", s.clock())
		}
		wantError(t, s.cache.Err(), want)
		if got, err := s.cache.Collateral(t.Context(), s.about); step.valid && got != good {
			t.Errorf("%v: the good one is gone: %v", s.clock(), err)
		}
	}
	if e := s.cache.Status()[0]; e.Err == nil || e.EvaluationNumber != simulated.EvaluationNumber {
		t.Errorf("got %+v", e)
	}
	if got, err := s.cache.Collateral(t.Context(), s.about); got != nil || err == nil {
		t.Errorf("got %p, %v beyond the end", got, err)
	} else {
		wantError(t, err, "valid from 2025-08-20T12:00:00Z to 2025-09-19T12:00:00Z only")
	}
	s.client.HTTP.Timeout = 0
	s.pcs.Fail("")
	s.pass(larder.MaxRetryAfter)
	if _, err := s.verify(t); err != nil || s.cache.Err() != nil {
		t.Errorf("the service is well, the cache is not: %v, %v", err, s.cache.Err())
	}
}

// TestEveryFaultAtFirst: a cache with nothing takes nothing from a service that fails or lies, and recovers.
// A service that has never been better than "older" can't be told from one that is.
func TestEveryFaultAtFirst(t *testing.T) {
	for _, fault := range simulated.PCSFaults() {
		if fault == simulated.PCSOlder || fault == simulated.PCSSlow {
			continue
		}
		t.Run(string(fault), func(t *testing.T) {
			s := newStage(t, "sgx", "pcs")
			s.pcs.Fail(fault)
			if got, err := s.cache.Collateral(t.Context(), s.about); got != nil || err == nil {
				t.Errorf("got %p, %v", got, err)
			}
			if _, err := s.verify(t); !errors.Is(err, tee.ErrUnavailable) {
				t.Errorf("got %v, want one that says that it can't be told", err)
			}
			s.pcs.Fail("")
			s.pass(larder.MaxRetryAfter)
			if _, err := s.verify(t); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNobodyWaitsForARefresh: the service holds its answers, and who has good collateral does not notice.
func TestNobodyWaitsForARefresh(t *testing.T) {
	s := newStage(t, "sgx", "pcs")
	if _, err := s.verify(t); err != nil {
		t.Fatal(err)
	}
	s.pcs.Fail(simulated.PCSSlow)
	s.pass(DefaultRefresh)
	for range 20 {
		if _, err := s.verify(t); err != nil { // or it would wait here, and nobody would end the fault
			t.Fatal(err)
		}
	}
	s.pcs.Fail("")
	s.cache.Refresh(t.Context())
	r, err := s.verify(t)
	if err != nil || !r.Collateral.NotBefore.Equal(s.clock()) || s.pcs.Requests(simulated.TCBInfo) != 2 {
		t.Errorf("got %v, %v after %d questions, want what was issued now after 2", r.Collateral, err, s.pcs.Requests(simulated.TCBInfo))
	}
}

func TestSixtyAskersOverSockets(t *testing.T) {
	s := newStage(t, "sgx", "pcs")
	s.pcs.Fail(simulated.PCSSlow, simulated.QEIdentity)
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() {
			if _, err := s.cache.Collateral(t.Context(), s.about); err != nil {
				t.Error(err)
			}
		})
	}
	// An asker who has no time leaves; the question goes on.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.cache.Collateral(ctx, s.about); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.pcs.Fail("")
	wg.Wait()
	for _, document := range []string{simulated.TCBInfo, simulated.QEIdentity, simulated.PCKCRL, simulated.RootCACRL} {
		if n := s.pcs.Requests(document); n != 1 {
			t.Errorf("%s was asked for %d times, want once", document, n)
		}
	}
}

// TestChannels: the early judgement is newer, and is not taken back by the standard one.
func TestChannels(t *testing.T) {
	s := newStage(t, "sgx", "pcs")
	s.client.Update = "early"
	r, err := s.verify(t)
	if err != nil || r.TCB.EvaluationNumber != simulated.EvaluationNumber+1 {
		t.Errorf("got %+v, %v", r, err)
	}
	s.client.Update = "standard"
	s.pass(DefaultRefresh)
	s.cache.Refresh(t.Context())
	wantError(t, s.cache.Err(), "got 17, want at least 18", "if the update channel was changed, empty the cache")
}

func TestADiskOfGenuineAnswers(t *testing.T) {
	s, dir := newStage(t, "tdx", "v4"), t.TempDir()
	first := cacheOf(t, s.client, s.clock, func(c *CacheConfig) { c.Dir = dir })
	want, err := first.Collateral(t.Context(), s.about)
	if err != nil {
		t.Fatal(err)
	}
	s.pcs.Fail(simulated.PCSDown)
	again := cacheOf(t, s.client, s.clock, func(c *CacheConfig) { c.Dir = dir })
	if got, err := again.Collateral(t.Context(), s.about); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want what was written before the restart", err)
	}
	// What was seen before the restart is not taken back after it.
	s.pcs.Fail(simulated.PCSOlder)
	s.pass(DefaultRefresh)
	again = cacheOf(t, s.client, s.clock, func(c *CacheConfig) { c.Dir = dir })
	if got, err := again.Collateral(t.Context(), s.about); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want what was written before the restart", err)
	}
	wantError(t, again.Err(), "tcbEvaluationDataNumber: got 16, want at least 17")
}
