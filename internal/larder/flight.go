package larder

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// flight is one question about a subject that all its askers wait for.
type flight struct {
	taken chan struct{} // closed when the disk had something valid, but the source is asked for newer
	ended chan struct{}
}

func newFlight() *flight { return &flight{make(chan struct{}), make(chan struct{})} }

// wait waits for the end, for the end of ctx, or for so long that it would be of no use.
func (f *flight) wait(ctx context.Context) error {
	// Should the source heed no end of its context, its askers leave nevertheless.
	patience := time.NewTimer(FlightTime)
	defer patience.Stop()
	taken := f.taken
	for {
		select {
		case <-f.ended:
			return nil
		case <-taken:
			taken = nil
			patience.Reset(Grace)
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
func (c *Cache[K, V, J]) fly(e *entry[K, V, J]) {
	ctx, cancel := context.WithTimeout(context.Background(), FlightTime)
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
	var v *V
	if v, err = c.kind.Ask(ctx, e.key); err != nil {
		return
	}
	if err = c.take(e, v, c.Now()); err == nil {
		c.writeDisk(e, v)
	}
}

// land ends a flight.
func (c *Cache[K, V, J]) land(e *entry[K, V, J], err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.Now()
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
func (c *Cache[K, V, J]) backOff(e *entry[K, V, J], err error, now time.Time) time.Duration {
	longest := maxBackOff
	if c.valid(e, now) {
		longest = maxCalmBackOff
	}
	d := min(firstBackOff<<min(e.failures, 20), longest)
	d = d/2 + time.Duration(c.Random()*float64(d/2))
	return max(d, min(c.kind.RetryAfter(err), MaxRetryAfter))
}

// readDisk takes what is in the subject's file if it was not seen before. It
// tells whether nothing is to be asked of the source now.
func (c *Cache[K, V, J]) readDisk(e *entry[K, V, J]) bool {
	if c.disk == nil {
		return false
	}
	now := c.Now()
	v, written, err := c.readFile(e)
	fresh := false
	if err == nil && v != nil {
		fetchedAt := written
		if written.After(now) {
			fetchedAt = time.Time{} // its age can't be told, so the source is asked
		}
		err = c.take(e, v, fetchedAt)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.diskErr = err; err == nil && v != nil {
		e.fileTime = written
		if fresh = now.Before(e.held.refreshAt); !fresh {
			close(e.flight.taken)
		}
	}
	return fresh
}

func (c *Cache[K, V, J]) readFile(e *entry[K, V, J]) (*V, time.Time, error) {
	name := c.kind.Name(e.key)
	data, written, err := c.disk.Read(name, e.fileTime)
	if err != nil || data == nil {
		return nil, time.Time{}, err
	}
	v, err := c.kind.Parse(data)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%s: %w", name, err)
	}
	return v, written, nil
}

// writeDisk keeps what was just taken.
func (c *Cache[K, V, J]) writeDisk(e *entry[K, V, J], v *V) {
	if c.disk == nil {
		return
	}
	at := c.Now().Truncate(time.Second) // as every file system can say it
	err := c.disk.Write(c.kind.Name(e.key), c.kind.Marshal(v), at)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.diskErr = err; err == nil {
		e.fileTime = at
	}
}
