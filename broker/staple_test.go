package broker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/exchange"
)

// source is where collateral comes from: what it answers can be changed at any time.
type source struct {
	data  string
	until time.Time
	err   error
	panic any
	asked int
	for_  *attest.Evidence
}

func (s *source) collateral(_ context.Context, e *attest.Evidence) ([]byte, time.Time, error) {
	s.asked++
	s.for_ = e
	if s.panic != nil {
		panic(s.panic)
	}
	return []byte(s.data), s.until, s.err
}

// A staple's life: what the source says at an instant, and what is served and told then.
func TestStaple(t *testing.T) {
	down := errors.New("the service is down")
	end := noon.Add(3 * time.Hour)
	type step struct {
		at     time.Duration
		source source
		served string // collateral
		state  string // on the health page
		since  time.Duration
		logged string // "" for nothing
	}
	const cannot, serves = "can't be brought up to date", "collateral is served"
	for name, steps := range map[string][]step{
		"healthy": {
			{0, source{data: `{"n":1}`}, `{"n":1}`, "current", 0, serves},
			{5 * time.Minute, source{data: `{"n":2}`}, `{"n":1}`, "current", 0, ""}, // not asked yet
			{10 * time.Minute, source{data: `{"n":2}`}, `{"n":2}`, "current", 0, ""},
			{20 * time.Minute, source{data: `{"n":2}`}, `{"n":2}`, "current", 0, ""},
		},
		"down at the start, up later": {
			{0, source{err: down}, "", "none", 0, cannot},
			{time.Minute, source{err: down}, "", "none", 0, ""},
			{2 * time.Minute, source{data: `{"n":1}`}, `{"n":1}`, "current", 2 * time.Minute, serves},
		},
		"an outage": {
			{0, source{data: `{"n":1}`, until: end}, `{"n":1}`, "current", 0, serves},
			{10 * time.Minute, source{err: down}, `{"n":1}`, "stale", 10 * time.Minute, cannot},
			{11 * time.Minute, source{err: down}, `{"n":1}`, "stale", 10 * time.Minute, ""},
			{12 * time.Minute, source{data: `{"n":2}`, until: end}, `{"n":2}`, "current", 12 * time.Minute, serves},
		},
		"an outage beyond the end": {
			{0, source{data: `{"n":1}`, until: end}, `{"n":1}`, "current", 0, serves},
			{3 * time.Hour, source{err: down}, `{"n":1}`, "stale", 3 * time.Hour, cannot},
			{3*time.Hour + time.Minute, source{err: down}, "", "none", 3*time.Hour + time.Minute, cannot},
			{4 * time.Hour, source{data: `{"n":2}`}, `{"n":2}`, "current", 4 * time.Hour, serves},
		},
		"a cache whose service is down": {
			{0, source{data: `{"n":1}`, until: end, err: down}, `{"n":1}`, "stale", 0, cannot},
			{time.Minute, source{data: `{"n":1}`, until: end}, `{"n":1}`, "current", time.Minute, serves},
		},
		"what has ended already": {
			{0, source{data: `{"n":1}`, until: noon.Add(-time.Second)}, "", "none", 0, "it ended at 2026-03-01T11:59:59Z"},
		},
		"an end between two answers": {
			{0, source{data: `{"n":1}`, until: noon.Add(5 * time.Minute)}, `{"n":1}`, "current", 0, serves},
			{4 * time.Minute, source{data: `{"n":2}`}, `{"n":1}`, "current", 0, ""}, // not asked yet
			{6 * time.Minute, source{data: `{"n":2}`}, `{"n":2}`, "current", 0, ""},
		},
		"junk":             {{0, source{data: "<html>"}, "", "none", 0, cannot}},
		"a name twice":     {{0, source{data: `{"n":1,"n":2}`}, "", "none", 0, cannot}},
		"no object":        {{0, source{data: `[1]`}, "", "none", 0, cannot}},
		"nothing":          {{0, source{}, "", "none", 0, cannot}},
		"too much":         {{0, source{data: `{"n":"` + strings.Repeat("x", maxCollateral) + `"}`}, "", "none", 0, cannot}},
		"a panic":          {{0, source{panic: "index out of range"}, "", "none", 0, cannot}},
		"junk behind good": {{0, source{data: `{"n":1}`}, `{"n":1}`, "current", 0, serves}, {10 * time.Minute, source{data: "{"}, `{"n":1}`, "stale", 10 * time.Minute, cannot}},
		"the clock is set back": {
			{0, source{data: `{"n":1}`}, `{"n":1}`, "current", 0, serves},
			{12 * time.Hour, source{data: `{"n":2}`}, `{"n":2}`, "current", 0, ""},
			{time.Hour, source{data: `{"n":3}`}, `{"n":3}`, "current", 0, ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			from := new(source)
			p := newIDP(t, "https://idp.example.com/", "ES256")
			f := newFixture(t, func(c *Config) {
				c.Collateral = from.collateral
				c.Logger = slog.New(slog.NewJSONHandler(&log, nil))
			}, p)
			if resp, text := f.get(t, "/.well-known/attestation"); from.asked != 0 || resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
				t.Errorf("the start waited for the source, or a document is served that it has no part in: %s %s", resp.Status, text)
			}
			for _, s := range steps {
				log.Reset()
				*from = s.source
				f.clock.nanos.Store(noon.Add(s.at).UnixNano())
				f.staple.advance(t.Context())
				if got := string(f.attestation(t).Collateral["dcap"]); got != s.served {
					t.Errorf("at %v: got %.40q served, want %.40q", s.at, got, s.served)
				}
				h := f.health()
				if h.Collateral.State != s.state || !h.Collateral.Since.Equal(noon.Add(s.since)) {
					t.Errorf("at %v: the page has %+v, want %s since %v", s.at, h.Collateral, s.state, s.since)
				}
				if h.Status == healthUnready || (h.Status == healthDegraded) != (f.staple.state.Load().err != nil) {
					t.Errorf("at %v: got %s", s.at, h.Status)
				}
				if text := log.String(); !strings.Contains(text, s.logged) || strings.Count(text, "\n") > 1 || s.logged == "" && text != "" {
					t.Errorf("at %v: logged %s, want … %s", s.at, text, s.logged)
				}
			}
			if e := from.for_; e != nil && (e.Platform != "dcap" || len(e.Quote) == 0) {
				t.Errorf("it was asked for %+v", e)
			}
			f.verify(t, f.exchangeFor(t, p)) // whatever the source does
		})
	}
}

// A source that hangs keeps nobody waiting: not the start, not an exchange, not the end.
func TestStapleSourceHangs(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	asked := make(chan struct{})
	f := newFixture(t, func(c *Config) {
		c.Collateral = func(ctx context.Context, _ *attest.Evidence) ([]byte, time.Time, error) {
			close(asked)
			<-ctx.Done()
			return nil, time.Time{}, ctx.Err()
		}
	}, p)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Run(ctx) }()
	<-asked
	if _, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: p.token(t, noon)}); err != nil {
		t.Error(err)
	}
	if h := f.health(); h.Status != healthReady || h.Collateral.State != collateralNone {
		t.Errorf("got %+v", h)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := f.staple.state.Load().err; err != nil {
		t.Errorf("the end of the broker is held against the source: %v", err)
	}
}

// Without a source, what comes with the newest evidence is served.
func TestStapleOfTheEvidence(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	var log bytes.Buffer
	bring := &bringing{hardware: newHardware(t), collateral: []byte(`{"n":1}`)}
	f := newFixture(t, func(c *Config) { c.Quoter, c.Logger = bring, slog.New(slog.NewJSONHandler(&log, nil)) }, p)
	for _, c := range []struct{ name, brings, served, state string }{
		{"something new", `{"n":2}`, `{"n":2}`, "current"},
		{"nothing", ``, `{"n":2}`, "current"},
		{"junk", `<html>`, `{"n":2}`, "stale"},
		{"something new again", `{"n":3}`, `{"n":3}`, "current"},
	} {
		bring.collateral = []byte(c.brings)
		f.clock.add(25 * time.Hour)
		f.ring.advance(t.Context()) // announces a key
		if got := string(f.attestation(t).Collateral["dcap"]); got != c.served || f.health().Collateral.State != c.state {
			t.Errorf("%s: got %q served, %+v, want %q, %s", c.name, got, f.health().Collateral, c.served, c.state)
		}
		f.clock.add(announceFor)
		f.ring.advance(t.Context())
	}
	if n := strings.Count(log.String(), `"msg":"the collateral`) + strings.Count(log.String(), `"msg":"collateral`); n != 3 {
		t.Errorf("got %d lines of it, want one for each change:\n%s", n, &log)
	}
}

// bringing is hardware whose evidence brings this collateral.
type bringing struct {
	*hardware
	collateral []byte
}

func (b *bringing) Quote(ctx context.Context, data [64]byte) (*attest.Evidence, error) {
	e, err := b.hardware.Quote(ctx, data)
	if err != nil {
		return nil, err
	}
	with := *e
	with.Collateral = b.collateral
	return &with, nil
}

// The source is asked at once, then every ten minutes, and sooner while it fails.
func TestStapleAsksInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var asked []time.Duration
		c := Config{Issuer: brokerURL, Collateral: func(context.Context, *attest.Evidence) ([]byte, time.Time, error) {
			at := time.Since(began)
			asked = append(asked, at)
			switch {
			case at >= 10*time.Minute && at < 13*time.Minute:
				return nil, time.Time{}, errors.New("down")
			case at > 15*time.Minute:
				return []byte(`{"n":2}`), time.Time{}, nil
			}
			return []byte(`{"n":1}`), began.Add(15 * time.Minute), nil
		}}.withDefaults()
		s := newStaple(&c, func(string, []byte) {})
		s.evidence.Store(&attest.Evidence{Platform: "dcap"})
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
		defer cancel()
		s.run(ctx)
		var got []string
		for _, at := range asked {
			got = append(got, at.Round(time.Second).String())
		}
		// At 15m0s it gave what ended just then.
		const want = "0s 10m0s 10m1s 10m3s 10m7s 10m15s 10m31s 11m3s 12m3s 13m3s 15m0s 16m0s 26m0s 36m0s"
		if strings.Join(got, " ") != want {
			t.Errorf("asked at %s, want %s", strings.Join(got, " "), want)
		}
	})
}
