// Package broker is the service: it exchanges id tokens for access tokens
// (RFC 8693), by rules that an administrator wrote, with keys for which the
// hardware vouches, and tells everybody which keys these are.
//
// It owns the exchange, the ring of signing keys, the collateral that is served beside their
// evidence, the HTTP endpoints and the audit. It does not decide (package rules does), does not know how to verify
// tokens (package ctb) or make evidence (package attest), and does not listen:
// a Broker is an http.Handler.
//
// What is not configurable: no token without a record of it; no token signed by
// a key whose evidence names other rules than those that decided; no private key
// outside memory; no identity provider that can sign for another.
package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/rules"
)

// Broker is an http.Handler. It is safe for concurrent use.
type Broker struct {
	config   Config
	ring     *keyRing
	staple   *staple
	attested *attestation
	routes   map[string]route
	auditOK  atomic.Bool // the newest record could be written
	flood    flood

	tlsMu  sync.Mutex // one TLS key is made at a time
	tlsKey atomic.Pointer[tlsKey]
}

// New makes the signing key and its evidence. It asks no identity provider:
// one that is down at start is none of the others' business.
func New(ctx context.Context, c Config) (*Broker, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	switch {
	case c.Quoter == nil:
		return nil, errors.New("broker: no quoter: without evidence the keys are worth nothing")
	case c.Audit == nil:
		return nil, errors.New("broker: no audit: no token is issued without a record")
	}
	c = c.withDefaults()
	b := &Broker{attested: newAttestation(c)}
	b.staple = newStaple(c, b.attested.setCollateral)
	c.Quoter = b.staple // which sees all evidence
	b.config = c
	b.auditOK.Store(true)
	ring, err := newKeyRing(ctx, c, b.attested.setKeys)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	b.ring = ring
	b.routes = b.newRoutes()
	return b, nil
}

// Run announces, takes into use and retires keys until ctx ends, and returns
// nil then. Without it, new rules are announced but never take effect, the
// broker stops to sign when its first key has served its time, and Config.Collateral is not asked.
func (b *Broker) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { b.watchIssuers(ctx) })
	wg.Go(func() { b.staple.run(ctx) })
	b.ring.run(ctx)
	wg.Wait()
	return nil
}

// SetRules announces a new key bound to the new rules; both take effect
// together, when everybody who caches the key set has seen the key. Rules equal to those
// in force change nothing; rules that are set before earlier ones took effect replace
// them. The error is that the rules cannot be used; those in force stay then. If it is only that no
// evidence can be had now, there is no error: the rules in force stay, the
// new ones are tried again and again, and log and health page say so.
func (b *Broker) SetRules(ctx context.Context, s *rules.Set) error {
	if s == nil {
		return errors.New("broker: no rules")
	}
	return b.ring.setRules(ctx, s)
}

// Exchange is one exchange, without HTTP. The error is an *exchange.Error.
func (b *Broker) Exchange(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
	return b.exchange(ctx, asker{}, strict, r)
}
