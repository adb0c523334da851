// Package refetch holds the one discipline by which keys are fetched: a
// healthy fetch holds off the next for 30 s, a failed one backs off 1 s, 2 s,
// up to 30 s, one fetch is under way at a time, and whoever finds what it
// needs in the cache never waits.
//
// It does not know what it fetches; whether an answer is healthy is for the
// fetch function to say.
package refetch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// The discipline.
const (
	HoldOff    = 30 * time.Second // between a healthy fetch and the next; also the longest back-off
	MinRefresh = time.Minute      // a value is refreshed at its maximum age, but no earlier than this
	MaxRefresh = time.Hour        // and no later than this
	Refresh    = 10 * time.Minute // or at this age, where its source says nothing
	MaxStale   = 24 * time.Hour   // a value that can't be refreshed is used no longer than this
	timeout    = 20 * time.Second // of one fetch, which may be several requests
)

// Cache keeps the newest good value of one source. Make one with New.
type Cache[T any] struct {
	fetch func(context.Context) (T, time.Duration, error)
	now   func() time.Time

	held atomic.Pointer[held[T]] // nil until the first healthy fetch

	mu       sync.Mutex
	flight   chan struct{} // closed when the fetch under way has ended; nil if none is
	next     time.Time     // no fetch before this instant
	failures int           // in a row
	err      error         // of the newest fetch
}

type held[T any] struct {
	value     T
	fetchedAt time.Time
	refreshAt time.Time
	staleAt   time.Time
}

// New returns an empty cache. The function fetch gets the value and for how
// long it may be used without asking again (0: not known). A nil now means time.Now.
func New[T any](fetch func(context.Context) (T, time.Duration, error), now func() time.Time) *Cache[T] {
	if now == nil {
		now = time.Now
	}
	return &Cache[T]{fetch: fetch, now: now}
}

// Current returns the value at hand, and whether there is one. It never waits:
// a value that has aged is refreshed in the background.
func (c *Cache[T]) Current() (T, bool) {
	h := c.held.Load()
	if h == nil {
		var zero T
		return zero, false
	}
	now := c.now()
	if now.Before(h.refreshAt) {
		return h.value, true
	}
	c.start(now)
	return h.value, now.Before(h.staleAt)
}

// Newer waits for a fetch, if the discipline allows one now, and returns the
// newest value. The error is that of the newest fetch: with a value beside it
// the value is the last good one, ok tells whether there is one.
func (c *Cache[T]) Newer(ctx context.Context) (value T, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout) // should the fetch not heed its own
	defer cancel()
	if flight := c.start(c.now()); flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return value, false, ctx.Err()
		}
	}
	c.mu.Lock()
	err = c.err
	c.mu.Unlock()
	if h := c.held.Load(); h != nil && c.now().Before(h.staleAt) {
		return h.value, true, err
	}
	return value, false, err
}

// Refresh brings the value up to date for those who come later: it waits for a
// fetch, as Newer does, unless there is a value that is younger than its
// maximum age, and than oldest if that is not 0, and the newest fetch went well.
func (c *Cache[T]) Refresh(ctx context.Context, oldest time.Duration) {
	if h, now := c.held.Load(), c.now(); h != nil && c.Err() == nil &&
		now.Before(h.refreshAt) && (oldest == 0 || now.Before(h.fetchedAt.Add(oldest))) {
		return
	}
	_, _, _ = c.Newer(ctx) // Err tells
}

// Err returns the error of the newest fetch, nil while the source is healthy or was not asked.
func (c *Cache[T]) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// start returns the fetch under way, begins one, or returns nil if none is allowed yet.
func (c *Cache[T]) start(now time.Time) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flight == nil && !now.Before(c.next) {
		c.flight = make(chan struct{})
		go c.run()
	}
	return c.flight
}

// run is one fetch. It does not end with the request that began it, for others wait for it too.
func (c *Cache[T]) run() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var value T
	var maxAge time.Duration
	err := errors.New("the fetch did not return")
	// What is fetched comes from outside. Should it make the fetch panic, that
	// is a failed fetch, and not the end of the program.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the fetch panicked: %v", p)
		}
		c.land(value, maxAge, err)
	}()
	value, maxAge, err = c.fetch(ctx)
}

// land notes what a fetch brought.
func (c *Cache[T]) land(value T, maxAge time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.err = err; err != nil {
		c.next = now.Add(min(time.Second<<min(c.failures, 5), HoldOff))
		c.failures++
	} else {
		c.next = now.Add(HoldOff)
		c.failures = 0
		c.held.Store(&held[T]{value, now, now.Add(refreshAge(maxAge)), now.Add(MaxStale)})
	}
	close(c.flight)
	c.flight = nil
}

func refreshAge(maxAge time.Duration) time.Duration {
	if maxAge <= 0 {
		return Refresh
	}
	return min(max(maxAge, MinRefresh), MaxRefresh)
}
