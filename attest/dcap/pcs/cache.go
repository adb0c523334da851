package pcs

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// The discipline by which a cache asks.
const (
	DefaultRefresh      = 24 * time.Hour   // Intel reissues its documents daily, and may raise their evaluation number on any day
	DefaultMaxPlatforms = 256              // Intel has made some hundred families of platforms
	minRefresh          = time.Minute      // collateral is not asked for anew before this age, however soon it ends
	firstBackOff        = time.Second      // after a failure; doubled by each further one
	maxBackOff          = time.Minute      // while there is nothing to use
	maxCalmBackOff      = 15 * time.Minute // while there is
	maxRetryAfter       = time.Hour        // a service that asks to be left alone for longer is asked at this time
	flightTime          = time.Minute      // of one flight, which is a read of the disk and a question to the source
	grace               = 2 * time.Second  // that the source has if the disk had something valid, but old
	memory              = time.Hour        // of a platform for which there is nothing and nobody asks any more
)

// CacheConfig configures a [Cache].
type CacheConfig struct {
	Source       dcap.Source       // where collateral comes from, mostly a *Client; required
	Root         *x509.Certificate // the trust anchor; nil means the Intel SGX Root CA
	Dir          string            // keeps a file for each platform; made if it is missing; empty: memory only
	Refresh      time.Duration     // collateral of this age is asked for anew; 0 means 24 hours
	MaxPlatforms int               // that are held at once; 0 means 256
	Now          func() time.Time  // nil means time.Now
}

// Cache is a [dcap.Source] that keeps what another source has. What it returns
// was verified as a quote's collateral is, is about the platform asked for, is
// valid now, and is in no document older than what it returned before. It may be used by many goroutines at once.
type Cache struct {
	source   dcap.Source
	verifier dcap.Verifier
	refresh  time.Duration
	max      int
	now      func() time.Time
	random   func() float64 // from 0 up to 1, for the jitter
	disk     *disk          // nil: memory only

	mu      sync.Mutex // guards all below; nobody waits for anything while holding it
	entries map[dcap.Platform]*entry
}

// NewCache returns an empty cache. It reads and asks nothing yet. A directory
// that can't be used is no error, for memory does without: [Cache.Err] has it.
func NewCache(c CacheConfig) (*Cache, error) {
	switch {
	case c.Source == nil:
		return nil, errors.New("pcs: cache: no source is given")
	case c.Refresh < 0 || c.MaxPlatforms < 0:
		return nil, errors.New("pcs: cache: got a negative Refresh or MaxPlatforms")
	}
	cache := &Cache{
		source:   c.Source,
		verifier: dcap.Verifier{Root: c.Root},
		refresh:  cmp.Or(c.Refresh, DefaultRefresh),
		max:      cmp.Or(c.MaxPlatforms, DefaultMaxPlatforms),
		now:      c.Now,
		random:   rand.Float64,
		entries:  map[dcap.Platform]*entry{},
	}
	if cache.now == nil {
		cache.now = time.Now
	}
	if c.Dir != "" {
		cache.disk = &disk{dir: c.Dir}
	}
	return cache, nil
}

// Collateral implements [dcap.Source]. It waits only if there is nothing valid
// at hand, and then as long as ctx allows, while the question goes on for others. What it
// returns is shared: do not modify it.
func (c *Cache) Collateral(ctx context.Context, p dcap.Platform) (*dcap.Collateral, error) {
	if err := checkPlatform(p); err != nil {
		return nil, err
	}
	e, good, f, err := c.look(p, true)
	if good != nil || f == nil {
		return good, err
	}
	gone := f.wait(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := e.held; h.valid(c.now()) {
		return h.collateral, nil
	}
	if gone != nil {
		return nil, gone
	}
	return nil, e.refusal()
}

// look returns what is at hand for the platform, or the flight to wait for, or
// an error if none is allowed yet. It starts a flight if one is due.
func (c *Cache) look(p dcap.Platform, use bool) (e *entry, good *dcap.Collateral, f *flight, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if e, err = c.entry(p); err != nil {
		return nil, nil, nil, err
	}
	if use {
		e.used = now
	}
	valid := e.held.valid(now)
	if e.flight == nil && e.due(now, valid) {
		e.flight = newFlight()
		go c.fly(e)
	}
	switch {
	case valid:
		return e, e.held.collateral, nil, nil
	case e.flight != nil:
		return e, nil, e.flight, nil
	}
	return e, nil, nil, fmt.Errorf("%w (asked again from %s on)", e.refusal(), stamp(e.next))
}

// entry returns that of the platform, in place of the one that was used least
// recently if there is no more room.
func (c *Cache) entry(p dcap.Platform) (*entry, error) {
	if e := c.entries[p]; e != nil {
		return e, nil
	}
	now := c.now()
	c.forget(now)
	if len(c.entries) >= c.max {
		var oldest *entry
		for _, e := range c.entries {
			if e.flight == nil && (oldest == nil || e.used.Before(oldest.used)) {
				oldest = e
			}
		}
		if oldest == nil {
			return nil, fmt.Errorf("%v: %d other platforms are being asked for at the moment", p, len(c.entries))
		}
		delete(c.entries, oldest.platform)
	}
	e := &entry{platform: p, used: now}
	c.entries[p] = e
	return e, nil
}

// forget drops the platforms that were asked about in vain and are not any more, so that one stranger's
// evidence is not wrong for ever.
func (c *Cache) forget(now time.Time) {
	maps.DeleteFunc(c.entries, func(_ dcap.Platform, e *entry) bool {
		return e.held == nil && e.flight == nil && now.Sub(e.used) > memory
	})
}

// Refresh asks for the collateral of every platform that is due, and of those with nothing
// valid, and waits until all answers are in or ctx ends. A program that
// verifies rarely may call it now and then, so that no verification has to wait.
func (c *Cache) Refresh(ctx context.Context) {
	c.mu.Lock()
	platforms := slices.Collect(maps.Keys(c.entries))
	c.mu.Unlock()
	for _, p := range platforms {
		_, _, _, _ = c.look(p, false) // starts a flight; Err tells what comes of it
	}
	c.mu.Lock()
	var flights []*flight
	for _, e := range c.entries {
		if e.flight != nil {
			flights = append(flights, e.flight)
		}
	}
	c.mu.Unlock()
	for _, f := range flights {
		select {
		case <-f.ended:
		case <-ctx.Done():
			return
		}
	}
}

// Err returns what is wrong at the moment: why the newest questions about any platform were not
// answered well, and why the directory can't be used; nil while all is well.
func (c *Cache) Err() error {
	var all []error
	for _, e := range c.Status() {
		if e.Err != nil {
			all = append(all, fmt.Errorf("collateral of %v: %w", e.Platform, e.Err))
		}
		if e.DiskErr != nil {
			all = append(all, fmt.Errorf("collateral of %v: on disk: %w", e.Platform, e.DiskErr))
		}
	}
	return errors.Join(all...)
}

// Entry is what a cache knows of one platform.
type Entry struct {
	Platform         dcap.Platform
	Window           tee.Window // when the collateral is valid; zero if there never was any
	EvaluationNumber uint32     // tcbEvaluationDataNumber, the smaller one of both documents
	Issued           time.Time  // issueDate of the TCB info
	FetchedAt        time.Time  // when the source had it; zero if that can't be told
	NextRefresh      time.Time  // the next question is at the first use from this instant on
	Err              error      // why the newest question was not answered well; nil if it was
	DiskErr          error      // why the file was not read or not written; nil if it was
}

// Status returns what is known of each platform that was asked for, in order of their names.
func (c *Cache) Status() []Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(c.now())
	all := make([]Entry, 0, len(c.entries))
	for _, e := range c.entries {
		all = append(all, e.status())
	}
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Compare(a.Platform.String(), b.Platform.String()) })
	return all
}
