// Package patient calls what may keep its caller waiting for as long as the kernel likes, such as a device or a
// pseudo-file that makes evidence: one call at a time, and whoever waits gives up when his context ends.
//
// A call that is in the kernel can't be taken back. It goes on alone, its result is dropped, and the next one waits for it: however
// many give up, one call is under way. What is called, and what its errors mean, is its caller's business.
package patient

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Line is what calls stand in: one is under way, the others wait. The zero value is ready. It must not be copied.
type Line struct {
	once  sync.Once
	place chan struct{} // of the call that is under way
}

// ErrNotBack is wrapped by the error for who waited for a call, his or an earlier one, until his context ended.
var ErrNotBack = errors.New("has not come back")

var errExited = errors.New("the call ended its goroutine")

// Do waits for its turn, calls, and returns what the call returns. If ctx ends before, it
// returns an error that wraps its cause at once; the call is then not made at all, if its turn had not come, or goes on
// alone. A panic of the call is an error.
func Do[T any](ctx context.Context, l *Line, call func() (T, error)) (T, error) {
	var none T
	l.once.Do(func() { l.place = make(chan struct{}, 1) })
	if ctx.Err() != nil { // select would choose at random
		return none, context.Cause(ctx)
	}
	select {
	case l.place <- struct{}{}:
	case <-ctx.Done():
		return none, fmt.Errorf("an earlier call %w: %w", ErrNotBack, context.Cause(ctx))
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1) // so that a call that nobody waits for any more ends
	go func() {
		r := result{err: errExited}
		defer func() {
			if p := recover(); p != nil {
				r = result{err: fmt.Errorf("panic: %v", p)}
			}
			<-l.place
			done <- r
		}()
		r.value, r.err = call()
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, fmt.Errorf("the call %w: %w", ErrNotBack, context.Cause(ctx))
	}
}
