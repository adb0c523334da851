// Package limit bounds how much one identity may ask for: requests a second,
// and requests at the same time.
//
// It owns the counting, in bounded memory. It does not know who an identity is,
// nor when a request is over: its caller says so.
package limit

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"sync/atomic"
	"time"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// Config bounds what one identity may ask for. Zero values bound nothing.
type Config struct {
	PerSecond  float64 // requests a second, on average
	Burst      int     // requests at once, if none were made before; 0 means PerSecond, at least 1
	Concurrent int     // requests and connections at the same time
	// Identities is how many are remembered, some 100 bytes each; 0 means 100,000.
	// Who was not seen for as long as a burst takes to become good again needs no memory. Should
	// there be more who were, the newcomers share the limits of a few until that has passed.
	Identities int

	Now func() time.Time // the clock; nil means time.Now
}

// Limits counts what identities ask for. It lives on when the gateway is configured anew.
type Limits struct {
	// An identity is known by a hash of its ID. Without the seed nobody can choose identities that
	// share one, and two of 100,000 share one by chance once in billions of runs; they would then share the limits.
	seed   maphash.Seed
	begin  time.Time // instants are counted from here, on the monotonic clock if there is one
	bounds atomic.Pointer[bounds]
	shards [shards]shard
}

// bounds is a Config made ready.
type bounds struct {
	interval   time.Duration // between two requests; 0: no limit
	window     time.Duration // burst intervals
	concurrent int
	perShard   int // identities
	now        func() time.Time
}

// longestWindow bounds burst/requests-per-second, so that no instant overflows.
const longestWindow = 366 * 24 * time.Hour

// New returns limits that have counted nothing.
func New(c Config) (*Limits, error) {
	l := &Limits{seed: maphash.MakeSeed()}
	if err := l.Reconfigure(c); err != nil {
		return nil, err
	}
	l.begin = l.bounds.Load().now()
	return l, nil
}

// Reconfigure changes the bounds; what was counted stays. A request that began while Concurrent
// was 0 is not counted among those at the same time.
func (l *Limits) Reconfigure(c Config) error {
	b, err := c.bounds()
	if err != nil {
		return err
	}
	l.bounds.Store(b)
	return nil
}

func (c Config) bounds() (*bounds, error) {
	switch {
	case math.IsNaN(c.PerSecond) || c.PerSecond < 0 || c.PerSecond > 1e9:
		return nil, fmt.Errorf("requests per second: got %v, want 0 (no limit) to 1e9", c.PerSecond)
	case c.Burst < 0 || c.Concurrent < 0 || c.Identities < 0:
		return nil, fmt.Errorf("burst, concurrent, identities: got %d, %d, %d, want none below 0", c.Burst, c.Concurrent, c.Identities)
	case c.Burst > 0 && c.PerSecond == 0:
		return nil, errors.New("burst: needs requests per second, which are missing")
	}
	if c.Identities == 0 {
		c.Identities = 100_000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	b := &bounds{concurrent: c.Concurrent, perShard: max(1, c.Identities/shards), now: c.Now}
	if c.PerSecond > 0 {
		if c.Burst == 0 {
			c.Burst = int(math.Ceil(c.PerSecond))
		}
		interval := 1e9 / c.PerSecond
		if interval*float64(c.Burst) > float64(longestWindow) {
			return nil, fmt.Errorf("burst: %d requests at %v a second take longer than a year", c.Burst, c.PerSecond)
		}
		b.interval = time.Duration(math.Round(interval))
		b.window = b.interval * time.Duration(c.Burst)
	}
	return b, nil
}

// Take counts a request of an identity. done must be called when it is over; further calls
// of it do nothing. The error is a *access.Refusal with RateLimited or TooManyAtOnce; such a
// request is not counted. Without an id, and of nil Limits, nothing is counted.
func (l *Limits) Take(id string) (done func(), err error) {
	if l == nil || id == "" {
		return nothing, nil
	}
	b := l.bounds.Load()
	if b.interval == 0 && b.concurrent == 0 {
		return nothing, nil
	}
	hash := maphash.String(l.seed, id)
	s := &l.shards[hash%shards]
	t, refused, wait := s.take(hash, b.now().Sub(l.begin), b)
	switch {
	case refused != access.Allowed:
		return nil, &access.Refusal{Reason: refused, Public: "too many requests with this credential", RetryAfter: wholeSeconds(wait)}
	case b.concurrent == 0:
		return nothing, nil
	}
	var over atomic.Bool
	return func() {
		if over.CompareAndSwap(false, true) {
			s.done(t)
		}
	}, nil
}

func nothing() {}

// wholeSeconds rounds up: who comes back then is not too early (RFC 9110 section 10.2.3 knows no fractions).
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
