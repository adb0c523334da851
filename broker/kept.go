package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// keptKeys writes records of signing keys into the State, and knows how that went. It is the ring's, under its lock.
//
// Who can write there is the host. A record is published only under the name of the key that signed it, and whether its evidence is
// genuine, and of our build, is for checkers to judge: their policy refuses a key of other software here as it would anywhere. Who takes
// the key set without judging evidence takes such a key, too.
//
// To delete a record, or to fill the place, takes tokens of an earlier run from their checkers, or keeps this broker from signing, for
// as long as a token lives after the start at most: as stopping the broker does. What it can't do is to displace a key whose private
// half is here: those stand first in the key set, and no key is taken into use for which there is no room.
type keptKeys struct {
	config  *Config
	loaded  bool  // there is no key of an earlier run that is not known
	loading retry // of what earlier runs have left
	saving  retry
	unread  bool // there is something that could not be read
}

// err tells why keys can't be kept now; nil when they can.
func (s *keptKeys) err() error { return cmp.Or(s.loading.err, s.saving.err) }

// keep writes the record of a key. Only when it has returned nil may the key sign, and only as long as the record's certificate outlives what
// it signs.
func (s *keptKeys) keep(ctx context.Context, k *signingKey) error {
	if s.config.State != nil {
		text, err := k.record(s.config.Issuer).marshal()
		if err == nil {
			err = s.config.State.Keep(ctx, k.id, text)
		}
		if err != nil {
			if s.saving.err == nil {
				s.config.Logger.Error("a signing key can't be kept; no new one is taken into use until it can be", "kid", k.id, "err", err)
			}
			s.saving.failed(s.config.wall(), err)
			return fmt.Errorf("the key can't be kept: %w", err)
		}
		s.saving.succeeded()
	}
	k.kept, k.unkept = k.evidence.planned, false
	return nil
}

// forget removes the record of a key that is gone. One that stays is removed when it is loaded the next time.
func (s *keptKeys) forget(ctx context.Context, id string) {
	if s.config.State == nil {
		return
	}
	if err := s.config.State.Forget(ctx, id); err != nil {
		s.config.Logger.Warn("the record of a key that is gone can't be removed", "kid", id, "err", err)
	}
}

// save keeps what has changed of keys that are kept already: when they were retired, and new evidence.
func (r *keyRing) save(ctx context.Context, now time.Time) {
	if r.kept.saving.waits(now) {
		return
	}
	for _, k := range r.all(r.current.Load()) {
		if k.unkept && r.kept.keep(ctx, k) != nil {
			return
		}
	}
	if r.made == nil { // else that is what can't be kept
		r.kept.saving.succeeded()
	}
}

// restore publishes the keys of earlier runs. Until it has, no key is taken into use.
func (r *keyRing) restore(ctx context.Context, now time.Time) {
	s := r.kept
	if s.loaded || s.loading.waits(now) {
		return
	}
	if s.config.State == nil {
		s.loaded = true
		return
	}
	records, err := s.config.State.Load(ctx)
	if records == nil {
		if err == nil {
			err = errors.New("it gave nothing")
		}
		if s.loading.err == nil {
			s.config.Logger.Error("the keys of earlier runs can't be loaded; no key is taken into use until they are", "err", err)
		}
		s.loading.failed(now, err)
		return
	}
	s.loading.succeeded()
	s.loaded, s.unread = true, err != nil
	if err != nil {
		s.config.Logger.Warn("not all that is kept could be read; it is left as it is", "err", err)
	}
	r.retired = append(s.choose(ctx, s.keys(records, now), now), r.retired...)
	if n := len(r.retired); n > 0 {
		s.config.Logger.Info("keys of earlier runs are published until their tokens have expired", "keys", n)
	}
}

// keys are those of the records that are ours and in order.
func (s *keptKeys) keys(records map[string][]byte, now time.Time) []*signingKey {
	var ours []*record
	crashed := now
	for name, text := range records {
		r, err := parseRecord(name, text)
		switch {
		case err != nil:
			s.unread = true
			s.config.Logger.Warn("a record of a key is damaged; it is left as it is", "name", name, "err", err)
			continue
		case r.Issuer != s.config.Issuer:
			s.config.Logger.Warn("a record is of another issuer's key; it is left as it is", "name", name, "issuer", r.Issuer)
			continue
		}
		ours = append(ours, r)
		// A clock that stands before one of the keys was made tells less of when the process ended than the key does.
		if made := r.cert.NotBefore.Add(ctb.Leeway); made.After(crashed) {
			crashed = made
		}
	}
	var keys []*signingKey
	for _, r := range ours {
		k, err := restored(r, crashed, s.config.Now())
		if err != nil { // unreachable: parseRecord has made its JWK already
			s.config.Logger.Error("a record of a key can't be published", "kid", r.KeyID, "err", err)
			continue
		}
		k.unkept = r.Retired == 0 // the next restart must not take itself for its end
		keys = append(keys, k)
	}
	return keys
}

// choose leaves out what is over, which is forgotten, and what does not fit into a key set. A broker
// never leaves so many keys, since it takes none into use for which there is no room. The oldest is the first of the result.
func (s *keptKeys) choose(ctx context.Context, keys []*signingKey, now time.Time) []*signingKey {
	slices.SortFunc(keys, func(a, b *signingKey) int {
		return cmp.Or(b.evidence.issued.Compare(a.evidence.issued), cmp.Compare(a.id, b.id))
	})
	var chosen []*signingKey
	size, left := len(`{"keys":[]}`), 0
	for _, k := range keys {
		if k.drop(now) {
			s.forget(ctx, k.id)
			continue
		}
		if size += len(k.jwk) + 1; len(chosen) == jose.MaxKeys || size > jose.MaxSetSize {
			left++
			continue
		}
		chosen = append(chosen, k)
	}
	if left > 0 {
		s.unread = true
		s.config.Logger.Warn("there are more records of keys than a key set can hold; the oldest are left out", "left_out", left)
	}
	slices.Reverse(chosen)
	return chosen
}
