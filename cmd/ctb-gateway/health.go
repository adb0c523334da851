package main

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/internal/refetch"
)

const (
	// touchEvery is how often the keys are asked whether they are up to date, so that a key
	// that was withdrawn is forgotten though no request comes.
	touchEvery = time.Minute
	// retryEvery is the same while there are none: who asks for readiness sends no request before.
	retryEvery = 5 * time.Second
)

// heldKeys is a key set with what is known of its source.
type heldKeys struct {
	set        ctb.KeySet
	inFile     ctb.StaticKeys       // before any narrowing; nil for those that are fetched
	source     fetched              // nil for keys of a file
	policy     *attest.Policy       // that says which keys of a broker are good; nil for other keys
	collateral *evidence.Collateral // that the evidence of a broker's keys is judged by; nil: none is configured

	asked    atomic.Bool  // since the files were read
	lastGood atomic.Int64 // when the source was found well, in seconds since 1970

	mu   sync.Mutex // one update at a time
	told collateralLog
}

// fetched is a key set that is not in a file.
type fetched interface {
	Refresh(ctx context.Context, oldest time.Duration) error
	Err() error
}

// update fetches the keys if there are none, or if they have reached the age
// that their source allows. The source knows what is wrong then.
func (h *heldKeys) update(ctx context.Context, log *slog.Logger) {
	if h.source == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.source.Refresh(ctx, 0)
	h.asked.Store(true)
	h.told.tell(log, h.collateral)
}

// keyHealth says how keys are, for readiness.
type keyHealth string

const (
	healthy     keyHealth = "ok"
	stale       keyHealth = "stale"       // those that were had before are used
	unavailable keyHealth = "unavailable" // there are none, and tokens cannot be verified
)

// health tells how the keys are, and asks nobody.
func (h *heldKeys) health() keyHealth {
	if h.source == nil {
		return healthy
	}
	if h.asked.Load() && h.source.Err() == nil {
		h.lastGood.Store(time.Now().Unix())
		return healthy
	}
	if time.Since(time.Unix(h.lastGood.Load(), 0)) < refetch.MaxStale {
		return stale
	}
	return unavailable
}

// health is that of the source, or of the files that could not be read again.
func (k issuerKeys) health() keyHealth {
	h := k.value.Get().health()
	if h == healthy && k.value.Err() != nil {
		return stale
	}
	return h
}

// keepFresh updates the keys until ctx ends, the first time at once, so that those which are withdrawn
// are forgotten while no request comes, too. It tells of each change in how they are. The
// gateway serves either way: what is away now may come back.
func (s *service) keepFresh(ctx context.Context) {
	told := map[string]keyHealth{}
	for {
		issuers := s.state.Get().issuers
		updateKeys(ctx, s.log, issuers)
		if ctx.Err() != nil {
			return
		}
		if s.tellHealth != nil {
			s.tellHealth(s.readiness().Status == ready)
		}
		timer := time.NewTimer(tellKeys(s.log, issuers, told))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.renewed:
			clear(told) // who has just changed something is told how it is
		}
		timer.Stop()
	}
}

// updateKeys updates the keys of all issuers, which do not wait for each other.
func updateKeys(ctx context.Context, log *slog.Logger, issuers []issuerKeys) {
	var all sync.WaitGroup
	for _, keys := range issuers {
		all.Go(func() { keys.value.Get().update(ctx, log) })
	}
	all.Wait()
}

// tellKeys tells how keys are that were otherwise when it was told last, and returns when to look again.
func tellKeys(log *slog.Logger, issuers []issuerKeys, told map[string]keyHealth) (again time.Duration) {
	again = touchEvery
	for _, k := range issuers {
		held := k.value.Get()
		now := held.health()
		if now == unavailable {
			again = retryEvery
		}
		if told[k.name] == now {
			continue
		}
		told[k.name] = now
		switch now {
		case healthy:
			log.Info("keys are at hand", "issuer", k.name)
		case stale:
			log.Warn("keys cannot be fetched anew; those that were had before are used", "issuer", k.name, "error", held.source.Err())
		default:
			log.Error("keys cannot be had or trusted now; until they can, requests with their tokens are answered 503", "issuer", k.name, "error", held.source.Err())
		}
	}
	return again
}
