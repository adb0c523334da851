package limit

import (
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// shards is how many parts the table has, each with a lock of its own.
const shards = 16

// How many identities a newcomer looks at to find idle ones. With more than one
// the table shrinks to who is active; a full table is worth a longer look.
const (
	usualSearch = 4
	longSearch  = 32
)

// shard is a part of the table of identities.
type shard struct {
	mu     sync.Mutex
	index  map[uint64]uint32 // from hash to place in counts
	counts []count           // in no order
	hand   int               // where the search for idle ones goes on
	crowd  count             // of all who find the table full
	_      [56]byte          // two shards never share a cache line
}

// count is what is known of one identity. It is a bucket in the form of the generic cell rate
// algorithm (ITU-T I.371): one instant, when the whole burst is good again, says how full it is. So
// changing the bounds needs no look at any of them, and the wait is exact. A rate.Limiter of
// golang.org/x/time for each identity would take three times the memory.
type count struct {
	hash  uint64
	ready time.Duration // since the beginning of Limits
	open  int32         // requests that are not over
}

// taken says where a request was counted.
type taken struct {
	hash  uint64
	crowd bool
}

// take counts a request, unless a bound is reached: then it says which, and when to come back.
func (s *shard) take(hash uint64, now time.Duration, b *bounds) (t taken, refused access.Reason, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, crowd := s.find(hash, now, b)
	refused, wait = c.take(now, b)
	return taken{hash, crowd}, refused, wait
}

// done forgets that a request is open. Its count is there: who has one is not idle.
func (s *shard) done(t taken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.crowd {
		s.crowd.open--
		return
	}
	s.counts[s.index[t.hash]].open--
}

// find returns the count of an identity. A newcomer takes the place of an idle
// one, and never that of another: whoever has many identities could else have the others' counts forgotten.
func (s *shard) find(hash uint64, now time.Duration, b *bounds) (c *count, crowd bool) {
	if i, ok := s.index[hash]; ok {
		return &s.counts[i], false
	}
	search := usualSearch
	if len(s.counts) >= b.perShard {
		search = longSearch
	}
	s.forgetIdle(search, now, b)
	if len(s.counts) >= b.perShard {
		return &s.crowd, true
	}
	if s.index == nil {
		s.index = make(map[uint64]uint32)
	}
	s.index[hash] = uint32(len(s.counts))
	s.counts = append(s.counts, count{hash: hash})
	return &s.counts[len(s.counts)-1], false
}

// forgetIdle looks at some counts, where the last search ended, and removes the idle ones.
func (s *shard) forgetIdle(search int, now time.Duration, b *bounds) {
	for range min(search, len(s.counts)) {
		if s.hand >= len(s.counts) {
			s.hand = 0
		}
		c := &s.counts[s.hand]
		if c.settle(now, b); !c.idle(now) {
			s.hand++
			continue
		}
		delete(s.index, c.hash)
		last := len(s.counts) - 1
		if s.hand != last {
			*c = s.counts[last]
			s.index[c.hash] = uint32(s.hand)
		}
		s.counts = s.counts[:last]
	}
}

// settle bounds how far ahead a count is. More than a window is only who was counted under
// other bounds, or before a clock without monotonic readings was put back.
func (c *count) settle(now time.Duration, b *bounds) { c.ready = min(c.ready, now+b.window) }

// idle tells whether forgetting makes no difference.
func (c *count) idle(now time.Duration) bool { return c.open == 0 && c.ready <= now }

// take counts a request, unless a bound is reached.
func (c *count) take(now time.Duration, b *bounds) (refused access.Reason, wait time.Duration) {
	if b.concurrent > 0 && int(c.open) >= b.concurrent {
		return access.TooManyAtOnce, time.Second // how long others take is unknown
	}
	if b.interval > 0 {
		c.settle(now, b)
		next := max(c.ready, now) + b.interval
		if wait := next - now - b.window; wait > 0 {
			return access.RateLimited, wait
		}
		c.ready = next
	}
	if b.concurrent > 0 {
		c.open++
	}
	return access.Allowed, 0
}
