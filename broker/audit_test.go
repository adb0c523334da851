package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/exchange"
)

// tearing writes a few bytes and fails, as a full disk does.
type tearing struct {
	bytes.Buffer
	room int
}

func (w *tearing) Write(p []byte) (int, error) {
	if w.room >= len(p) {
		return w.Buffer.Write(p)
	}
	n, _ := w.Buffer.Write(p[:w.room])
	return n, errors.New("no space left on device")
}

func TestAuditLogWritesLines(t *testing.T) {
	var w bytes.Buffer
	l := NewAuditLog(&w)
	var many sync.WaitGroup
	for range 50 {
		many.Go(func() {
			if err := l.Record(t.Context(), &Event{Time: noon, ID: "1", Outcome: Refused, Reason: "a \"line\"\nbreak \xff"}); err != nil {
				t.Error(err)
			}
		})
	}
	many.Wait()
	lines := strings.Split(strings.TrimSuffix(w.String(), "\n"), "\n")
	if len(lines) != 50 {
		t.Fatalf("got %d lines, want 50", len(lines))
	}
	for _, line := range lines {
		if want := `{"time":"2026-03-01T12:00:00Z","id":"1","outcome":"refused","reason":"a \"line\"\nbreak �"}`; line != want {
			t.Fatalf("got %s, want %s", line, want)
		}
	}
}

func TestAuditLogAfterATornLine(t *testing.T) {
	w := &tearing{room: 10}
	l := NewAuditLog(w)
	if err := l.Record(t.Context(), &Event{ID: "torn"}); err == nil {
		t.Fatal("a torn line counts as written")
	}
	w.room = 1000
	if err := l.Record(t.Context(), &Event{ID: "whole"}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(w.String(), "\n")
	var e Event
	if len(lines) != 3 || json.Unmarshal([]byte(lines[1]), &e) != nil || e.ID != "whole" {
		t.Errorf("got %q", lines)
	}
}

// A reader that has stalled holds up the one who writes, and the others no longer than a moment: no token is given.
func TestAuditThatStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		f := &Broker{config: &Config{Audit: NewAuditLog(w), Logger: slog.New(slog.DiscardHandler)}}
		stuck := make(chan error)
		go func() { stuck <- f.record(t.Context(), &Event{ID: "0"}) }()
		synctest.Wait()
		var askers sync.WaitGroup
		begin := time.Now()
		for range 5 {
			askers.Go(func() {
				if err := f.record(t.Context(), &Event{ID: "1"}); !errors.Is(err, errRecord) || answerTo(err).status != 503 {
					t.Errorf("got %v, want that it could not be recorded, which is a 503", err)
				}
			})
		}
		askers.Wait()
		if took := time.Since(begin); took != recordWithin || f.auditOK.Load() {
			t.Errorf("it took %v, want %v, and the page tells", took, recordWithin)
		}
		go io.Copy(io.Discard, r) // the reader is back
		if err := <-stuck; err != nil {
			t.Errorf("the record that waited longest was lost: %v", err)
		}
		if err := f.record(t.Context(), &Event{ID: "2"}); err != nil || !f.auditOK.Load() {
			t.Errorf("got %v", err)
		}
		r.Close()
		synctest.Wait()
	})
}

// Strangers fill the audit up to a rate; the next record says how many more there were.
func TestFloodOfStrangersIsBounded(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	stranger := func(times int) {
		for range times {
			_, _ = f.Exchange(t.Context(), &exchange.Request{SubjectToken: "x"})
		}
	}
	stranger(floodBurst + 500)
	if n := len(f.audit.all); n != floodBurst {
		t.Fatalf("%d were recorded, want %d", n, floodBurst)
	}
	f.audit.broken = errors.New("disk full")
	_, _ = f.Exchange(t.Context(), &exchange.Request{SubjectToken: p.token(t, noon)})
	f.audit.broken = nil
	f.exchangeFor(t, p) // whoever is authenticated is recorded in any case
	if e := f.audit.last(t); e.Outcome != Issued || e.Unrecorded != 500 {
		t.Errorf("got %+v, want an issued token and 500 unrecorded", e)
	}
	before := len(f.audit.all)
	f.clock.add(2 * time.Second)
	stranger(100)
	if n := len(f.audit.all) - before; n != 2*floodRate || f.audit.last(t).Unrecorded != 0 {
		t.Errorf("%d were recorded after two seconds, want %d", n, 2*floodRate)
	}
	_, _ = f.Exchange(t.Context(), &exchange.Request{SubjectToken: p.token(t, f.clock.now()), Scope: []string{"none"}})
	if e := f.audit.last(t); e.Outcome != Refused || e.Unrecorded != 80 {
		t.Errorf("got %+v, want the refusal of somebody who is known, and 80 unrecorded", e)
	}
}

func TestAuditNamesAnUnknownIssuer(t *testing.T) {
	p, stranger := newIDP(t, "https://idp.example.com/", "ES256"), newIDP(t, "https://stranger.example.com/", "ES256")
	f := newFixture(t, nil, p)
	_, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: stranger.token(t, noon)})
	if e := f.audit.last(t); !strings.Contains(e.Reason, stranger.name) || strings.Contains(err.Error(), stranger.name) {
		t.Errorf("recorded %q, answered %v: want the issuer's name in the record alone", e.Reason, err)
	}
}
