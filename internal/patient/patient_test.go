package patient

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatTheCallReturns(t *testing.T) {
	var l Line
	bad := errors.New("bad")
	for name, c := range map[string]struct {
		call func() (int, error)
		says string
	}{
		"a value":              {func() (int, error) { return 7, nil }, ""},
		"an error":             {func() (int, error) { return 7, bad }, "bad"},
		"a panic":              {func() (int, error) { panic("torn") }, "panic: torn"},
		"the goroutine's exit": {func() (int, error) { runtime.Goexit(); return 7, nil }, "ended its goroutine"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Do(t.Context(), &l, c.call)
			switch {
			case c.says == "" && (got != 7 || err != nil):
				t.Errorf("got %d, %v", got, err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("got %v, want … %s", err, c.says)
			case c.says == "bad" && !errors.Is(err, bad):
				t.Error("the call's own error is lost")
			}
		})
	}
}

func TestOneAtATime(t *testing.T) {
	var l Line
	var all sync.WaitGroup
	underWay, made := 0, 0 // without a lock: the race detector would tell
	for range 1000 {
		all.Go(func() {
			if _, err := Do(t.Context(), &l, func() (int, error) {
				underWay++
				defer func() { underWay-- }()
				if underWay != 1 {
					t.Errorf("%d are under way", underWay)
				}
				made++
				runtime.Gosched()
				return 0, nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made != 1000 {
		t.Errorf("%d were made", made)
	}
}

// Whoever waits gives up when his context ends; the call goes on alone, no other begins beside it, and those after it are served.
func TestGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Line
		var begun atomic.Int32
		slow := make(chan struct{})
		call := func() (string, error) {
			begun.Add(1)
			<-slow
			return "late", nil
		}
		why := errors.New("the asker has gone")
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
				defer cancel()
				got, err := Do(ctx, &l, call)
				if got != "" || !errors.Is(err, why) || !errors.Is(err, ErrNotBack) || !strings.Contains(err.Error(), "has not come back") {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
		all.Wait()
		if n := begun.Load(); n != 1 {
			t.Errorf("%d calls have begun, want one", n)
		}

		// Who waits for longer gets his turn.
		after := make(chan error, 1)
		go func() {
			got, err := Do(t.Context(), &l, func() (string, error) { return "mine", nil })
			if err == nil && got != "mine" {
				err = errors.New("got " + got)
			}
			after <- err
		}()
		synctest.Wait()
		close(slow)
		if err := <-after; err != nil {
			t.Error(err)
		}
	})
}

func TestNotMadeAfterTheEnd(t *testing.T) {
	var l Line
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // select would choose at random
		if _, err := Do(ctx, &l, func() (int, error) { t.Error("it was made"); return 0, nil }); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
}
