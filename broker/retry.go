package broker

import "time"

const maxRetryAfter = time.Minute // between attempts at what failed

// retry is one thing that failed, and when it is tried again: after 1 s, 2 s, 4 s and so on up to a
// minute. The zero value has not failed.
type retry struct {
	err      error // why; nil when all is well
	failures int   // in a row
	at       time.Time
}

// waits tells whether it is too early for another attempt. An instant that is farther away than any wait is from before
// the clock was set, and counts for nothing.
func (r *retry) waits(now time.Time) bool {
	return now.Before(r.at) && r.at.Sub(now) <= maxRetryAfter
}

func (r *retry) failed(now time.Time, err error) {
	r.err = err
	r.at = now.Add(min(time.Second<<min(r.failures, 10), maxRetryAfter))
	r.failures++
}

func (r *retry) succeeded() { *r = retry{} }
