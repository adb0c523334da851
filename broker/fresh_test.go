package broker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/exchange"
)

func newNonce() []byte {
	nonce := make([]byte, 32)
	rand.Read(nonce)
	return nonce
}

// askFresh is a request of a client with this address, without a socket.
func (f *fixture) askFresh(ctx context.Context, remote string, nonce []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/.well-known/attestation?nonce="+base64.RawURLEncoding.EncodeToString(nonce), nil).WithContext(ctx)
	r.RemoteAddr = remote
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

// checkFresh judges an answer as a client does.
func (f *fixture) checkFresh(t *testing.T, answer []byte, nonce []byte) *attest.FreshAppraisal {
	t.Helper()
	doc, err := attest.ParseAttestation(answer)
	if err != nil {
		t.Fatal(err)
	}
	hardware, err := platform()
	if err != nil {
		t.Fatal(err)
	}
	a, err := attest.CheckFresh(t.Context(), doc, nonce, attest.Config{
		Policy: &attest.Policy{
			Builds: []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": simulated.DevMRENCLAVE[:]}}},
			Issuer: brokerURL, Rules: []string{f.ring.current.Load().rules.DigestString()}, SimulatedRoot: "root.pem",
		},
		Now: f.clock.now, Platforms: []attest.Verifier{&dcap.Verifier{Root: hardware.Root(), Collateral: hardware.Collateral()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestFreshEvidence(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	s, c := newShelf(), newClock(noon)
	restoredKey := started(t, c, s, p, nil).ring.current.Load().key.id
	f := started(t, c, s, p, nil)
	if _, err := f.TLSCertificate(); err != nil {
		t.Fatal(err)
	}
	c.add(time.Hour / 2)
	nonce := newNonce()
	resp, text := f.get(t, "/.well-known/attestation?nonce="+base64.RawURLEncoding.EncodeToString(nonce))
	if h := resp.Header; resp.StatusCode != 200 || h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/json" || h.Get("Etag") != "" {
		t.Fatalf("got %s %v", resp.Status, h)
	}
	a := f.checkFresh(t, []byte(text), nonce)
	if !a.Time.Equal(c.now()) || len(a.Keys) != 3 {
		t.Errorf("got %+v", a)
	}
	for _, k := range a.Keys {
		if k.Covered == (k.KeyID == restoredKey) {
			t.Errorf("key %s, %s: covered %v; want all but that of the run before, whose private half is gone", k.KeyID, k.Use, k.Covered)
		}
	}
	// Everything else of it is the document that everybody gets.
	with, err := attest.ParseAttestation([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	with.Fresh = nil
	if same, err := with.Marshal(); err != nil || string(same) != string(f.attested.published.Load().document.body) {
		t.Errorf("the document beside it is another: %v", err)
	}
}

// A parameter that is not honoured is refused: who sends a nonce must not take old evidence for fresh.
func TestFreshEvidenceIsAskedForInOneWay(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	quotes := f.hardware.quotes.Load()
	of := func(n int) string { return base64.RawURLEncoding.EncodeToString(make([]byte, n)) }
	for _, query := range []string{
		"nonce=", "nonce", "nonce=" + of(15), "nonce=" + of(65), "nonce=" + of(16) + "==", "nonce=" + strings.Repeat("/", 32),
		"nonce=" + of(32)[:42] + "B", // stray bits
		"nonce=" + of(32) + "%0A", "Nonce=" + of(32), "nonce=" + of(32) + "&nonce=" + of(32), "nonce=" + of(32) + "&x=1",
		"nonce=" + of(32) + ";x", "%zz", "x", "nonce=" + strings.Repeat("A", 1<<16),
	} {
		resp, text := f.get(t, "/.well-known/attestation?"+query)
		if resp.StatusCode != 400 || !strings.Contains(text, "16 to 64 random bytes in base64url without padding (22 to 86 characters)") || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%.80s: got %s %.200s", query, resp.Status, text)
		}
	}
	r, _ := http.NewRequest(http.MethodHead, f.server.URL+"/.well-known/attestation?nonce="+of(32), nil)
	if resp, _ := f.do(t, r); resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET" {
		t.Errorf("HEAD: got %s", resp.Status)
	}
	if resp, _ := f.get(t, "/.well-known/attestation?"); resp.StatusCode != 200 {
		t.Errorf("an empty query: got %s", resp.Status)
	}
	if f.hardware.quotes.Load() != quotes {
		t.Error("a quote was made")
	}
	for _, n := range []int{16, 64} {
		if w := f.askFresh(t.Context(), "192.0.2.1:1", make([]byte, n)); w.Code != 200 {
			t.Errorf("%d bytes: got %d", n, w.Code)
		}
	}
}

// A thousand who ask at once share a few quotes, and each has an answer to his own nonce.
func TestFreshEvidenceIsCoalesced(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	quotes := f.hardware.quotes.Load()
	const n = 1000
	nonces, answers := make([][]byte, n), make([][]byte, n)
	synctest.Test(t, func(t *testing.T) { // so that pauses take no time
		var askers sync.WaitGroup
		for i := range n {
			nonces[i] = newNonce()
			askers.Go(func() {
				w := f.askFresh(t.Context(), fmt.Sprintf("10.1.%d.%d:1", i/250, i%250), nonces[i])
				if w.Code != 200 {
					t.Errorf("got %d: %s", w.Code, w.Body)
				}
				answers[i] = w.Body.Bytes()
			})
		}
		askers.Wait()
		time.Sleep(time.Minute) // so that what answers them ends
	})
	if got := f.hardware.quotes.Load() - quotes; got < n/attest.MaxFreshNonces || got > 2*n/attest.MaxFreshNonces {
		t.Errorf("got %d quotes for %d nonces of 64 to a quote", got, n)
	}
	for i := 0; i < n; i += 37 {
		f.checkFresh(t, answers[i], nonces[i])
	}
}

// gated is hardware whose quotes for askers end when they are let.
type gated struct {
	*hardware
	gate  chan struct{}
	fresh atomic.Int64 // statements under way or done
	shut  atomic.Bool
}

func (g *gated) Quote(ctx context.Context, data [64]byte) (*attest.Evidence, error) {
	if g.shut.Load() {
		g.fresh.Add(1)
		select {
		case <-g.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return g.hardware.Quote(ctx, data)
}

// A flood of nonces on slow hardware: the exchange goes on, and the keys' own evidence goes first.
func TestFloodOfNonces(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	g := &gated{hardware: newHardware(t), gate: make(chan struct{})}
	f := newFixture(t, func(c *Config) { c.Quoter = g }, p)
	f.exchangeFor(t, p) // has the provider's keys
	synctest.Test(t, func(t *testing.T) {
		g.gate = make(chan struct{})
		g.shut.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		codes := make(chan int, maxAskers+100)
		for i := range cap(codes) {
			go func() {
				codes <- f.askFresh(ctx, fmt.Sprintf("10.%d.%d.1:1", i/250, i%250), newNonce()).Code
			}()
		}
		synctest.Wait()
		if n := g.fresh.Load(); n != 1 {
			t.Errorf("got %d statements under way, want one", n)
		}
		// Beyond those who wait, the others are told to come again.
		if n := len(codes); n < 36 || n > 100 {
			t.Errorf("got %d refused at once", n)
		}
		for range len(codes) {
			if code := <-codes; code != 503 {
				t.Errorf("got %d", code)
			}
		}
		// With the hardware in their hands, tokens are given, and a key gets its evidence.
		for range 50 {
			if _, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: p.token(t, noon)}); err != nil {
				t.Error(err)
			}
		}
		g.shut.Store(false)
		if err := f.SetRules(t.Context(), parseRules(t, ruleFile("-new", p))); err != nil {
			t.Fatal(err)
		}
		if n := len(f.published(t)); n != 2 {
			t.Errorf("got %d keys, want the next one announced", n)
		}
		// While a key asks, no statement is begun.
		f.quoting.begin()
		close(g.gate)
		time.Sleep(time.Second) // the first is done, and its pause over
		g.shut.Store(true)
		begun := g.fresh.Load()
		time.Sleep(3 * time.Second)
		if g.fresh.Load() != begun {
			t.Error("a statement was begun while a key waits")
		}
		f.quoting.done(true)
		synctest.Wait()
		if g.fresh.Load() != begun+1 {
			t.Error("no statement was begun after it")
		}
		cancel()
		time.Sleep(time.Minute) // and nothing of it is left, or this test would not end
		if n, working := f.fresh.state(); n != 0 || working {
			t.Errorf("%d wait", n)
		}
	})
}

// A key that gets its evidence while askers wait is covered by the statement that answers them.
func TestFreshEvidenceOfTheNewestKeys(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	nonce := newNonce()
	var answer *httptest.ResponseRecorder
	synctest.Test(t, func(t *testing.T) {
		f.quoting.begin()
		go func() { answer = f.askFresh(t.Context(), "192.0.2.1:1", nonce) }()
		synctest.Wait()
		if err := f.SetRules(t.Context(), parseRules(t, ruleFile("-new", p))); err != nil {
			t.Fatal(err)
		}
		f.quoting.done(true)
		time.Sleep(time.Minute) // so that what answers him ends
	})
	if answer.Code != 200 {
		t.Fatalf("got %d: %s", answer.Code, answer.Body)
	}
	keys := f.checkFresh(t, answer.Body.Bytes(), nonce).Keys
	for _, id := range f.published(t) {
		if !slices.ContainsFunc(keys, func(k attest.FreshKey) bool { return k.KeyID == id && k.Covered }) {
			t.Errorf("the key %s is published and not covered: %+v", id, keys)
		}
	}
	if len(f.published(t)) != 2 {
		t.Errorf("got %v, want the key in use and the next", f.published(t))
	}
}

// Who leaves is forgotten, and no quote is made for him.
func TestAskerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []int
		f := &freshness{config: defaults(), make: func(ctx context.Context, nonces [][]byte) ([]byte, error) {
			mu.Lock()
			asked = append(asked, len(nonces))
			mu.Unlock()
			time.Sleep(time.Second)
			return []byte("x"), nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		var left atomic.Int64
		go f.ask(t.Context(), nil)
		synctest.Wait()
		for range 500 {
			go func() {
				if _, err := f.ask(ctx, nil); errors.Is(err, context.Canceled) {
					left.Add(1)
				}
			}()
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if n, working := f.state(); fmt.Sprint(asked) != "[1]" || left.Load() != 500 || n != 0 || working {
			t.Errorf("statements over %v nonces, %d left, %d wait", asked, left.Load(), n)
		}
	})
}

func TestFreshEvidenceFromFailingHardware(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	f.hardware.broken.Store(true)
	w := f.askFresh(t.Context(), "192.0.2.1:1", newNonce())
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), exchange.TemporarilyUnavailable) || strings.Contains(w.Body.String(), "enclave") {
		t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
	if f.health().Status != healthReady {
		t.Errorf("got %+v: tokens are given", f.health())
	}
	f.hardware.broken.Store(false)
	if w := f.askFresh(t.Context(), "192.0.2.1:1", newNonce()); w.Code != 200 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// A broker without a key has nothing to vouch for.
func TestFreshEvidenceWithoutKeys(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, func(c *Config) {
		h := newHardware(t)
		h.broken.Store(true)
		c.Quoter = h
	}, p)
	if w := f.askFresh(t.Context(), "192.0.2.1:1", newNonce()); w.Code != 503 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestFreshEvidenceIsLimitedByClient(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	f.fresh.make = func(context.Context, [][]byte) ([]byte, error) { return []byte("{}"), nil }
	synctest.Test(t, func(t *testing.T) {
		ask := func(remote string) *httptest.ResponseRecorder { return f.askFresh(t.Context(), remote, newNonce()) }
		for i := range clientBurst {
			if w := ask(fmt.Sprintf("[2001:db8:1:2::%x]:1", i)); w.Code != 200 {
				t.Fatalf("request %d: got %d", i, w.Code)
			}
		}
		if w := ask("[2001:db8:1:2:ffff::]:1"); w.Code != 429 || w.Header().Get("Retry-After") != "3" {
			t.Errorf("got %d, Retry-After %s, want the /64 to wait", w.Code, w.Header().Get("Retry-After"))
		}
		if w := ask("[2001:db8:1:3::]:1"); w.Code != 200 {
			t.Errorf("another client: got %d", w.Code)
		}
		f.clock.add(clientEvery)
		if w := ask("[2001:db8:1:2::1]:1"); w.Code != 200 {
			t.Errorf("after its time: got %d", w.Code)
		}
		time.Sleep(time.Minute) // so that what answers them ends
	})
}

func TestClients(t *testing.T) {
	for a, b := range map[string]string{
		"192.0.2.1:1":             "192.0.2.1:2",
		"[::ffff:192.0.2.1]:1":    "192.0.2.1:2",
		"[2001:db8::1]:1":         "[2001:db8::ffff:ffff:ffff:ffff]:1",
		"[fe80::1%eth0]:1":        "[fe80::1%eth1]:1",
		"@":                       "",
		"not an address at all:x": "/run/socket",
	} {
		if clientOf(a) != clientOf(b) {
			t.Errorf("%s and %s are two clients", a, b)
		}
	}
	for a, b := range map[string]string{"192.0.2.1:1": "192.0.2.2:1", "[2001:db8::]:1": "[2001:db8:0:1::]:1", "@": "192.0.2.1:1"} {
		if clientOf(a) == clientOf(b) {
			t.Errorf("%s and %s are one client", a, b)
		}
	}
	// The clock is set back: nobody is locked out for longer than his burst lasts.
	c := newClients()
	for range clientBurst {
		if wait := c.admit("192.0.2.1:1", noon); wait != 0 {
			t.Fatalf("got %v", wait)
		}
	}
	if wait := c.admit("192.0.2.1:1", noon.Add(-24*time.Hour)); wait != clientEvery {
		t.Errorf("got %v", wait)
	}
	if wait := c.admit("192.0.2.1:1", noon.Add(-24*time.Hour+clientEvery)); wait != 0 {
		t.Errorf("got %v", wait)
	}
}

func defaults() *Config {
	c := Config{}.withDefaults()
	return &c
}

// state is how many wait, and whether somebody answers them.
func (f *freshness) state() (waiting int, working bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiting), f.working
}
