package pcs

import (
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// entry is one platform of a cache. Its fields are guarded by the cache's lock.
type entry struct {
	platform dcap.Platform
	used     time.Time // by an asker
	held     *held     // the newest good collateral, valid or not any more; nil until there is some
	flight   *flight   // that is under way; nil if none is
	next     time.Time // no flight before this instant
	failures int       // in a row
	err      error     // of the newest flight
	diskErr  error
	fileTime time.Time // of the file that was read or written last
}

// held is collateral that was verified, and what it was found to be.
type held struct {
	collateral *dcap.Collateral
	judged     *dcap.Judged
	fetchedAt  time.Time
	refreshAt  time.Time
}

// valid tells whether it may be used: neither before its time nor after it.
func (h *held) valid(now time.Time) bool {
	return h != nil && !now.Before(h.judged.Window.NotBefore) && !now.After(h.judged.Window.NotAfter)
}

// due tells whether a flight may begin. What was put off for longer than is ever done was put off
// by a clock that was wrong then, as one may be until it is set after a start.
func (e *entry) due(now time.Time, valid bool) bool {
	if now.Before(e.next) && e.next.Sub(now) <= maxRetryAfter {
		return false
	}
	return !valid || !now.Before(e.held.refreshAt) || now.Before(e.held.fetchedAt)
}

// refusal says why there is nothing to use.
func (e *entry) refusal() error {
	err := e.err
	if err == nil {
		err = dcap.ErrNoCollateral // it ended while somebody waited
	}
	if e.held != nil {
		w := e.held.judged.Window
		err = fmt.Errorf("what is at hand is valid from %s to %s only: %w", stamp(w.NotBefore), stamp(w.NotAfter), err)
	}
	return err
}

func (e *entry) status() Entry {
	s := Entry{Platform: e.platform, NextRefresh: e.next, Err: e.err, DiskErr: e.diskErr}
	if h := e.held; h != nil {
		s.Window, s.EvaluationNumber, s.Issued = h.judged.Window, h.judged.EvaluationNumber, h.judged.Issued
		s.FetchedAt = h.fetchedAt
		if h.refreshAt.After(s.NextRefresh) {
			s.NextRefresh = h.refreshAt
		}
	}
	return s
}

// take verifies collateral, and holds it from then on.
func (c *Cache) take(e *entry, collateral *dcap.Collateral, fetchedAt time.Time) error {
	now := c.now()
	h, err := c.judge(e.platform, collateral, now)
	if err != nil {
		return err
	}
	h.fetchedAt, h.refreshAt = fetchedAt, c.refreshAt(h, fetchedAt)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := h.notOlderThan(e.held); err != nil {
		return err
	}
	e.held = h
	return nil
}

// judge verifies collateral at the instant, believing nothing of where it came from.
func (c *Cache) judge(p dcap.Platform, collateral *dcap.Collateral, now time.Time) (*held, error) {
	if collateral == nil {
		return nil, dcap.ErrNoCollateral
	}
	j, err := c.verifier.Inspect(collateral, now)
	if err != nil {
		return nil, err
	}
	if j.Platform != p {
		return nil, fmt.Errorf("got collateral of %v, want that of %v", j.Platform, p)
	}
	return &held{collateral: collateral, judged: j}, nil
}

// refreshAt is a day after it was had (or what the configuration says), and no
// later than in the middle of what is left of its window, so that there is time for a service to recover.
func (c *Cache) refreshAt(h *held, fetchedAt time.Time) time.Time {
	left := h.judged.Window.NotAfter.Sub(fetchedAt)
	return fetchedAt.Add(max(min(c.refresh, left/2), minRefresh))
}

// dated are the documents that Intel reissues and whose dates must not go back. Certificates
// are not among them: one that is older may be as good.
var dated = map[string]bool{"TCB info": true, "QE identity": true, "PCK CRL": true, "root CRL": true}

// notOlderThan refuses what was made before what is held, also where that is no
// longer valid: who can replay Intel's answers of last month must not take a judgement back.
func (h *held) notOlderThan(old *held) error {
	if old == nil {
		return nil
	}
	for _, n := range []struct {
		what      string
		got, held uint32
	}{
		{"TCB info", h.judged.TCBEvaluation, old.judged.TCBEvaluation},
		{"QE identity", h.judged.QEEvaluation, old.judged.QEEvaluation},
	} {
		if n.got < n.held {
			return fmt.Errorf("%s: tcbEvaluationDataNumber: got %d, want at least %d, which was seen before (if the update channel was changed, empty the cache)",
				n.what, n.got, n.held)
		}
	}
	issued := map[string]time.Time{}
	for _, b := range old.judged.Basis {
		issued[b.What] = b.NotBefore
	}
	for _, b := range h.judged.Basis {
		if held := issued[b.What]; dated[b.What] && b.NotBefore.Before(held) {
			return fmt.Errorf("%s: got one of %s, want none before %s, which was seen before", b.What, stamp(b.NotBefore), stamp(held))
		}
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
