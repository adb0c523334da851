package broker

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

const evidenceWithin = 30 * time.Second // one attempt to get evidence for a key

// quoting is the one place where this broker asks its hardware for evidence. Requests for keys go
// first: they wait for nobody here, and no statement for askers is begun while one is waiting or under way, or has failed and
// will come again. Hardware that makes one quote at a time can so delay a key by one quote of theirs at most.
type quoting struct {
	config *Config
	noted  func(*attest.Evidence) // told of all evidence for keys, whose collateral does not go into certificates
	life   context.Context        // nothing is asked for when it has ended: who stops the broker does not wait for hardware
	end    context.CancelFunc

	mu     sync.Mutex
	keys   int           // requests for keys
	idle   chan struct{} // closed when there are none
	failed time.Time     // when one got nothing; zero since one got something
}

// keysComeAgain is how long a key that got no evidence has the hardware for itself: it asks anew within maxRetryAfter.
const keysComeAgain = 2 * time.Minute

// errKeysFirst is why a statement is not begun.
var errKeysFirst = errors.New("the keys' own evidence goes first")

func newQuoting(c *Config, noted func(*attest.Evidence)) *quoting {
	idle := make(chan struct{})
	close(idle)
	life, end := context.WithCancel(context.Background())
	return &quoting{config: c, noted: noted, life: life, end: end, idle: idle}
}

// plan is what a key is certified for.
type plan struct {
	use     string
	digest  [32]byte // of the rules that the evidence shall name
	names   []string
	lasts   time.Duration // it may be used so long
	outlive time.Duration // and what was signed with it by then is verified for so long
	every   time.Duration // it is certified anew after that at the latest
	schemes []string
}

// certify gets evidence for a key. The first error is a fault of the hardware, or of the way to it.
func (q *quoting) certify(ctx context.Context, key crypto.Signer, p plan) (got *certified, err error) {
	q.begin()
	defer func() { q.done(got != nil) }()
	ctx, cancel := context.WithTimeout(ctx, evidenceWithin)
	defer cancel()
	defer context.AfterFunc(q.life, cancel)()
	id, err := jose.Thumbprint(key.Public())
	if err != nil {
		return nil, fmt.Errorf("key id: %w", err)
	}
	now := q.config.wall()
	// Issued a leeway ago: a checker whose clock is behind ours within the
	// leeway must not find the first token's key "not yet valid".
	issued := now.Add(-ctb.Leeway).Truncate(time.Second)
	planned := now.Add(p.lasts).Truncate(time.Second)
	expires := planned.Add(p.outlive)
	if p.outlive > 0 {
		expires = expires.Add(time.Second) // whole seconds, not one too few
	}
	hardware := &noting{quoting: q}
	cert, err := attest.Certify(ctx, hardware, key, attest.Binding{
		Use: p.use, Issuer: q.config.Issuer, RulesDigest: p.digest, Issued: issued, Expires: expires.Truncate(time.Second), Names: p.names,
	}, p.schemes...)
	if err != nil {
		return nil, err
	}
	if end := hardware.until; !end.IsZero() && !end.After(now) {
		return nil, fmt.Errorf("the evidence ended at %s, and it is %s: is this clock right?", end.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	c := &certified{signer: key, id: id, cert: cert, digest: p.digest, issued: issued, planned: planned, ends: cert.NotAfter}
	c.until(now, hardware.until, p.every)
	return c, nil
}

// statement gets fresh evidence over nonces, when no key needs any.
func (q *quoting) statement(ctx context.Context, claims attest.FreshClaims) (*attest.Fresh, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(q.life, cancel)()
	if err := q.wait(ctx); err != nil {
		return nil, err
	}
	return attest.NewFresh(ctx, q.config.Quoter, claims)
}

func (q *quoting) begin() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.keys == 0 {
		q.idle = make(chan struct{})
	}
	q.keys++
}

func (q *quoting) done(got bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.failed = time.Now(); got {
		q.failed = time.Time{}
	}
	if q.keys--; q.keys == 0 {
		close(q.idle)
	}
}

// wait returns when no key needs evidence. It does not wait for one that will come again: that may take a minute.
func (q *quoting) wait(ctx context.Context) error {
	for {
		q.mu.Lock()
		keys, idle, failed := q.keys, q.idle, q.failed
		q.mu.Unlock()
		switch {
		case keys == 0 && !failed.IsZero() && time.Since(failed) < keysComeAgain:
			return fmt.Errorf("%w, and there was none for one", errKeysFirst)
		case keys == 0:
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errKeysFirst, ctx.Err())
		}
	}
}

// noting is the hardware, for one certificate.
type noting struct {
	*quoting
	until time.Time // the first end of all that it gave; zero: none has one
}

// Quote implements [attest.Quoter].
func (n *noting) Quote(ctx context.Context, data [64]byte) (*attest.Evidence, error) {
	e, err := n.config.Quoter.Quote(ctx, data)
	if err != nil {
		return nil, err
	}
	if end := e.NotAfter.Round(0); !e.NotAfter.IsZero() && (n.until.IsZero() || end.Before(n.until)) {
		n.until = end
	}
	n.noted(e)
	return e, nil
}

// certified is a key with evidence. It does not change once made: a key whose evidence is renewed has another. Signing keys
// and TLS keys live in the same way: made, certified, certified anew when it is due, and retired by what holds them.
type certified struct {
	signer crypto.Signer // only here, only in memory
	id     string        // RFC 7638 thumbprint
	cert   *x509.Certificate
	digest [32]byte // of the rules that the evidence names

	issued   time.Time // valid from then on
	planned  time.Time // it is used no longer, whatever its evidence
	useUntil time.Time // nor longer than its evidence can be verified
	ends     time.Time // then neither the key nor what was signed with it can be verified
	renewAt  time.Time // it is certified anew then
}

// until sets the ends that follow from that of the quote itself, zero if it has none.
func (c *certified) until(now, quote time.Time, every time.Duration) {
	c.useUntil = c.planned
	if !quote.IsZero() {
		c.useUntil, c.ends = earlier(c.useUntil, quote), earlier(c.ends, quote)
	}
	// The last third is for attempts while no evidence can be had.
	c.renewAt = now.Add(min(c.useUntil.Sub(now)*2/3, every))
}

// usable tells whether the evidence vouches for the key at this time. It
// need not, if the clock was set.
func (c *certified) usable(now time.Time) bool {
	return c != nil && !now.Before(c.issued) && !now.After(c.useUntil)
}

// due tells whether it is time for new evidence.
func (c *certified) due(now time.Time) bool { return !c.usable(now) || !now.Before(c.renewAt) }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
