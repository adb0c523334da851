package pcs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// flight is one question about a platform that all its askers wait for.
type flight struct {
	taken chan struct{} // closed when the disk had something valid, but the source is asked for newer
	ended chan struct{}
}

func newFlight() *flight { return &flight{make(chan struct{}), make(chan struct{})} }

// wait waits for the end, for the end of ctx, or for so long that it would be of no use.
func (f *flight) wait(ctx context.Context) error {
	// Should the source heed no end of its context, its askers leave nevertheless.
	patience := time.NewTimer(flightTime)
	defer patience.Stop()
	taken := f.taken
	for {
		select {
		case <-f.ended:
			return nil
		case <-taken:
			taken = nil
			patience.Reset(grace)
		case <-patience.C:
			return errors.New("the source did not answer in time")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fly is one flight: what another program left in the directory, if it is new,
// and then, unless that is young enough, the source. It does not end
// with the asker who began it, for others wait for it too.
func (c *Cache) fly(e *entry) {
	ctx, cancel := context.WithTimeout(context.Background(), flightTime)
	defer cancel()
	err := errors.New("the source did not return")
	// What comes from outside may find a fault in whoever reads it. Should that be a
	// panic, it is a failed flight, and not the end of the program.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the source panicked: %v", p)
		}
		c.land(e, err)
	}()
	if c.readDisk(e) {
		err = nil
		return
	}
	var collateral *dcap.Collateral
	if collateral, err = c.source.Collateral(ctx, e.platform); err != nil {
		return
	}
	if err = c.take(e, collateral, c.now()); err == nil {
		c.writeDisk(e, collateral)
	}
}

// land ends a flight.
func (c *Cache) land(e *entry, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if e.err = err; err == nil {
		e.failures, e.next = 0, time.Time{}
	} else {
		e.next = now.Add(c.backOff(e, err, now))
		e.failures++
	}
	close(e.flight.ended)
	e.flight = nil
}

// backOff is how long the source is left alone after a failure. Half of it is chance, so
// that many programs that lost one service at once do not come back at once.
func (c *Cache) backOff(e *entry, err error, now time.Time) time.Duration {
	longest := maxBackOff
	if e.held.valid(now) {
		longest = maxCalmBackOff
	}
	d := min(firstBackOff<<min(e.failures, 20), longest)
	d = d/2 + time.Duration(c.random()*float64(d/2))
	var asked *Error
	if errors.As(err, &asked) {
		d = max(d, min(asked.RetryAfter, maxRetryAfter))
	}
	return d
}
