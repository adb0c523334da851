package credential

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

// Bounds of what is remembered: with every slot full of the largest, 16 MiB,
// most of which the verifier's cache holds as well.
const (
	slots             = 4096
	largestRemembered = 3 << 10 // bytes of claims
)

// identities remembers whose the tokens are that are in use. A verifier that has
// seen a token gives the same *ctb.Token again, so its address is enough to find it by. Each has
// one slot, and gives way to the next that falls into it: no lock, no list, no clock.
type identities struct {
	seed  maphash.Seed
	slots [slots]atomic.Pointer[access.Identity]
}

func newIdentities() *identities { return &identities{seed: maphash.MakeSeed()} }

// of returns whose token it is.
func (m *identities) of(t *ctb.Token) *access.Identity {
	slot := &m.slots[maphash.Comparable(m.seed, t)%slots]
	if who := slot.Load(); who != nil && who.Token == t {
		return who
	}
	who := &access.Identity{Mode: access.JWT, ID: holderOf(t), Token: t}
	if claims, _ := t.Claim(); len(claims) <= largestRemembered {
		slot.Store(who)
	}
	return who
}
