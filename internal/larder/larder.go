// Package larder keeps documents that expire, of many subjects, that a source
// which is not trusted has: what is held was judged, is about its subject, is valid now, and no older than what was held
// before. It says when to ask, for how long to leave a source alone, and keeps a file for each subject in a directory.
//
// It does not know what it keeps: what the documents are, and whether they are genuine, is for a [Kind] to say.
package larder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// The discipline by which a cache asks.
const (
	MaxRetryAfter  = time.Hour        // a source that asks to be left alone for longer is asked at this time
	FlightTime     = time.Minute      // of one flight, which is a read of the disk and a question to the source
	Grace          = 2 * time.Second  // that the source has if the disk had something valid, but old
	minRefresh     = time.Minute      // nothing is asked for anew before this age, however soon it ends
	firstBackOff   = time.Second      // after a failure; doubled by each further one
	maxBackOff     = time.Minute      // while there is nothing to use
	maxCalmBackOff = 15 * time.Minute // while there is
	Memory         = time.Hour        // of a subject for which there is nothing and nobody asks any more
)

// Key is what documents are about.
type Key interface {
	comparable
	fmt.Stringer
}

// Kind is what is kept: documents V about K, and the judgement J of them. Its methods are called by many goroutines at once.
type Kind[K Key, V, J any] interface {
	// Ask asks the source. What it returns is shared from then on.
	Ask(ctx context.Context, k K) (*V, error)
	// Judge verifies what came, at the instant, believing nothing of where it came from, and that it is about k.
	Judge(k K, v *V, now time.Time) (*J, error)
	// Window is when it is valid, both ends included.
	Window(j *J) (notBefore, notAfter time.Time)
	// NotOlder refuses what was made before what is held, so that who replays can't take a judgement back.
	NotOlder(j, held *J) error
	// RetryAfter is for how long the source asks to be left alone by its error; 0 if it does not.
	RetryAfter(err error) time.Duration
	// Name is that of the file, made of checked words and hex digits alone.
	Name(k K) string
	// Marshal returns the file.
	Marshal(v *V) []byte
	// Parse reads the file. What is in it is judged as an answer is.
	Parse(data []byte) (*V, error)
}

// Config says how a cache keeps.
type Config struct {
	Refresh time.Duration    // what has this age is asked for anew
	Max     int              // subjects that are held at once
	Dir     string           // keeps a file for each subject; made if it is missing; empty: memory only
	MaxFile int              // bytes
	Missing error            // why there is nothing, if nobody says it better
	Now     func() time.Time // nil means time.Now
}

// Cache keeps documents. Make one with New. It may be used by many goroutines at once.
type Cache[K Key, V, J any] struct {
	// Random is from 0 up to 1, for the jitter. It may be replaced before the first use.
	Random func() float64

	kind   Kind[K, V, J]
	config Config
	disk   *Disk // nil: memory only

	mu      sync.Mutex // guards all below; nobody waits for anything while holding it
	entries map[K]*entry[K, V, J]
}

// New returns an empty cache. It reads and asks nothing yet. A directory that can't be used is no error, for memory does without: [Cache.Err] has it.
func New[K Key, V, J any](kind Kind[K, V, J], c Config) *Cache[K, V, J] {
	if c.Now == nil {
		c.Now = time.Now
	}
	cache := &Cache[K, V, J]{Random: rand.Float64, kind: kind, config: c, entries: map[K]*entry[K, V, J]{}}
	if c.Dir != "" {
		cache.disk = &Disk{c.Dir, c.MaxFile}
	}
	return cache
}

// Now is the cache's clock.
func (c *Cache[K, V, J]) Now() time.Time { return c.config.Now() }

// Get returns what is valid. It waits only if there is nothing at hand, and then as long as ctx allows, while the question goes on for others.
func (c *Cache[K, V, J]) Get(ctx context.Context, k K) (*V, error) {
	e, good, f, err := c.look(k, true)
	if good != nil || f == nil {
		return good, err
	}
	gone := f.wait(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.held != nil && c.valid(e, c.Now()) {
		return e.held.value, nil
	}
	if gone != nil {
		return nil, gone
	}
	return nil, c.refusal(e)
}

// look returns what is at hand for the subject, or the flight to wait for, or
// an error if none is allowed yet. It starts a flight if one is due.
func (c *Cache[K, V, J]) look(k K, use bool) (e *entry[K, V, J], good *V, f *flight, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Now()
	if e, err = c.entry(k); err != nil {
		return nil, nil, nil, err
	}
	if use {
		e.used = now
	}
	valid := c.valid(e, now)
	if e.flight == nil && e.due(now, valid) {
		e.flight = newFlight()
		go c.fly(e)
	}
	switch {
	case valid:
		return e, e.held.value, nil, nil
	case e.flight != nil:
		return e, nil, e.flight, nil
	}
	return e, nil, nil, fmt.Errorf("%w (asked again from %s on)", c.refusal(e), stamp(e.next))
}

// entry returns that of the subject, in place of another if there is no more room: of the one that was used least
// recently, and of those for which there is nothing before the others. Strangers can make up as many of them as they like.
func (c *Cache[K, V, J]) entry(k K) (*entry[K, V, J], error) {
	if e := c.entries[k]; e != nil {
		return e, nil
	}
	now := c.Now()
	c.forget(now)
	if len(c.entries) >= c.config.Max {
		var oldest *entry[K, V, J]
		for _, e := range c.entries {
			if e.flight == nil && (oldest == nil || e.yields(oldest)) {
				oldest = e
			}
		}
		if oldest == nil {
			return nil, fmt.Errorf("%v: %d other platforms are being asked for at the moment", k, len(c.entries))
		}
		delete(c.entries, oldest.key)
	}
	e := &entry[K, V, J]{key: k, used: now}
	c.entries[k] = e
	return e, nil
}

// forget drops the subjects that were asked about in vain and are not any more, so that one stranger's
// evidence is not wrong for ever.
func (c *Cache[K, V, J]) forget(now time.Time) {
	maps.DeleteFunc(c.entries, func(_ K, e *entry[K, V, J]) bool {
		return e.held == nil && e.flight == nil && now.Sub(e.used) > Memory
	})
}

// Refresh asks for every subject that is due, and for those with nothing
// valid, and waits until all answers are in or ctx ends.
func (c *Cache[K, V, J]) Refresh(ctx context.Context) {
	c.mu.Lock()
	keys := slices.Collect(maps.Keys(c.entries))
	c.mu.Unlock()
	for _, k := range keys {
		_, _, _, _ = c.look(k, false) // starts a flight; Err tells what comes of it
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

// Err returns what is wrong at the moment: why the newest questions about any subject were not
// answered well, and why the directory can't be used; nil while all is well.
func (c *Cache[K, V, J]) Err() error {
	var all []error
	for _, e := range c.Status() {
		if e.Err != nil {
			all = append(all, fmt.Errorf("collateral of %v: %w", e.Key, e.Err))
		}
		if e.DiskErr != nil {
			all = append(all, fmt.Errorf("collateral of %v: on disk: %w", e.Key, e.DiskErr))
		}
	}
	return errors.Join(all...)
}

// Status is what a cache knows of one subject.
type Status[K Key, J any] struct {
	Key         K
	Judged      *J        // nil if there never was anything
	FetchedAt   time.Time // when the source had it; zero if that can't be told
	NextRefresh time.Time // the next question is at the first use from this instant on
	Err         error     // why the newest question was not answered well; nil if it was
	DiskErr     error     // why the file was not read or not written; nil if it was
}

// Status returns what is known of each subject that was asked for, in order of their names.
func (c *Cache[K, V, J]) Status() []Status[K, J] {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(c.Now())
	all := make([]Status[K, J], 0, len(c.entries))
	for _, e := range c.entries {
		all = append(all, e.status())
	}
	slices.SortFunc(all, func(a, b Status[K, J]) int { return cmp.Compare(a.Key.String(), b.Key.String()) })
	return all
}
