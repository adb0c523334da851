package larder

import (
	"fmt"
	"time"
)

// entry is one subject of a cache. Its fields are guarded by the cache's lock.
type entry[K Key, V, J any] struct {
	key      K
	used     time.Time   // by an asker
	held     *held[V, J] // the newest that is good, valid or not any more; nil until there is something
	flight   *flight     // that is under way; nil if none is
	next     time.Time   // no flight before this instant
	failures int         // in a row
	err      error       // of the newest flight
	diskErr  error
	fileTime time.Time // of the file that was read or written last
}

// held is what was judged, and what it was found to be.
type held[V, J any] struct {
	value     *V
	judged    *J
	fetchedAt time.Time
	refreshAt time.Time
}

// valid tells whether what is held may be used: neither before its time nor after it.
func (c *Cache[K, V, J]) valid(e *entry[K, V, J], now time.Time) bool {
	if e.held == nil {
		return false
	}
	from, to := c.kind.Window(e.held.judged)
	return !now.Before(from) && !now.After(to)
}

// due tells whether a flight may begin. What was put off for longer than is ever done was put off
// by a clock that was wrong then, as one may be until it is set after a start.
func (e *entry[K, V, J]) due(now time.Time, valid bool) bool {
	if now.Before(e.next) && e.next.Sub(now) <= MaxRetryAfter {
		return false
	}
	return !valid || !now.Before(e.held.refreshAt) || now.Before(e.held.fetchedAt)
}

// yields tells whether e makes room before other does.
func (e *entry[K, V, J]) yields(other *entry[K, V, J]) bool {
	if empty := e.held == nil; empty != (other.held == nil) {
		return empty
	}
	return e.used.Before(other.used)
}

// refusal says why there is nothing to use.
func (c *Cache[K, V, J]) refusal(e *entry[K, V, J]) error {
	err := e.err
	if err == nil {
		err = c.config.Missing // it ended while somebody waited
	}
	if e.held != nil {
		from, to := c.kind.Window(e.held.judged)
		err = fmt.Errorf("what is at hand is valid from %s to %s only: %w", stamp(from), stamp(to), err)
	}
	return err
}

func (e *entry[K, V, J]) status() Status[K, J] {
	s := Status[K, J]{Key: e.key, NextRefresh: e.next, Err: e.err, DiskErr: e.diskErr}
	if h := e.held; h != nil {
		s.Judged, s.FetchedAt = h.judged, h.fetchedAt
		if h.refreshAt.After(s.NextRefresh) {
			s.NextRefresh = h.refreshAt
		}
	}
	return s
}

// take judges what came, and holds it from then on.
func (c *Cache[K, V, J]) take(e *entry[K, V, J], v *V, fetchedAt time.Time) error {
	if v == nil {
		return c.config.Missing
	}
	j, err := c.kind.Judge(e.key, v, c.Now())
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.held != nil {
		if err := c.kind.NotOlder(j, e.held.judged); err != nil {
			return err
		}
	}
	e.held = &held[V, J]{v, j, fetchedAt, c.refreshAt(j, fetchedAt)}
	return nil
}

// refreshAt is a day after it was had (or what the configuration says), and no
// later than in the middle of what is left of its window, so that there is time for a service to recover.
func (c *Cache[K, V, J]) refreshAt(j *J, fetchedAt time.Time) time.Time {
	_, end := c.kind.Window(j)
	return fetchedAt.Add(max(min(c.config.Refresh, end.Sub(fetchedAt)/2), minRefresh))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
