// Package broker is the service: it exchanges id tokens for access tokens
// (RFC 8693), by rules that an administrator wrote, with keys for which the
// hardware vouches, and tells everybody which keys these are.
//
// It owns the exchange, the ring of signing keys and what is kept of them, when evidence is asked for and
// renewed, the collateral that is served beside it, the HTTP endpoints and the audit. It does not decide (package rules does), does not know how to verify
// tokens (package ctb) or make evidence (package attest), and does not listen:
// a Broker is an http.Handler.
//
// What is not configurable: no token without a record of it; no token signed by
// a key whose evidence names other rules than those that decided; no private key
// outside memory; no key that signs without evidence that is valid, before it is kept (where there is a state) or before it
// is published; no identity provider that can sign for another.
package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/rules"
)

// Broker is an http.Handler. It is safe for concurrent use.
type Broker struct {
	config   *Config
	quoting  *quoting
	ring     *keyRing
	tls      *tlsKeys
	staple   *staple
	attested *attestation
	fresh    *freshness
	routes   map[string]route
	auditOK  atomic.Bool // the newest record could be written
	flood    flood
}

// New makes the signing key and its evidence. If that can't be had, there is no error: the broker serves, signs nothing, says so in /readyz,
// and Run tries again and again. It asks no identity provider:
// one that is down at start is none of the others' business. An error is a fault of the configuration, or that of ctx.
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
	b := &Broker{config: &c, attested: newAttestation(&c)}
	b.staple = newStaple(&c, b.attested.setCollateral)
	b.quoting = newQuoting(&c, b.staple.note)
	b.tls = newTLSKeys(&c, b.quoting, func() [32]byte { return b.ring.current.Load().rules.Digest() }, b.attested.setTLSKeys)
	b.fresh = &freshness{config: &c, make: b.freshDocument, clients: newClients()}
	b.auditOK.Store(true)
	ring, err := newKeyRing(ctx, &c, b.quoting, func(rules [32]byte, keys []*signingKey) {
		b.attested.setKeys(rules, keys)
		b.tls.lookAgain() // its keys name the rules, too
	})
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	b.ring = ring
	b.routes = b.newRoutes()
	return b, nil
}

// Run announces, takes into use, certifies anew and retires keys until ctx ends, and returns
// nil then. Without it, new rules are announced but never take effect, the
// broker stops to sign when its first key has served its time, a broker that started without evidence never gets any,
// and Config.Collateral is not asked. When it ends, Config.State is closed, for the next broker to use: serve no exchanges
// for longer than a minute after that.
func (b *Broker) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, b.quoting.end)()
	var wg sync.WaitGroup
	wg.Go(func() { b.watchIssuers(ctx) })
	wg.Go(func() { b.staple.run(ctx) })
	wg.Go(func() { b.tls.run(ctx) })
	b.ring.run(ctx)
	wg.Wait()
	if c, ok := b.config.State.(io.Closer); ok {
		if err := c.Close(); err != nil {
			b.config.Logger.Warn("the state could not be closed", "err", err)
		}
	}
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
