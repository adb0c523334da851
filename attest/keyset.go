package attest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/confidential-token-broker/ctb/internal/refetch"
	"github.com/confidential-token-broker/ctb/internal/roots"
)

// Config says where attested keys come from and which are ours.
type Config struct {
	// URL is the broker's issuer URL, whose keys are at /.well-known/jwks.json
	// below it, or a URL of the keys themselves (a path that ends in .json). It is https, or
	// http on a loopback address.
	URL       string
	Issuer    string     // that keys must be bound to where Policy names none; empty: that of URL
	Policy    *Policy    // required
	Platforms []Verifier // required
	// Client asks for the keys. Nil bounds each request by 10 s and knows the
	// server by the evidence of its TLS key, as [TLSConfig] does; over plain
	// http, and under the scheme [Original], which has no TLS keys, by the CA
	// roots that come with the program. Give one that trusts a CA where TLS ends before the broker.
	//
	// It also asks for the collateral that the broker staples; nil asks by a client that knows the
	// server by nothing, and [FetchAttestation] says why that is safe.
	Client *http.Client
	Now    func() time.Time // nil means time.Now
	// EvidenceNow is the clock that collateral is judged by; nil means Now. It is for archived tokens.
	EvidenceNow func() time.Time
	// Staple is a broker's document at hand, whose collateral is for evidence that brings none, in
	// [ParseKeys], [Appraisals] and [AppraiseCertificate]; nil: none. [NewKeySet] and [TLSConfig] ask the broker themselves.
	Staple *Attestation
	// Scheme is how evidence is read where there is no Policy to say it, by [Appraisals] and
	// [AppraiseCertificate]; empty: by the scheme that it has.
	Scheme string
}

// KeySet is a [ctb.KeySet] of keys whose evidence was verified. It is safe for concurrent use.
//
// A key is in the set only if its evidence is genuine, is bound to the key for
// signing tokens, by the issuer, and passes the policy. Its verdict is used no longer than the key's
// validity, the collateral it rests on and a toleration of its platform's status. A key that is published but refused
// is not unknown: to ask for it is an error that says why, so that a wrong
// build alarms and does not look like a bad token. A key whose time is over,
// or has not come, is unknown ([ctb.ErrUnknownKey]) as long as another can be used.
type KeySet struct {
	judge judge
	cache *refetch.Cache[*verdicts] // nil for a fixed set
	fixed *verdicts
}

const (
	wellKnownKeys = "/.well-known/jwks.json"
	keyRevocation = ".unchecked_revocation" // of a build, in a policy
	maxNamed      = 80                      // bytes of a key id in an error
)

// NewKeySet returns the attested keys of the broker at c.URL. It fetches
// nothing yet.
//
// When it judges evidence it asks the broker for the collateral that it staples (at /.well-known/attestation
// below the issuer that c.URL names; where that names none, there is no staple), and waits at most
// 3 s for it, and for a newer one if evidence can't be judged by the one at hand. The collateral of c.Platforms is used if that can't be had or is refused, and where it is no older. While neither can be had, or only such
// that is older than the policy wants, keys that were trusted stay so for as long as their collateral is valid, and for a day at most.
//
// The keys must be bound to the policy's issuer or, if it names none, to
// c.Issuer or else to the one that c.URL names. A policy of the scheme [Original] can't ask for that.
func NewKeySet(c Config) (*KeySet, error) {
	j, err := newJudge(c)
	if err != nil {
		return nil, err
	}
	keysURL, issuer, err := splitURL(c.URL)
	if err != nil {
		return nil, err
	}
	if err := j.expect(issuer); err != nil {
		return nil, fmt.Errorf("attest: %s %w", redact(c.URL), err)
	}
	j.ask(c.Client, issuer)
	client := c.client(j)
	s := &KeySet{judge: *j}
	s.cache = refetch.New(func(ctx context.Context) (*verdicts, time.Duration, error) {
		doc, err := fetch.JSON(ctx, client, keysURL, jose.MaxSetSize)
		if err != nil {
			return nil, 0, err
		}
		last, ok := s.cache.Current()
		if !ok {
			last = nil
		}
		v, err := s.judge.all(ctx, doc.Body, last)
		return v, v.refreshIn(doc.MaxAge, s.judge.now(), s.judge.evidenceNow()), err
	}, c.Now)
	return s, nil
}

func (c Config) client(j *judge) *http.Client {
	u, err := url.Parse(c.URL) // which splitURL has read
	switch {
	case c.Client != nil:
		return c.Client
	case err != nil || j.scheme != DICE || u.Scheme != "https":
		return fetch.Client(roots.Bundled())
	}
	return fetch.ClientTLS(j.tlsConfig(u.Hostname()))
}

// splitURL tells where the keys are, and the issuer that the URL names, if it does.
func splitURL(raw string) (keysURL, issuer string, err error) {
	u, err := url.Parse(raw)
	if err != nil || !fetch.Private(u) {
		return "", "", fmt.Errorf("attest: got URL %q, want an https URL", redact(raw))
	}
	if !strings.HasSuffix(u.Path, ".json") {
		if u.RawQuery != "" || u.Fragment != "" || u.User != nil { // RFC 8414 section 2
			return "", "", fmt.Errorf("attest: got URL %q, want an issuer URL without query, fragment and credentials", redact(raw))
		}
		return strings.TrimSuffix(raw, "/") + wellKnownKeys, raw, nil
	}
	if base, ok := strings.CutSuffix(raw, wellKnownKeys); ok && u.User == nil {
		return raw, base, nil
	}
	return raw, "", nil
}

// redact shows a URL without what may be secret in it.
func redact(raw string) string { return clip(fetch.Redact(raw)) }

// ParseKeys verifies every key of a JWKS that is at hand; c.URL and c.Client
// are not used, and the issuer is compared only if the policy or c.Issuer names one. The
// error is not nil if the JWKS can't be read or has no key; what is wrong with
// one key is what Key says of it.
func ParseKeys(ctx context.Context, jwks []byte, c Config) (*KeySet, error) {
	j, err := newJudge(c)
	if err != nil {
		return nil, err
	}
	v, err := j.all(ctx, jwks, nil)
	if err != nil {
		return nil, err
	}
	if len(v.trusted)+len(v.refused) == 0 {
		return nil, errors.New("JWK set has no keys")
	}
	return &KeySet{judge: *j, fixed: v}, nil
}

// Key implements [ctb.KeySet]. A token must name its key. A key at hand is
// found without waiting, a lock or an allocation.
func (s *KeySet) Key(ctx context.Context, kid string) (ctb.Key, error) {
	if kid == "" {
		return ctb.Key{}, ctb.ErrUnknownKey
	}
	now, evidenceNow := s.judge.now(), s.judge.evidenceNow()
	if s.cache == nil {
		return s.fixed.key(kid, now, evidenceNow)
	}
	if v, ok := s.cache.Current(); ok {
		if k, err := v.key(kid, now, evidenceNow); err == nil {
			return k, nil
		}
	}
	v, ok, fetchErr := s.cache.Newer(ctx)
	if !ok {
		if fetchErr == nil {
			fetchErr = errors.New("not fetched yet")
		}
		return ctb.Key{}, fmt.Errorf("attested keys: %w", fetchErr)
	}
	k, err := v.key(kid, now, evidenceNow)
	if fetchErr != nil && errors.Is(err, ctb.ErrUnknownKey) {
		// The newest keys can't be had, so whether this one exists can't be told.
		return ctb.Key{}, fmt.Errorf("attested keys: %w", fetchErr)
	}
	return k, err
}

// Refresh fetches and verifies the keys if there are none, if they have reached
// the age that the broker allows, or oldest if that is not 0, or if something
// is wrong with them, as Err would tell, which it returns. Called now and then,
// it makes a withdrawn key forgotten also while nobody asks. A fixed set stays as it is.
func (s *KeySet) Refresh(ctx context.Context, oldest time.Duration) error {
	switch {
	case s.cache == nil:
	case s.Err() != nil:
		_, _, _ = s.cache.Newer(ctx)
	default:
		s.cache.Refresh(ctx, oldest)
	}
	return s.Err()
}

// Err tells what is wrong with the key set as a whole: the error of the newest
// fetch, that no key of it is accepted, or that one keeps an older verdict, since it can't be judged anew. It is nil while all is well, and as
// long as nothing was fetched.
func (s *KeySet) Err() error {
	v := s.fixed
	if s.cache != nil {
		if err := s.cache.Err(); err != nil {
			return fmt.Errorf("attested keys: %w", err)
		}
		v, _ = s.cache.Current()
	}
	switch {
	case v != nil && len(v.trusted) == 0:
		return v.noneAccepted()
	case v != nil && v.unsettled != nil:
		return fmt.Errorf("attested keys: %w", v.unsettled)
	}
	return nil
}

// verdicts are the keys of one JWKS. They do not change once made.
type verdicts struct {
	trusted map[string]*trustedKey
	refused map[string]error
	// unsettled says which key keeps its last verdict, since it can't be judged anew, and why; nil if none does.
	unsettled error
}

// trustedKey is a key that passed, and for how long that holds.
type trustedKey struct {
	key           ctb.Key
	binding       *Binding
	judgedAt      time.Time
	evidenceUntil time.Time // zero if the evidence has no end
	untilWhy      string    // what ends then
}

func (v *verdicts) key(kid string, now, evidenceNow time.Time) (ctb.Key, error) {
	if k, ok := v.trusted[kid]; ok {
		if err := k.usable(now, evidenceNow); err != nil {
			return ctb.Key{}, v.blame(fmt.Errorf("attested key %s: %w", k.key.ID, err), now, evidenceNow)
		}
		return k.key, nil
	}
	if err, ok := v.refused[kid]; ok {
		return ctb.Key{}, v.blame(fmt.Errorf("attested key %q is refused: %w", clipTo(kid, maxNamed), err), now, evidenceNow)
	}
	if len(v.trusted) == 0 { // nothing could be verified, so this is not the token's fault
		return ctb.Key{}, v.noneAccepted()
	}
	return ctb.Key{}, ctb.ErrUnknownKey
}

// usable tells whether the verdict on the key holds at this time.
func (k *trustedKey) usable(now, evidenceNow time.Time) error {
	// Clocks may be apart as far as a token's "nbf" and "exp" allow it.
	if now.Before(k.binding.Issued.Add(-ctb.Leeway)) || now.After(k.binding.Expires.Add(ctb.Leeway)) {
		return &untimelyError{k.binding.validAt(now)}
	}
	if !k.evidenceUntil.IsZero() && evidenceNow.After(k.evidenceUntil) {
		return fmt.Errorf("%s %s", k.untilWhy, stamp(k.evidenceUntil))
	}
	return nil
}

// untimelyError says that a key is not valid at this time. It tells nothing against the key.
type untimelyError struct{ error }

// blame makes a key that is not valid at this time an unknown one, if another
// is usable: anybody can write the name of a key that has expired into a token, and it must not
// look like an outage. If none is, it is one.
func (v *verdicts) blame(err error, now, evidenceNow time.Time) error {
	var untimely *untimelyError
	if !errors.As(err, &untimely) {
		return err
	}
	for _, k := range v.trusted {
		if k.usable(now, evidenceNow) == nil {
			return fmt.Errorf("%w: %w", ctb.ErrUnknownKey, err)
		}
	}
	return err
}

// noneAccepted gives the reason of the first key in the order of their ids.
func (v *verdicts) noneAccepted() error {
	if len(v.refused) == 0 {
		return errors.New("attested keys: none is accepted: the key set is empty")
	}
	first := slices.Min(slices.Collect(maps.Keys(v.refused)))
	return fmt.Errorf("attested keys: none is accepted: key %q: %w", clipTo(first, maxNamed), v.refused[first])
}

// all judges the keys of a JWKS. An empty one is an answer too: every key is
// withdrawn. A key that was trusted by the last verdicts, which hold still, keeps its verdict if it can't be judged
// now, or only by collateral that is older than the policy wants or lacks the list of what is revoked. That says nothing of the
// others: what is found out about them counts.
func (j *judge) all(ctx context.Context, jwks []byte, last *verdicts) (*verdicts, error) {
	set, err := jose.ParseSet(jwks)
	if err != nil {
		return nil, err
	}
	v := &verdicts{trusted: make(map[string]*trustedKey), refused: make(map[string]error)}
	for _, k := range set {
		a := j.one(ctx, k)
		switch {
		case a.Err == nil:
			v.trusted[k.KeyID] = j.trust(k, a.Appraisal)
		case (undecided(a.Err) || judgedByLess(a.Err)) && last.holds(k, j.now(), j.evidenceNow()):
			v.trusted[k.KeyID] = last.trusted[k.KeyID]
			v.unsettled = cmp.Or(v.unsettled, fmt.Errorf("key %q: %w", clipTo(k.KeyID, maxNamed), a.Err))
		default:
			v.refused[k.KeyID] = a.Err
		}
	}
	return v, nil
}

// undecided tells whether nothing is said against the evidence, but that it can't be judged now.
func undecided(err error) bool { return errors.Is(err, ErrUnavailable) && !isFinal(err) }

// judgedByLess tells whether nothing is wrong but that the collateral is older
// than the policy wants, so that it says nothing of today, or lacks a revocation list. Whoever can withhold the better could serve that.
func judgedByLess(err error) bool {
	var refused *RefusalError
	return errors.As(err, &refused) && !slices.ContainsFunc(refused.Refusals, func(r Refusal) bool {
		return r.Key != keyEvaluation && !strings.HasSuffix(r.Key, keyRevocation)
	})
}

// trust makes a key that passed, for as long as both hold that it passed by: the
// collateral, and the policy's toleration of the platform's status if it has an end.
func (j *judge) trust(k jose.JWK, a *Appraisal) *trustedKey {
	t := &trustedKey{
		key:           ctb.Key{ID: k.KeyID, Algorithm: k.Algorithm, Public: k.Key},
		binding:       a.Binding,
		judgedAt:      j.now(),
		evidenceUntil: a.Report.Collateral.NotAfter,
		untilWhy:      "its evidence was verified with collateral that ended at",
	}
	if end := j.policy.TCB.until(a.Report); !end.IsZero() && (t.evidenceUntil.IsZero() || end.Before(t.evidenceUntil)) {
		t.evidenceUntil = end
		t.untilWhy = fmt.Sprintf("its platform is %s, which tcb.tolerate of the policy tolerated until", a.Report.TCB.Status)
	}
	return t
}

// refreshIn is how long the verdicts may be used without a look at the key set, which may be used for as long as maxAge (0: it does
// not say). Before a verdict on a key ends, the key is there with evidence that was renewed, and has to be judged by that in time: so no more
// than half of what is left passes. Keys that were given up end as well, and nobody is asked more than once a minute for their sake.
func (v *verdicts) refreshIn(maxAge time.Duration, now, evidenceNow time.Time) time.Duration {
	if maxAge <= 0 {
		maxAge = refetch.Refresh
	}
	switch {
	case v == nil:
		return maxAge
	case v.unsettled != nil:
		return refetch.MinRefresh
	}
	for _, k := range v.trusted {
		if left := k.left(now, evidenceNow); left > 0 {
			maxAge = min(maxAge, max(left/2, refetch.MinRefresh))
		}
	}
	return maxAge
}

// left is how long the verdict on the key holds, without what clocks may be apart.
func (k *trustedKey) left(now, evidenceNow time.Time) time.Duration {
	left := k.binding.Expires.Sub(now)
	if !k.evidenceUntil.IsZero() {
		left = min(left, k.evidenceUntil.Sub(evidenceNow))
	}
	return left
}

// holds tells whether the verdicts trust the key, at this time, and are of the last day.
func (v *verdicts) holds(k jose.JWK, now, evidenceNow time.Time) bool {
	if v == nil || v.trusted[k.KeyID] == nil {
		return false
	}
	t := v.trusted[k.KeyID]
	return jose.SameKey(t.key.Public, k.Key) && t.usable(now, evidenceNow) == nil && now.Sub(t.judgedAt) < refetch.MaxStale
}
