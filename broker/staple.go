package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
)

const (
	collateralEvery  = 10 * time.Minute // the source is asked again; whether it asks the network is its affair
	collateralRetry  = time.Minute      // and so soon while something is wrong with it, at first sooner
	collateralWithin = time.Minute      // one answer of the source, which may be several requests
	maxCollateral    = 256 << 10        // bytes; genuine collateral has some 20 KiB
)

// staple keeps the collateral that verifies the evidence of this broker's keys: what came with
// the newest evidence or, with Config.Collateral, what that source has. It is asked in the background,
// so that neither the start nor an exchange waits for the hardware's maker.
//
// It does not verify collateral: checkers do, and every byte that they believe is
// signed by the hardware's maker.
type staple struct {
	config  *Config
	changed func(platform string, collateral []byte) // nil collateral: there is none

	evidence atomic.Pointer[attest.Evidence] // the newest
	state    atomic.Pointer[stapleState]
	mu       sync.Mutex // held over a change of state

	// Of the source, which only advance asks.
	askAt    time.Time // not before it
	failures int       // in a row
}

// stapleState does not change once made.
type stapleState struct {
	platform string
	data     []byte    // nil: there is none
	until    time.Time // its end, zero where it is not known
	err      error     // of the newest answer of the source
	awaited  bool      // there was no answer yet
	since    time.Time // so it has been: with or without data, with or without trouble
}

func newStaple(c *Config, changed func(platform string, collateral []byte)) *staple {
	s := &staple{config: c, changed: changed}
	s.state.Store(&stapleState{since: c.wall(), awaited: c.Collateral != nil})
	return s
}

// note is told of all evidence for keys. What comes beside a quote does not go into certificates.
func (s *staple) note(e *attest.Evidence) {
	s.evidence.Store(e)
	if s.config.Collateral == nil {
		s.brought(e)
	}
}

// brought takes the collateral that came with evidence, where there is no source.
func (s *staple) brought(e *attest.Evidence) {
	if len(e.Collateral) == 0 {
		return
	}
	next := stapleState{platform: e.Platform, data: e.Collateral}
	if err := checkCollateral(e.Platform, e.Collateral); err != nil {
		next = *s.state.Load()
		next.err = fmt.Errorf("what came with the evidence: %w", err)
	}
	s.enter(next)
}

// run keeps the collateral current until ctx ends.
func (s *staple) run(ctx context.Context) {
	if s.config.Collateral == nil {
		return
	}
	for ctx.Err() == nil {
		due := s.advance(ctx)
		// A minute at most: a clock that was set forward is noticed soon.
		pause(ctx, min(max(due.Sub(s.config.wall()), 10*time.Millisecond), time.Minute), nil)
	}
}

// advance asks the source if it is time, drops what has ended, and tells when to come back.
func (s *staple) advance(ctx context.Context) time.Time {
	now := s.config.wall()
	if s.evidence.Load() == nil {
		return now.Add(time.Second) // there is nothing to ask for yet
	}
	late := s.askAt.Sub(now) > collateralEvery // from before the clock was set
	if !now.Before(s.askAt) || late || s.state.Load().ended(now) {
		s.refresh(ctx)
		now = s.config.wall()
		s.askAt = s.askAgain(now)
	}
	if have := *s.state.Load(); have.ended(now) {
		have.data, have.until = nil, time.Time{}
		s.enter(have)
	}
	return s.askAt
}

// askAgain is when the source is asked next: at the end of what it gave, if that comes first.
func (s *staple) askAgain(now time.Time) time.Time {
	have, again := s.state.Load(), now.Add(collateralEvery)
	if have.err == nil {
		s.failures = 0
	} else {
		again = now.Add(min(time.Second<<min(s.failures, 10), collateralRetry))
		s.failures++
	}
	if have.until.After(now) && have.until.Before(again) {
		again = have.until
	}
	return again
}

// ended tells whether the collateral is valid no more, as far as that is known.
func (have *stapleState) ended(now time.Time) bool {
	return !have.until.IsZero() && now.After(have.until)
}

// refresh asks the source once. Its last good answer stays if there is no better one.
func (s *staple) refresh(ctx context.Context) {
	e := s.evidence.Load()
	data, until, err := s.ask(ctx, e)
	if ctx.Err() != nil {
		return // the broker stops: that says nothing of the source
	}
	next := *s.state.Load()
	next.err, next.awaited = err, false
	if data != nil {
		next.platform, next.data, next.until = e.Platform, data, until
	}
	s.enter(next)
}

// ask returns an answer that is fit to be served, or an error, or both.
func (s *staple) ask(ctx context.Context, e *attest.Evidence) (data []byte, until time.Time, err error) {
	// What the source reads comes from outside. Should that make it panic, it is a
	// failed answer, and not the end of the broker.
	defer func() {
		if p := recover(); p != nil {
			data, err = nil, fmt.Errorf("its source panicked: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, collateralWithin)
	defer cancel()
	data, until, err = s.config.Collateral(ctx, e)
	if len(data) == 0 {
		if err == nil {
			err = errors.New("its source has none")
		}
		return nil, time.Time{}, err
	}
	if unfit := checkCollateral(e.Platform, data); unfit != nil {
		return nil, time.Time{}, unfit
	}
	if !until.IsZero() && s.config.wall().After(until) {
		return nil, time.Time{}, fmt.Errorf("it ended at %s", until.UTC().Format(time.RFC3339))
	}
	return data, until, err
}

// checkCollateral tells whether data can stand in the attestation document.
func checkCollateral(platform string, data []byte) error {
	if len(data) > maxCollateral {
		return fmt.Errorf("got %d bytes, want at most %d", len(data), maxCollateral)
	}
	_, err := (&attest.Attestation{
		Issuer: "https://broker", Keys: []attest.AttestedKey{}, Collateral: map[string]json.RawMessage{platform: data},
	}).Marshal()
	return err
}

// enter makes next the state, logs what a person would call a change, and has other data published.
func (s *staple) enter(next stapleState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.state.Load()
	next.since = last.since
	if had, has := last.data != nil, next.data != nil; had != has || (last.err == nil) != (next.err == nil) {
		next.since = s.config.wall()
		s.log(next)
	}
	s.state.Store(&next)
	if last.awaited != next.awaited || last.platform != next.platform || !bytes.Equal(last.data, next.data) {
		s.changed(next.platform, next.data)
	}
}

// health is what the health page tells.
func (have *stapleState) health() collateralHealth {
	h := collateralHealth{State: collateralCurrent, Since: have.since.UTC()}
	switch {
	case have.data == nil:
		h.State = collateralNone
	case have.err != nil:
		h.State = collateralStale
	}
	if !have.until.IsZero() {
		until := have.until.UTC()
		h.Until = &until
	}
	return h
}

func (s *staple) log(next stapleState) {
	served := "none"
	if next.data != nil {
		served = "the last good one"
	}
	if next.err != nil {
		s.config.Logger.Warn("the collateral of the hardware's evidence can't be brought up to date", "err", next.err, "served", served)
		return
	}
	known := []any{"platform", next.platform}
	if !next.until.IsZero() {
		known = append(known, "until", next.until.UTC())
	}
	s.config.Logger.Info("collateral is served beside the evidence", known...)
}
