package broker

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// One client's requests for fresh evidence.
const (
	clientBurst  = 10              // at once
	clientEvery  = 2 * time.Second // and one more after that, in the long run
	clientPlaces = 4096
)

// clients bounds how often one client may ask. It has a fixed size, whoever asks: an address (of IPv6, the /64 that one
// subscriber has) has a place by a hash that nobody outside can foresee, and shares it with others by chance.
type clients struct {
	seed   maphash.Seed
	mu     sync.Mutex
	places [clientPlaces]clientPlace
}

type clientPlace struct {
	used time.Duration // of the burst, each request being worth clientEvery
	at   time.Time
}

func newClients() *clients { return &clients{seed: maphash.MakeSeed()} }

// admit tells how long a client has to wait; zero: it may ask now, and that was counted.
func (c *clients) admit(remote string, now time.Time) (wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.places[maphash.Comparable(c.seed, clientOf(remote))%clientPlaces]
	if passed := now.Sub(p.at); passed > 0 { // not when the clock was set back
		p.used = max(0, p.used-passed)
	}
	p.at = now
	if over := p.used + clientEvery - clientBurst*clientEvery; over > 0 {
		return over
	}
	p.used += clientEvery
	return 0
}

// clientOf is who asks, by the address that the listener saw. All whose address is of no known form are one.
func clientOf(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := at.Addr().Unmap().WithZone(""), 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // unreachable: the address has as many bits
	return p
}
