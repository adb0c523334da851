package fetch

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

const (
	maxRetries = 2               // of one question, if the server asks to come again
	maxWait    = 5 * time.Second // before a retry; who is told to wait for longer gives up
)

// Patience asks again, if the server is not able to answer now and says so. Its zero value has the system's clock.
type Patience struct {
	Now  func() time.Time                           // nil: time.Now; reads a Retry-After that is a date
	Wait func(context.Context, time.Duration) error // nil: a timer
}

// Ask calls ask, and calls it again, at most twice, if its error wraps a [StatusError] that is "too many" or "not now", and not
// before the server wants that. If it wants no question for more than five seconds, its refusal is the result.
func (p Patience) Ask(ctx context.Context, ask func() error) error {
	for retries := 0; ; retries++ {
		err := ask()
		var status *StatusError
		if !errors.As(err, &status) || status.Code != http.StatusTooManyRequests && status.Code != http.StatusServiceUnavailable {
			return err
		}
		now := time.Now
		if p.Now != nil {
			now = p.Now
		}
		pause := max(RetryAfter(status.Header, now()), time.Second<<retries)
		if retries == maxRetries || pause > maxWait {
			return err
		}
		if p.sleep(ctx, pause) != nil {
			return err // the server's refusal says more than that time is up
		}
	}
}

// sleep waits, or returns the context's error if that ends first.
func (p Patience) sleep(ctx context.Context, d time.Duration) error {
	if p.Wait != nil {
		return p.Wait(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RetryAfter reads the header of that name, seconds or a date (RFC 9110 section 10.2.3); 0 if it is neither, or past.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}
