package broker

import (
	"fmt"
	"net/http"
	"time"
)

// Health states.
const (
	healthReady    = "ready"    // everything is as it should be
	healthDegraded = "degraded" // tokens are given, but not all, or not for long: see the reasons
	healthUnready  = "unready"  // no token can be given
)

// health is the body of /readyz.
// It holds no error's text, since the page is public.
type health struct {
	Status    string        `json:"status"`
	Reasons   []string      `json:"reasons,omitempty"`
	Simulated bool          `json:"simulated,omitempty"` // no hardware vouches for the keys
	KeyID     string        `json:"kid,omitempty"`       // of the key in use; absent: there is none yet
	Rules     string        `json:"rules"`               // digest of the rules in force
	Announced *announcement `json:"announced,omitempty"`
	IDPs      idps          `json:"idps"`

	Collateral collateralHealth `json:"collateral"`
	State      *stateHealth     `json:"state,omitempty"` // absent: nothing is kept across restarts
}

// stateHealth tells of what is kept across restarts.
type stateHealth struct {
	State    string `json:"state"`              // one of the words below
	Unread   bool   `json:"unread,omitempty"`   // something in it could not be read; the log says what
	Restored int    `json:"restored,omitempty"` // keys of earlier runs, which wait for their tokens to expire
	// RestoredUntil is when the evidence of the first of them ends, if that is before its tokens do. It can't
	// be renewed: their private halves are gone.
	RestoredUntil *time.Time `json:"restored_until,omitempty"`
}

const (
	stateKept    = "kept"    // every key that signs is kept
	stateFailing = "failing" // no new key is taken into use
)

// collateralHealth tells of the collateral that is served beside the evidence. Checkers that
// have no other can't verify the keys without it; whether tokens are given does not depend on it.
type collateralHealth struct {
	State string     `json:"state"`           // one of the words below
	Since time.Time  `json:"since"`           // so long
	Until *time.Time `json:"until,omitempty"` // its end, where it is known
}

const (
	collateralCurrent = "current" // as new as its source has it
	collateralStale   = "stale"   // good still, but it can't be brought up to date
	collateralNone    = "none"    // nothing is served
)

// idps counts the identity providers that the rules name, by whether their keys can
// be fetched. Which they are stands in the log: the page is public, the rules need not be.
type idps struct {
	OK          int `json:"ok"`
	Unavailable int `json:"unavailable"`
}

// announcement tells of the key, and perhaps rules, that come next.
type announcement struct {
	Rules string    `json:"rules"`
	UseAt time.Time `json:"use_at"`
}

// serveHealth says that the process answers.
func (b *Broker) serveHealth(w http.ResponseWriter, r *http.Request, _ asker) {
	writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ok"})
}

// serveReady says whether tokens are given. It is 503 only if this broker can
// give none by a fault of its own. An identity provider that is down is told
// but does not count: taking the broker out of service would take its key set
// away from all the checkers of tokens that are still good.
func (b *Broker) serveReady(w http.ResponseWriter, r *http.Request, _ asker) {
	h := b.health()
	code := http.StatusOK
	if h.Status == healthUnready {
		code = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", retryAfter)
	}
	writeJSON(w, code, h)
}

func (b *Broker) health() *health {
	epoch, ring, staple := b.ring.current.Load(), b.ring.status.Load(), b.staple.state.Load()
	h := &health{
		Status:     healthReady,
		Simulated:  b.config.Simulated,
		Rules:      epoch.rules.DigestString(),
		Collateral: staple.health(),
	}
	if epoch.key != nil {
		h.KeyID = epoch.key.id
	}
	if !ring.useNext.IsZero() {
		h.Announced = &announcement{Rules: ring.wanted.DigestString(), UseAt: ring.useNext.UTC()}
	}
	h.ofKeys(epoch, ring)
	if b.config.State != nil {
		h.ofState(ring)
	}
	if b.tls.trouble.Load() != nil {
		h.degraded("the newest TLS key has no evidence, the log says why: checkers that know the broker by it refuse to connect, now or soon")
	}
	if !b.auditOK.Load() {
		h.degraded("the newest exchange could not be recorded: no token is given without a record")
	}
	h.ofIssuers(epoch.issuers)
	h.ofCollateral(staple)
	switch now := b.config.wall(); {
	case epoch.key == nil && ring.kept != nil:
		h.unready("there is no signing key: what earlier runs kept can't be loaded, or the first key can't be kept; the log says why")
	case epoch.key == nil:
		h.unready("there is no signing key: no evidence can be had for one, or the key set has no room for it; the log says why")
	case !epoch.key.maySign(now):
		h.unready("the evidence of the signing key is not valid at this clock's time, and there is no other key")
	}
	return h
}

func (h *health) degraded(reason string) {
	h.Status = healthDegraded
	h.Reasons = append(h.Reasons, reason)
}

// unready is called last: nothing makes it better.
func (h *health) unready(reason string) {
	h.Status = healthUnready
	h.Reasons = append(h.Reasons, reason)
}

// ofKeys tells why the key in use can't be replaced, or its evidence can't be renewed.
func (h *health) ofKeys(epoch *epoch, ring *ringStatus) {
	if epoch.key == nil {
		return
	}
	until := epoch.key.until.UTC().Format(time.RFC3339)
	if ring.making != nil {
		h.degraded("no new signing key could be made; the one in use may sign until " + until + "; the log says why")
	}
	if ring.renewal != nil {
		h.degraded("the evidence of a signing key can't be renewed; the key in use may sign until " + until + "; the log says why")
	}
}

func (h *health) ofState(ring *ringStatus) {
	h.State = &stateHealth{State: stateKept, Unread: ring.unread, Restored: ring.restored}
	if ring.kept != nil {
		h.State.State = stateFailing
		h.degraded("the state can't be read or written, the log says why: no new key is taken into use; should the broker end, what it signs now can still be verified")
	}
	if !ring.until.IsZero() {
		until := ring.until.UTC()
		h.State.RestoredUntil = &until
	}
}

func (h *health) ofIssuers(all issuers) {
	for _, i := range all {
		if i.keys.Err() != nil {
			h.IDPs.Unavailable++
		} else {
			h.IDPs.OK++
		}
	}
	if n := h.IDPs.Unavailable; n > 0 {
		h.degraded(fmt.Sprintf("the keys of %d identity providers cannot be fetched, the log says of which: their id tokens that are signed with a key not known yet are not exchanged", n))
	}
}

func (h *health) ofCollateral(have *stapleState) {
	switch {
	case have.err != nil && have.data == nil:
		h.degraded("the collateral of the hardware's evidence can't be had, the log says why: none is served, so checkers need a source of their own")
	case have.err != nil:
		h.degraded("the collateral of the hardware's evidence can't be brought up to date, the log says why: checkers that get it here can verify the keys until its end")
	}
}
