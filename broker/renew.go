package broker

import (
	"context"
	"fmt"
	"time"
)

// renew gets new evidence for the keys that need it: the one in use first, and no more after the first failure, so that slow
// hardware does not keep the ring from what else is due. A key whose evidence has ended is usable again when it is renewed.
func (r *keyRing) renew(ctx context.Context, now time.Time) {
	if r.renewal.waits(now) {
		return
	}
	for _, k := range r.all(r.current.Load()) {
		if !r.needsEvidence(k, now) {
			continue
		}
		if err := r.certifyAnew(ctx, k); err != nil {
			r.renewal.failed(now, err)
			r.config.Logger.Error("the evidence of a key can't be renewed", "kid", k.id, "err", err, "ends", k.evidence.ends, "retry_at", r.renewal.at)
			return
		}
	}
	r.renewal.succeeded()
}

// needsEvidence tells whether a key is to be certified anew.
func (r *keyRing) needsEvidence(k *signingKey, now time.Time) bool {
	if !k.held() || !k.evidence.due(now) {
		return false // without its private half a key can't sign a certificate
	}
	if !k.retiredAt.IsZero() {
		return k.evidence.ends.Before(k.goneAt()) // its tokens must be verifiable until then
	}
	// The announced key takes its place in time, and what it has signed by then is the retired key's affair.
	replaced := r.next != nil && r.next.key.signingKey != k && k.evidence.usable(now) && !r.useNext.After(k.evidence.useUntil)
	return !replaced
}

// certifyAnew gets new evidence for a key and publishes it, before the key signs by it.
func (r *keyRing) certifyAnew(ctx context.Context, k *signingKey) error {
	c, err := r.quoting.certify(ctx, k.evidence.signer, r.config.signingPlan(k.digest))
	if err != nil {
		return fmt.Errorf("evidence for a signing key: %w", err)
	}
	if err := k.show(c); err != nil {
		return err
	}
	k.unkept = true
	r.config.Logger.Info("a key has new evidence", "kid", k.id, "ends", c.ends)
	return nil
}

// extend lets the keys that sign, now and next, do so by the newest evidence that is kept. It is published before it counts.
func (r *keyRing) extend() {
	if e := r.current.Load(); e.outdated() {
		r.publish(e)
		r.current.Store(e.renewed())
	}
	if r.next.outdated() {
		r.next = r.next.renewed()
	}
}

func (e *epoch) outdated() bool {
	if e == nil || e.key == nil {
		return false
	}
	s := e.key.signer()
	return !s.from.Equal(e.key.from) || !s.until.Equal(e.key.until)
}

func (e *epoch) renewed() *epoch {
	return &epoch{rules: e.rules, issuers: e.issuers, key: e.key.signer()}
}
