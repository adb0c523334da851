package ctb

import (
	"crypto/sha256"
	"sync"
)

// Bounds of a cache. A token that is remembered holds its claims, at most
// three quarters of largestCached, and some 700 bytes: with both generations full
// of the largest, 30 MiB; of usual ones with 600 bytes of claims, 10 MiB.
const (
	generation    = 4096    // tokens in one half
	largestCached = 4 << 10 // bytes of a token
)

type tokenID = [sha256.Size]byte

// digest names a token in the cache, so that the cache holds no token that
// could be used, and that looking one up compares digests: the time it takes
// tells nothing of other people's tokens.
func digest(raw string) tokenID {
	var buf [2048]byte // on the stack: most tokens fit
	return sha256.Sum256(append(buf[:0], raw...))
}

// tokenCache remembers which signatures were verified. It has two generations:
// when the young one is full it becomes the old one, whose tokens are
// forgotten unless they are seen again. So it is bounded, keeps what is in
// use, and needs neither list nor clock. The zero value is empty.
type tokenCache struct {
	mu         sync.RWMutex
	young, old map[tokenID]*Token
}

func (c *tokenCache) get(id tokenID) (*Token, bool) {
	c.mu.RLock()
	t, ok := c.young[id]
	if ok {
		c.mu.RUnlock()
		return t, true
	}
	t, ok = c.old[id]
	c.mu.RUnlock()
	if ok {
		c.put(id, t)
	}
	return t, ok
}

// put remembers a token, unless it is so large that many of them would fill the memory.
func (c *tokenCache) put(id tokenID, t *Token) {
	if len(t.payload) > largestCached*3/4 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young == nil || len(c.young) >= generation {
		c.old, c.young = c.young, make(map[tokenID]*Token)
	}
	c.young[id] = t
}
