package session

import (
	"container/heap"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// key names a session in the store. It is the digest of its id, so that looking one up compares digests, and the
// time this takes tells nothing that helps to guess an id; nor does a dump of the memory hold an id that could be used.
type key [sha256.Size]byte

func keyOf(id string) key { return sha256.Sum256([]byte(id)) }

// store holds the ids that are not used yet, and counts the connections.
type store struct {
	mu       sync.Mutex
	ids      map[key]*entry
	waiting  byExpiry       // those of ids that nobody is about to use
	promised int            // len(ids), and those that are being handed out
	ofWhom   map[string]int // the same, by the identity's ID
	open     int            // connections
}

// entry is an id that is not used yet. It keeps its identity, and with that the claims
// of a token, alive.
type entry struct {
	key     key
	who     *access.Identity
	expires time.Time
	place   int // in waiting; inUse: a request tries to open a connection with it
}

const inUse = -1

func newStore() store {
	return store{ids: map[key]*entry{}, ofWhom: map[string]int{}}
}

var (
	errAllFull = errors.New("as many ids are unused as may be")
	errOneFull = errors.New("as many ids of this identity are unused as may be")
)

// reserve makes room for an id. Keep or cancel must follow.
func (s *store) reserve(c *Config, who *access.Identity) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetExpired(c.Now())
	if s.promised >= c.Max {
		return errAllFull
	}
	// Where no credential is asked for, all are nobody, and only the bound of all counts.
	if id := idOf(who); id != "" {
		if s.ofWhom[id] >= c.MaxPerIdentity {
			return errOneFull
		}
		s.ofWhom[id]++
	}
	s.promised++
	return nil
}

// keep puts an id into the room that was made for it. It returns false if there is
// such an id: the first holder keeps it, since the other may only repeat what he has seen.
func (s *store) keep(c *Config, k key, who *access.Identity) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids[k] != nil {
		return false
	}
	e := &entry{key: k, who: who, expires: c.Now().Add(c.TTL)}
	s.ids[k] = e
	heap.Push(&s.waiting, e)
	return true
}

// cancel gives up room that is not needed.
func (s *store) cancel(who *access.Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(who)
}

func (s *store) release(who *access.Identity) {
	s.promised--
	id := idOf(who)
	if id == "" {
		return
	}
	if s.ofWhom[id]--; s.ofWhom[id] == 0 {
		delete(s.ofWhom, id)
	}
}

// take finds an id that is good, and keeps others from it until giveBack or use. It returns
// false for who may not have it, and nil for an id that is unknown, used, in use or expired.
func (s *store) take(now time.Time, k key, mayHave func(*access.Identity) bool) (*entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetExpired(now)
	e := s.ids[k]
	if e == nil || e.place == inUse {
		return nil, true
	}
	if !mayHave(e.who) {
		return nil, false
	}
	heap.Remove(&s.waiting, e.place)
	e.place = inUse
	return e, true
}

// connect counts a connection, if there may be one more.
func (s *store) connect(most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if most > 0 && s.open >= most {
		return false
	}
	s.open++
	return true
}

func (s *store) disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
}

// giveBack makes an id that was taken good again, for what is left of its time.
func (s *store) giveBack(now time.Time, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	heap.Push(&s.waiting, e)
	s.forgetExpired(now)
}

// use ends an id that was taken.
func (s *store) use(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(e)
}

func (s *store) forget(e *entry) {
	delete(s.ids, e.key)
	s.release(e.who)
}

// forgetExpired looks only at the ids that it forgets, and at one more. An id that is in
// use is not among them.
func (s *store) forgetExpired(now time.Time) {
	for len(s.waiting) > 0 && !now.Before(s.waiting[0].expires) {
		s.forget(heap.Pop(&s.waiting).(*entry))
	}
}

func (s *store) counts(now time.Time) Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetExpired(now)
	return Counts{Waiting: len(s.waiting), Open: s.open}
}

// idOf is the ID of an identity that may be nobody.
func idOf(who *access.Identity) string {
	if who == nil {
		return ""
	}
	return who.ID
}

// byExpiry is a heap, the id that expires next first. It implements [heap.Interface]. A list
// in the order of arrival would not do: the TTL changes when the gateway is configured anew.
type byExpiry []*entry

func (h byExpiry) Len() int           { return len(h) }
func (h byExpiry) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }

func (h byExpiry) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *byExpiry) Push(x any) {
	e := x.(*entry)
	e.place = len(*h)
	*h = append(*h, e)
}

func (h *byExpiry) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil // lets its identity go
	*h = (*h)[:last]
	return e
}
