package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestFiguresAreMedians(t *testing.T) {
	samples := func(rates ...float64) []sample {
		var all []sample
		for _, r := range rates {
			all = append(all, sample{rate: r, cpu: time.Duration(r) * time.Microsecond})
		}
		return all
	}
	bare := &cell{samples: samples(100, 200, 50)}
	guarded := &cell{samples: samples(90, 100, 45)}
	if got := guarded.rate(); got != 90 {
		t.Errorf("rate: got %v, want 90", got)
	}
	if got := guarded.processor(); got != 90 {
		t.Errorf("processor time: got %v, want 90", got)
	}
	// By rounds 0.9, 0.5 and 0.9: in the second the machine had something else to do for one of the two.
	if got := guarded.ratio(bare); got != 0.9 {
		t.Errorf("ratio: got %v, want 0.9", got)
	}
	if got := (&cell{samples: samples(1, 3)}).rate(); got != 2 {
		t.Errorf("median of two: got %v, want 2", got)
	}
	if got := new(cell).rate(); got != 0 {
		t.Errorf("median of nothing: got %v, want 0", got)
	}
}

func TestTable(t *testing.T) {
	bare := &cell{name: bareName, algorithm: "RS256", samples: []sample{{1000, 100 * time.Microsecond}, {1200, 90 * time.Microsecond}}}
	good := &cell{name: "good", algorithm: "RS256", samples: []sample{{900, 110 * time.Microsecond}, {1080, 100 * time.Microsecond}}}
	bad := &cell{name: "bad", algorithm: "ES256", err: errors.New("round 1: 7 of 9 requests were refused, 0 failed")}
	var b strings.Builder
	report(&b, plan{}, "a machine", []*cell{bare, good})
	for _, want := range []string{
		"| bare httputil.ReverseProxy | RS256 | 1100 | 1.00 | 95.0 | 1000 – 1200 |",
		"| good | RS256 | 990 | 0.90 | 105.0 | 900 – 1080 |",
		"- a machine.",
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("got %s\nwant the line %s", &b, want)
		}
	}
	if err := failed([]*cell{bare, bad, good}); err == nil || err.Error() != "bad, ES256: round 1: 7 of 9 requests were refused, 0 failed" {
		t.Errorf("failed: got %v, want the one of bad", err)
	}
	if err := failed([]*cell{bare, good}); err != nil {
		t.Errorf("failed: got %v, want nil", err)
	}
}

func TestPlan(t *testing.T) {
	good := plan{duration: time.Second, rounds: 1, connections: 1}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*plan){
		"no duration":            func(p *plan) { p.duration = 0 },
		"a fraction of a second": func(p *plan) { p.duration += time.Millisecond },
		"an hour":                func(p *plan) { p.duration = time.Hour },
		"a negative warm-up":     func(p *plan) { p.warmup = -time.Second },
		"no round":               func(p *plan) { p.rounds = 0 },
		"no connection":          func(p *plan) { p.connections = 0 },
		"too many connections":   func(p *plan) { p.connections = 100_000 },
	} {
		p := good
		change(&p)
		if p.check() == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func TestInstalledNamesAllThatIsMissing(t *testing.T) {
	err := installed("no-such-program", "nor-this-one")
	if err == nil || !strings.Contains(err.Error(), "no-such-program is missing") || !strings.Contains(err.Error(), "nor-this-one is missing") {
		t.Errorf("got %v, want both names", err)
	}
}
