package broker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// shelf is a State in memory, which may fail.
type shelf struct {
	mu      sync.Mutex
	records map[string][]byte
	load    error             // of Load, which then gives nothing
	keep    error             // of Keep
	kept    func(name string) // told before a record is kept
}

func newShelf() *shelf { return &shelf{records: map[string][]byte{}} }

func (s *shelf) Load(context.Context) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.load != nil {
		return nil, s.load
	}
	return maps.Clone(s.records), nil
}

func (s *shelf) Keep(_ context.Context, name string, record []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept != nil {
		s.kept(name)
	}
	if s.keep != nil {
		return s.keep
	}
	s.records[name] = bytes.Clone(record)
	return nil
}

func (s *shelf) Forget(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, name)
	return nil
}

func (s *shelf) fails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = err
}

func (s *shelf) has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records[name] != nil
}

// started is a broker over a state, at a time; the one before it was killed.
func started(t *testing.T, c *clock, s State, p *idp, change func(*Config)) *fixture {
	t.Helper()
	f := newFixture(t, func(config *Config) {
		config.Now, config.State = c.now, s
		if change != nil {
			change(config)
		}
	}, p)
	f.clock = c
	return f
}

func TestRestart(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	c, s := newClock(noon), newShelf()
	first := started(t, c, s, p, nil)
	old := first.ring.current.Load().key.id
	crash := 10 * time.Minute
	c.add(crash)
	token := first.exchangeFor(t, p)

	second := started(t, c, s, p, nil)
	if ids := second.published(t); len(ids) != 2 || ids[1] != old || ids[0] == old {
		t.Fatalf("got keys %v, want a new one and %s", ids, old)
	}
	second.verify(t, token)
	second.verify(t, second.exchangeFor(t, p))
	if a := second.attestation(t); len(a.Keys) != 2 || a.Keys[1].KeyID != old {
		t.Errorf("got %+v", a.Keys)
	}
	h := second.health()
	if h.Status != healthReady || h.State.State != stateKept || h.State.Restored != 1 || h.State.RestoredUntil != nil {
		t.Errorf("got %+v, %+v", h, h.State)
	}
	// Another restart does not make the key's time any longer.
	c.add(30 * time.Minute)
	third := started(t, c, s, p, nil)
	gone := crash + time.Hour + ctb.Leeway
	third.at(t, gone-time.Second)
	if !slices.Contains(third.published(t), old) || !s.has(old) {
		t.Error("the key is gone too early")
	}
	third.at(t, gone)
	if slices.Contains(third.published(t), old) || s.has(old) {
		t.Error("the key is still there when every token of it has expired, or its record is")
	}
	third.at(t, 30*time.Minute+crash+time.Hour+ctb.Leeway)
	if n := len(third.published(t)); n != 1 {
		t.Errorf("got %d keys", n)
	}
}

// Retired keys stay no longer than they would have without a restart, give or take the exchanges under way.
func TestRestartAfterRotation(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	c, s := newClock(noon), newShelf()
	f := started(t, c, s, p, nil)
	old := f.ring.current.Load().key.id
	f.exchangeFor(t, p)
	if err := f.SetRules(t.Context(), parseRules(t, ruleFile("-new", p))); err != nil {
		t.Fatal(err)
	}
	f.at(t, announceFor)
	f.at(t, 30*time.Minute)
	again := started(t, c, s, p, nil)
	if ids := again.published(t); len(ids) != 3 {
		t.Fatalf("got %v", ids)
	}
	again.at(t, announceFor+inFlight+time.Hour+ctb.Leeway)
	if ids := again.published(t); slices.Contains(ids, old) || len(ids) != 2 {
		t.Errorf("got %v, want %s gone", ids, old)
	}
}

// A broker that has been down for long publishes nothing of before.
func TestRestartAfterLong(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	c, s := newClock(noon), newShelf()
	old := started(t, c, s, p, nil).ring.current.Load().key.id
	c.add(30 * 24 * time.Hour)
	f := started(t, c, s, p, nil)
	if ids := f.published(t); len(ids) != 1 || s.has(old) {
		t.Errorf("got %v", ids)
	}
}

// A clock that starts in the past says nothing of when the process before it ended.
func TestRestartWithAClockOfThePast(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	c, s := newClock(noon), newShelf()
	f := started(t, c, s, p, nil)
	token := f.exchangeFor(t, p)
	c.nanos.Store(0) // 1970
	f = started(t, c, s, p, nil)
	if len(f.published(t)) != 2 {
		t.Fatal("the old key is not published")
	}
	f.at(t, time.Minute)
	f.verify(t, token)
}

// Without evidence, what was signed before can still be verified.
func TestRestartWithoutEvidence(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	c, s := newClock(noon), newShelf()
	first := started(t, c, s, p, nil)
	token := first.exchangeFor(t, p)
	h := newHardware(t)
	h.broken.Store(true)
	f := started(t, c, s, p, func(c *Config) { c.Quoter = h })
	f.verify(t, token)
	if f.health().Status != healthUnready || len(f.published(t)) != 1 || f.refused(t, p) != exchange.TemporarilyUnavailable {
		t.Errorf("got %+v", f.health())
	}
}

// Evidence of a key whose private half is gone can't be renewed, and the page says when it ends.
func TestRestoredEvidenceEnds(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	e := &ending{hardware: newHardware(t), clock: newClock(noon), lasts: 30 * time.Minute}
	s := newShelf()
	with := func(c *Config) { c.Quoter = e }
	started(t, e.clock, s, p, with)
	f := started(t, e.clock, s, p, with)
	if h := f.health(); h.State.RestoredUntil == nil || !h.State.RestoredUntil.Equal(noon.Add(30*time.Minute)) || h.State.Restored != 1 {
		t.Errorf("got %+v", h.State)
	}
}

// Kept, then published, then used: in this order.
func TestKeptBeforeItIsPublished(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	c, s := newClock(noon), newShelf()
	var f *fixture
	var kept []string
	s.kept = func(name string) {
		if f != nil && !slices.Contains(kept, name) && slices.Contains(f.published(t), name) {
			t.Errorf("the key %s is published and not kept", name)
		}
		kept = append(kept, name)
	}
	f = started(t, c, s, p, nil)
	first := f.ring.current.Load().key.id
	for d := time.Duration(0); d < 50*time.Hour; d += time.Minute {
		f.at(t, d)
		for _, id := range f.published(t) {
			if !slices.Contains(kept, id) {
				t.Fatalf("at %v the key %s is published and not kept", d, id)
			}
		}
	}
	if f.ring.current.Load().key.id == first || kept[0] != first {
		t.Error("no key was changed, or the first was not kept")
	}
}

// While nothing can be kept, the key in use goes on, and no other takes its place.
func TestStateCannotBeWritten(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	c, s := newClock(noon), newShelf()
	var log bytes.Buffer
	f := started(t, c, s, p, func(c *Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
	first := f.ring.current.Load().key.id
	s.fails(&os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC})
	quotes := f.hardware.quotes.Load()
	if err := f.SetRules(t.Context(), parseRules(t, ruleFile("-new", p))); err != nil {
		t.Fatal(err)
	}
	for m := range 300 {
		f.at(t, time.Duration(m)*time.Minute)
		f.verify(t, f.exchangeFor(t, p))
	}
	if ids := f.published(t); len(ids) != 1 || ids[0] != first {
		t.Errorf("got %v, want %s alone", ids, first)
	}
	if made := f.hardware.quotes.Load() - quotes; made != 1 {
		t.Errorf("got %d quotes for keys that can't be kept, want one", made)
	}
	h := f.health()
	if h.Status != healthDegraded || h.State.State != stateFailing || !strings.Contains(strings.Join(h.Reasons, "; "), "the state can't be read or written") {
		t.Errorf("got %+v, %+v", h, h.State)
	}
	if !strings.Contains(log.String(), "no space left on device") {
		t.Errorf("the log does not say why: %s", &log)
	}
	s.fails(nil)
	f.at(t, 301*time.Minute)
	f.at(t, 301*time.Minute+announceFor)
	if f.ring.current.Load().key.id == first || f.health().Status != healthReady {
		t.Errorf("got %+v", f.health())
	}
}

// The key in use signs no longer than what is kept of it says: beyond that, a crash would take its tokens from their checkers.
func TestStateCannotBeWrittenForLong(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	c, s := newClock(noon), newShelf()
	f := started(t, c, s, p, nil)
	s.fails(errors.New("read-only file system"))
	for h := range 49 {
		f.at(t, time.Duration(h)*time.Hour)
		f.verify(t, f.exchangeFor(t, p))
	}
	f.at(t, 49*time.Hour)
	if got := f.refused(t, p); got != exchange.TemporarilyUnavailable || f.health().Status != healthUnready {
		t.Errorf("got %q, %+v", got, f.health())
	}
	s.fails(nil)
	f.at(t, 50*time.Hour)
	f.verify(t, f.exchangeFor(t, p))
}

// Without the keys of before, none is used: their tokens could not be verified.
func TestStateCannotBeLoaded(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	c, s := newClock(noon), newShelf()
	token := started(t, c, s, p, nil).exchangeFor(t, p)
	for name, fault := range map[string]func(*shelf, error){
		"loaded": func(s *shelf, err error) { s.load = err },
		"kept":   func(s *shelf, err error) { s.keep = err },
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{records: maps.Clone(s.records)}
			c := newClock(noon.Add(time.Minute))
			fault(s, errors.New("permission denied"))
			f := started(t, c, s, p, nil)
			h := f.health()
			if got := f.refused(t, p); got != exchange.TemporarilyUnavailable || h.Status != healthUnready || h.State.State != stateFailing {
				t.Errorf("got %q, %+v", got, h)
			}
			fault(s, nil)
			f.at(t, 2*time.Minute)
			f.verify(t, token)
			f.verify(t, f.exchangeFor(t, p))
			if f.health().Status != healthReady {
				t.Errorf("got %+v", f.health())
			}
		})
	}
}

// When the key set is full of keys of before, no key is used until one of them has gone.
func TestRestartsWithoutRoom(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	c, s := newClock(noon), newShelf()
	var f *fixture
	for range jose.MaxKeys - 1 {
		f = started(t, c, s, p, nil)
	}
	f.exchangeFor(t, p)
	if n := len(f.published(t)); n != jose.MaxKeys-1 || f.health().Status != healthReady {
		t.Errorf("got %d keys, %+v", n, f.health())
	}
	f = started(t, c, s, p, nil)
	if f.health().Status != healthUnready || f.refused(t, p) != exchange.TemporarilyUnavailable {
		t.Errorf("got %+v", f.health())
	}
	f.at(t, time.Hour+ctb.Leeway)
	f.verify(t, f.exchangeFor(t, p))
}

// A record of a time that has not come, because a clock was wrong or somebody made it up, takes its place in the key set for no longer than a token lives.
func TestRecordOfTheFuture(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	s := newShelf()
	started(t, newClock(noon.AddDate(100, 0, 0)), s, p, nil)
	f := started(t, newClock(noon), s, p, nil)
	f.at(t, time.Hour+ctb.Leeway-time.Second)
	if n := len(f.published(t)); n != 2 {
		t.Errorf("got %d keys, want that of the earlier run as long as its tokens may live", n)
	}
	f.at(t, time.Hour+ctb.Leeway)
	if n := len(f.published(t)); n != 1 || len(s.records) != 1 {
		t.Errorf("got %d keys and %d records", n, len(s.records))
	}
}
