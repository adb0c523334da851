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
)

// errNoKey means that there is no key that may sign now.
var errNoKey = errors.New("no signing key may be used now")

// epoch is all that one exchange works with: rules, the identity providers that they name,
// and a key whose evidence names these rules. They change together or not at all.
type epoch struct {
	rules   *rules.Set
	issuers issuers
	key     *signer // nil: the broker started, and could get no evidence yet
}

// keyRing takes keys through their life: made, kept, announced, in use, certified anew, retired,
// gone. Exchanges read its atomic pointers and never wait for it.
//
// The order is what the tokens rest on: a key is kept (so that its tokens can be verified after a crash) before it is
// published, and published (so that they can be verified now) before it signs.
type keyRing struct {
	config    *Config
	quoting   *quoting
	kept      *keptKeys
	current   atomic.Pointer[epoch]
	published atomic.Pointer[document] // the key set
	status    atomic.Pointer[ringStatus]
	changed   func(rules [32]byte, keys []*signingKey) // told of the digest in force and the keys, whenever they are published
	wake      chan struct{}

	mu      sync.Mutex // held over making evidence, by rotation and setRules alone
	wanted  *rules.Set // what shall be in force
	made    *epoch     // its key is not kept yet, nil if there is none
	next    *epoch     // announced, nil if none
	useNext time.Time
	retired []*signingKey // the oldest first; those of earlier runs before all others
	making  retry         // of the next key
	renewal retry         // of evidence
}

// ringStatus is what the health page tells of the ring.
type ringStatus struct {
	wanted   *rules.Set
	useNext  time.Time // zero: no key is announced
	making   error     // why no next key could be made
	renewal  error     // why evidence could not be renewed
	kept     error     // what is wrong with the state
	unread   bool      // something in the state could not be read
	restored int       // keys of earlier runs
	until    time.Time // the first end of their evidence that comes before that of their tokens; zero if none does
}

// newKeyRing makes the first key. Nobody has cached a key set with another that could sign, so it is used at once. The error
// is a fault of the configuration; that no evidence can be had is none.
func newKeyRing(ctx context.Context, c *Config, q *quoting, changed func(rules [32]byte, keys []*signingKey)) (*keyRing, error) {
	r := &keyRing{config: c, quoting: q, kept: &keptKeys{config: c}, changed: changed, wake: make(chan struct{}, 1), wanted: c.Rules}
	named, err := newIssuers(c, c.Rules, nil)
	if err != nil {
		return nil, err
	}
	r.current.Store(&epoch{rules: c.Rules, issuers: named})
	r.advance(ctx)
	return r, ctx.Err()
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
	r.wanted = s
	r.making.succeeded() // whatever failed before: this is something else
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
		pause(ctx, min(max(due.Sub(r.config.wall()), 10*time.Millisecond), time.Minute), r.wake)
	}
}

// pause waits until the time is over, or somebody wakes, or ctx ends.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-wake:
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
	r.restore(ctx, now)
	r.withdraw(ctx, now)
	r.takeIntoUse(now)
	r.dropRetired(ctx, r.config.Now())
	r.renew(ctx, now)
	r.save(ctx, now)
	r.extend()
	r.announce(ctx, now)
	r.publish(r.current.Load())
	return r.due()
}

// withdraw forgets a key of rules that are no longer wanted, or of a time
// from which the clock was set away. It has signed nothing.
func (r *keyRing) withdraw(ctx context.Context, now time.Time) {
	useless := func(e *epoch) bool {
		return e != nil && (e.rules.Digest() != r.wanted.Digest() || !e.key.evidence.usable(now))
	}
	if useless(r.made) {
		r.made = nil
	}
	if useless(r.next) {
		r.kept.forget(ctx, r.next.key.id)
		r.next = nil
	}
}

// takeIntoUse puts the announced key and its rules in the place of the ones in force.
func (r *keyRing) takeIntoUse(now time.Time) {
	if r.next == nil || now.Before(r.useNext) {
		return
	}
	old, next := r.current.Load().key, r.next
	r.next = nil
	next.key.since = now
	r.current.Store(next) // published since announceFor
	r.config.Logger.Info("a new signing key is in use", "kid", next.key.id, "rules", next.rules.DigestString(), "retired", old.id)
	old.retiredAt, old.unkept = now, true // while that is not kept, a restart lets the key stay longer than it must
	r.retired = append(r.retired, old.signingKey)
}

func (r *keyRing) dropRetired(ctx context.Context, now time.Time) {
	kept := r.retired[:0]
	for _, k := range r.retired {
		if !k.drop(now) {
			kept = append(kept, k)
			continue
		}
		r.kept.forget(ctx, k.id)
	}
	clear(r.retired[len(kept):])
	r.retired = kept
}

// announce makes the next key when the rules have changed or the key in use grows
// old, or its evidence is not valid at the time that the clock tells now. The first key is used at once.
func (r *keyRing) announce(ctx context.Context, now time.Time) {
	current := r.current.Load()
	changed := current.key == nil || current.key.digest != r.wanted.Digest()
	if r.next != nil || !changed && current.key.maySign(now) && now.Before(r.rotateAt()) {
		if !changed {
			r.making.succeeded()
		}
		return
	}
	if r.making.waits(now) || !r.kept.loaded {
		return
	}
	next, err := r.makeNext(ctx, changed || !current.key.maySign(now))
	if err != nil {
		r.making.failed(now, err)
		r.config.Logger.Error("no new signing key; the one in use stays, if there is one", "err", err, "retry_at", r.making.at)
		return
	}
	r.making.succeeded()
	r.made = nil
	if current.key == nil {
		r.useFirst(next)
		return
	}
	r.next = next
	r.publish(current)
	r.useNext = r.config.wall().Add(announceFor) // evidence took its time: count from the publication
	r.config.Logger.Info("a new signing key is announced", "kid", next.key.id, "rules", next.rules.DigestString(), "use_at", r.useNext)
}

// useFirst takes the first key of this run into use: no other could sign, so there is nothing to wait for.
func (r *keyRing) useFirst(e *epoch) {
	e.key.since = r.config.wall()
	r.publish(e)
	r.current.Store(e)
	r.config.Logger.Info("the first signing key is in use", "kid", e.key.id, "rules", e.rules.DigestString())
}

// makeNext returns an epoch for the wanted rules whose key is kept.
func (r *keyRing) makeNext(ctx context.Context, urgent bool) (*epoch, error) {
	if err := r.room(urgent); err != nil {
		return nil, err
	}
	if r.made == nil {
		made, err := r.makeEpoch(ctx)
		if err != nil {
			return nil, err
		}
		r.made = made
	}
	if err := r.fits(r.made.key.signingKey); err != nil {
		return nil, err
	}
	if err := r.kept.keep(ctx, r.made.key.signingKey); err != nil {
		return nil, err
	}
	r.made.key = r.made.key.signer() // which may sign as long as what is kept says
	return r.made, nil
}

func (r *keyRing) makeEpoch(ctx context.Context) (*epoch, error) {
	s := r.wanted
	named, err := newIssuers(r.config, s, r.current.Load().issuers)
	if err != nil {
		return nil, err
	}
	private, err := jose.GenerateKey(r.config.Algorithm, rsaBits)
	if err != nil {
		return nil, err
	}
	c, err := r.quoting.certify(ctx, private, r.config.signingPlan(s.Digest()))
	if err != nil {
		return nil, fmt.Errorf("evidence for a signing key: %w", err)
	}
	key := &signingKey{id: c.id, algorithm: r.config.Algorithm, digest: c.digest, lifetime: max(s.LongestLifetime(), time.Second)}
	if err := key.show(c); err != nil {
		return nil, err
	}
	return &epoch{rules: s, issuers: named, key: key.signer()}, nil
}

// room tells whether there may be another key. Readers of the key set are bounded, and only what cannot wait
// goes as far as they do.
func (r *keyRing) room(urgent bool) error {
	if n := len(r.retired); !urgent && n >= maxRetired || n+2 > jose.MaxKeys {
		return fmt.Errorf("%d retired keys wait for their tokens to expire; the next key waits for them", n)
	}
	return nil
}

// fits tells whether the key set can be read with this key in it, and with one more that may be somewhat larger.
func (r *keyRing) fits(next *signingKey) error {
	size := len(`{"keys":[]}`) + 2*(len(next.jwk)+1) + len(next.jwk)/4
	if current := r.current.Load().key; current != nil {
		size += len(current.jwk) + 1 - len(next.jwk) - 1
	}
	for _, k := range r.retired {
		size += len(k.jwk) + 1
	}
	if size > jose.MaxSetSize {
		return fmt.Errorf("%d retired keys wait for their tokens to expire, and readers of the key set take %d bytes; the next key waits for them", len(r.retired), jose.MaxSetSize)
	}
	return nil
}

// rotateAt is when the key after the one in use is announced.
func (r *keyRing) rotateAt() time.Time {
	return r.current.Load().key.since.Add(r.config.RotateEvery - announceFor)
}

// due is when there is something to do next.
func (r *keyRing) due() time.Time {
	due := r.config.wall().Add(time.Minute)
	sooner := func(t time.Time) { due = earlier(due, t) }
	current := r.current.Load()
	switch {
	case r.kept.loading.err != nil:
		sooner(r.kept.loading.at)
	case r.next != nil:
		sooner(r.useNext)
	case r.making.err != nil:
		sooner(r.making.at)
	case current.key != nil:
		sooner(r.rotateAt())
	}
	if r.kept.saving.err != nil {
		sooner(r.kept.saving.at)
	}
	if r.renewal.err != nil {
		sooner(r.renewal.at)
	} else if current.key != nil {
		sooner(current.key.evidence.renewAt)
	}
	for _, k := range r.retired {
		if k.held() { // for those of earlier runs, a minute is soon enough: drop does not go by the wall alone
			sooner(k.goneAt())
		}
	}
	return due
}

// all are the keys of the key set: the one in use first, then the announced one, then the retired.
func (r *keyRing) all(current *epoch) []*signingKey {
	var keys []*signingKey
	for _, e := range []*epoch{current, r.next} {
		if e != nil && e.key != nil {
			keys = append(keys, e.key.signingKey)
		}
	}
	return append(keys, r.retired...)
}

// publish rebuilds the key set.
func (r *keyRing) publish(current *epoch) {
	keys := r.all(current)
	status := &ringStatus{wanted: r.wanted, making: r.making.err, renewal: r.renewal.err, kept: r.kept.err(), unread: r.kept.unread}
	if r.next != nil {
		status.useNext = r.useNext
	}
	for _, k := range r.retired {
		if k.held() {
			continue
		}
		status.restored++
		if end := k.evidence.ends; end.Before(k.goneAt()) && (status.until.IsZero() || end.Before(status.until)) {
			status.until = end
		}
	}
	r.published.Store(keySet(keys))
	r.changed(current.rules.Digest(), keys)
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
