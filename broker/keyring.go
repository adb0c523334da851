package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/confidential-token-broker/ctb/rules"
)

const (
	// jwksMaxAge is how long the key set may be cached.
	jwksMaxAge = 60 * time.Second
	// announceFor is how long a key is published before its first use: twice
	// the time of the caches, so that every checker has it when it is needed.
	announceFor = 2 * jwksMaxAge
	// inFlight is how long an exchange may hold a key that has just been retired.
	inFlight = 60 * time.Second
	// maxRetired bounds how many keys may wait for their tokens to expire before
	// another is made only because the one in use grows old. New rules need not
	// wait for that, see room.
	maxRetired = 24

	minRotateEvery = 5 * time.Minute
	maxRotateEvery = 90 * 24 * time.Hour
	evidenceWithin = 30 * time.Second // one attempt to get evidence
	maxRetryAfter  = time.Minute      // between attempts
)

// errNoKey means that there is no key that may sign now.
var errNoKey = errors.New("no signing key may be used now")

// epoch is all that one exchange works with: rules, the identity providers that they name,
// and a key whose evidence names these rules. They change together or not at all.
type epoch struct {
	rules   *rules.Set
	issuers issuers
	key     *signingKey
}

// keyRing takes keys through their life: announced, in use, retired, gone.
// Exchanges read its atomic pointers and never wait for it.
type keyRing struct {
	config    *Config
	current   atomic.Pointer[epoch]
	published atomic.Pointer[document] // the key set
	status    atomic.Pointer[ringStatus]
	changed   func(rules string, keys []*signingKey) // told of the digest in force and the keys, whenever they are published
	wake      chan struct{}

	mu       sync.Mutex // held over making evidence, by rotation and setRules alone
	wanted   *rules.Set // what shall be in force
	next     *epoch     // announced, nil if none
	useNext  time.Time
	retired  []*signingKey
	trouble  error // why the next key could not be made
	failures int
	retryAt  time.Time
}

// ringStatus is what the health page tells of the ring.
type ringStatus struct {
	wanted  *rules.Set
	useNext time.Time // zero: no key is announced
	trouble error
}

// newKeyRing makes the first key. Nobody has cached a key set without it, so it is used at once.
func newKeyRing(ctx context.Context, c Config, changed func(rules string, keys []*signingKey)) (*keyRing, error) {
	r := &keyRing{config: &c, changed: changed, wake: make(chan struct{}, 1), wanted: c.Rules}
	first, err := r.makeEpoch(ctx, c.Rules)
	if err != nil {
		return nil, err
	}
	first.key.since = c.wall()
	r.publish(first)
	r.current.Store(first)
	return r, nil
}

func (r *keyRing) makeEpoch(ctx context.Context, s *rules.Set) (*epoch, error) {
	var known issuers
	if e := r.current.Load(); e != nil {
		known = e.issuers
	}
	named, err := newIssuers(r.config, s, known)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, evidenceWithin)
	defer cancel()
	key, err := newSigningKey(ctx, r.config, s.Digest(), r.config.wall())
	if err != nil {
		return nil, err
	}
	return &epoch{rules: s, issuers: named, key: key}, nil
}

// setRules makes s the wanted rules and tries at once.
func (r *keyRing) setRules(ctx context.Context, s *rules.Set) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.Digest() == r.wanted.Digest() {
		return nil
	}
	if err := r.config.checkRetired(s); err != nil {
		return fmt.Errorf("broker: the rules in force stay: rotation of keys: %w", err)
	}
	if _, err := newIssuers(r.config, s, r.current.Load().issuers); err != nil {
		return fmt.Errorf("broker: the rules in force stay: %w", err)
	}
	r.wanted, r.retryAt, r.failures = s, time.Time{}, 0
	r.advanceLocked(ctx)
	select {
	case r.wake <- struct{}{}:
	default: // it is awake already
	}
	return nil
}

// run advances the ring whenever something is due.
func (r *keyRing) run(ctx context.Context) {
	for ctx.Err() == nil {
		due := r.advance(ctx)
		// A minute at most: a clock that was set forward is noticed soon.
		wait := min(max(due.Sub(r.config.wall()), 10*time.Millisecond), time.Minute)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.wake:
		}
		timer.Stop()
	}
}

// advance does everything that is due and tells when to come back.
func (r *keyRing) advance(ctx context.Context) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.advanceLocked(ctx)
}

func (r *keyRing) advanceLocked(ctx context.Context) time.Time {
	now := r.config.wall()
	r.withdraw(now)
	r.takeIntoUse(now)
	r.dropRetired(now)
	r.announce(ctx, now)
	r.publish(r.current.Load())
	return r.due()
}

// withdraw forgets an announced key of rules that are no longer wanted, or of a time
// from which the clock was set away. It has signed nothing.
func (r *keyRing) withdraw(now time.Time) {
	if r.next != nil && (r.next.rules.Digest() != r.wanted.Digest() || !r.next.key.maySign(now)) {
		r.next = nil
	}
}

// takeIntoUse puts the announced key and its rules in the place of the ones in force.
func (r *keyRing) takeIntoUse(now time.Time) {
	if r.next == nil || now.Before(r.useNext) {
		return
	}
	old := r.current.Load()
	r.next.key.since = now
	old.key.retiredAt = now
	r.retired = append(r.retired, old.key)
	r.current.Store(r.next) // published since announceFor
	r.config.Logger.Info("a new signing key is in use", "kid", r.next.key.id, "rules", r.next.rules.DigestString(), "retired", old.key.id)
	r.next = nil
}

func (r *keyRing) dropRetired(now time.Time) {
	kept := r.retired[:0]
	for _, k := range r.retired {
		if !k.drop(now) {
			kept = append(kept, k)
		}
	}
	clear(r.retired[len(kept):])
	r.retired = kept
}

// announce makes the next key when the rules have changed or the key in use grows
// old, or its evidence is not valid at the time that the clock tells now.
func (r *keyRing) announce(ctx context.Context, now time.Time) {
	current := r.current.Load()
	changed := current.key.digest != r.wanted.Digest()
	if r.next != nil || !changed && current.key.maySign(now) && now.Before(r.rotateAt()) {
		if !changed {
			r.trouble = nil
		}
		return
	}
	if now.Before(r.retryAt) && r.retryAt.Sub(now) <= maxRetryAfter { // a later one is from before the clock was set
		return
	}
	if !r.room(changed || !current.key.maySign(now)) {
		r.failed(now, fmt.Errorf("%d retired keys wait for their tokens to expire; the next key waits for them", len(r.retired)))
		return
	}
	next, err := r.makeEpoch(ctx, r.wanted)
	if err != nil {
		r.failed(now, err)
		return
	}
	r.next, r.trouble, r.failures = next, nil, 0
	r.publish(current)
	r.useNext = r.config.wall().Add(announceFor) // evidence took its time: count from the publication
	r.config.Logger.Info("a new signing key is announced", "kid", next.key.id, "rules", next.rules.DigestString(), "use_at", r.useNext)
}

// room tells whether the key set can take another key. Its readers are bounded (100
// keys, 1 MiB), and only what cannot wait goes as far as they do.
func (r *keyRing) room(urgent bool) bool {
	if !urgent {
		return len(r.retired) < maxRetired
	}
	one := len(r.current.Load().key.jwk) + 1
	size := 2*one + one/4 // the one in use and the next, which may be somewhat larger
	for _, k := range r.retired {
		size += len(k.jwk) + 1
	}
	return len(r.retired)+2 <= jose.MaxKeys && size+len(`{"keys":[]}`) <= jose.MaxSetSize
}

func (r *keyRing) failed(now time.Time, err error) {
	r.trouble = err
	r.retryAt = now.Add(min(time.Second<<min(r.failures, 10), maxRetryAfter))
	r.failures++
	r.config.Logger.Error("no new signing key; the one in use stays", "err", err, "retry_at", r.retryAt)
}

// rotateAt is when the key after the one in use is announced.
func (r *keyRing) rotateAt() time.Time {
	return r.current.Load().key.since.Add(r.config.RotateEvery - announceFor)
}

// due is when there is something to do next.
func (r *keyRing) due() time.Time {
	var due time.Time
	switch {
	case r.next != nil:
		due = r.useNext
	case r.trouble != nil:
		due = r.retryAt
	default:
		due = r.rotateAt()
	}
	for _, k := range r.retired {
		if gone := k.goneAt(); gone.Before(due) {
			due = gone
		}
	}
	return due
}

// publish rebuilds the key set: the key in use first, then the announced one, then the retired.
func (r *keyRing) publish(current *epoch) {
	keys := []*signingKey{current.key}
	status := &ringStatus{wanted: r.wanted, trouble: r.trouble}
	if r.next != nil {
		keys = append(keys, r.next.key)
		status.useNext = r.useNext
	}
	keys = append(keys, r.retired...)
	r.published.Store(keySet(keys))
	r.changed(current.rules.DigestString(), keys)
	r.status.Store(status)
}

// keySet is the JWK set of keys (RFC 7517 section 5).
func keySet(keys []*signingKey) *document {
	body := []byte(`{"keys":[`)
	for i, k := range keys {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, k.jwk...)
	}
	return newDocument("application/jwk-set+json", append(body, "]}"...), jwksMaxAge)
}
