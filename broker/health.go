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
	KeyID     string        `json:"kid"`                 // of the key in use
	Rules     string        `json:"rules"`               // digest of the rules in force
	Announced *announcement `json:"announced,omitempty"`
	IDPs      idps          `json:"idps"`

	Collateral collateralHealth `json:"collateral"`
}

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
		Status:    healthReady,
		Simulated: b.config.Simulated,
		KeyID:     epoch.key.id,
		Rules:     epoch.rules.DigestString(),
	}
	degraded := func(reason string) {
		h.Status = healthDegraded
		h.Reasons = append(h.Reasons, reason)
	}
	if !ring.useNext.IsZero() {
		h.Announced = &announcement{Rules: ring.wanted.DigestString(), UseAt: ring.useNext.UTC()}
	}
	if ring.trouble != nil {
		degraded("no new signing key could be made; the one in use may sign until " + epoch.key.signUntil.UTC().Format(time.RFC3339) + "; the log says why")
	}
	if !b.auditOK.Load() {
		degraded("the newest exchange could not be recorded: no token is given without a record")
	}
	for _, i := range epoch.issuers {
		if i.keys.Err() != nil {
			h.IDPs.Unavailable++
		} else {
			h.IDPs.OK++
		}
	}
	if n := h.IDPs.Unavailable; n > 0 {
		degraded(fmt.Sprintf("the keys of %d identity providers cannot be fetched, the log says of which: their id tokens that are signed with a key not known yet are not exchanged", n))
	}
	h.Collateral = staple.health()
	switch {
	case staple.err != nil && staple.data == nil:
		degraded("the collateral of the hardware's evidence can't be had, the log says why: none is served, so checkers need a source of their own")
	case staple.err != nil:
		degraded("the collateral of the hardware's evidence can't be brought up to date, the log says why: checkers that get it here can verify the keys until its end")
	}
	if !epoch.key.maySign(b.config.wall()) {
		h.Status = healthUnready
		h.Reasons = append(h.Reasons, "the evidence of the signing key is not valid at this clock's time, and there is no other key")
	}
	return h
}
