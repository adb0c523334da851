package refetch

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// source counts its fetches and answers with their number, or with err.
type source struct {
	mu      sync.Mutex
	fetches int
	err     error
	delay   time.Duration
	maxAge  time.Duration
}

func (s *source) fetch(ctx context.Context) (int, time.Duration, error) {
	s.mu.Lock()
	s.fetches++
	n, err, delay := s.fetches, s.err, s.delay
	s.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	return n, s.maxAge, err
}

func (s *source) set(err error) { s.mu.Lock(); s.err = err; s.mu.Unlock() }

func (s *source) count() int { s.mu.Lock(); defer s.mu.Unlock(); return s.fetches }

func TestAHealthyFetchHoldsOffTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		c := New(s.fetch, nil)
		if _, ok := c.Current(); ok || s.count() != 0 {
			t.Fatal("an empty cache has a value, or fetched before anybody waited")
		}
		for range 1000 {
			if v, ok, err := c.Newer(t.Context()); v != 1 || !ok || err != nil {
				t.Fatal(v, ok, err)
			}
		}
		if s.count() != 1 {
			t.Errorf("1,000 askers in 30 s caused %d fetches", s.count())
		}
		time.Sleep(HoldOff)
		if v, _, _ := c.Newer(t.Context()); v != 2 {
			t.Errorf("got value %d after the hold-off", v)
		}
	})
}

func TestFailuresBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("down")
		s := &source{err: down}
		c := New(s.fetch, nil)
		begin := time.Now()
		var at []time.Duration
		for time.Since(begin) < 2*time.Minute {
			before := s.count()
			if _, ok, err := c.Newer(t.Context()); ok || err != down {
				t.Fatal(ok, err)
			}
			if s.count() > before {
				at = append(at, time.Since(begin)/time.Second)
			}
			time.Sleep(100 * time.Millisecond)
		}
		want := []time.Duration{0, 1, 3, 7, 15, 31, 61, 91}
		if len(at) != len(want) {
			t.Fatalf("fetched at seconds %v, want %v", at, want)
		}
		for i := range want {
			if at[i] != want[i] {
				t.Fatalf("fetched at seconds %v, want %v", at, want)
			}
		}
		s.set(nil)
		time.Sleep(HoldOff)
		if _, ok, err := c.Newer(t.Context()); !ok || err != nil || c.Err() != nil {
			t.Error("did not recover:", ok, err)
		}
	})
}

func TestManyWaitForOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{delay: time.Second}
		c := New(s.fetch, nil)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if v, ok, err := c.Newer(t.Context()); v != 1 || !ok || err != nil {
					t.Error(v, ok, err)
				}
			})
		}
		wg.Wait()
		if s.count() != 1 {
			t.Errorf("100 askers caused %d fetches", s.count())
		}
	})
}

func TestAnAgedValueIsRefreshedBehindTheBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{delay: time.Second, maxAge: 5 * time.Minute}
		c := New(s.fetch, nil)
		c.Newer(t.Context())
		time.Sleep(5 * time.Minute)
		begin := time.Now()
		if v, ok := c.Current(); v != 1 || !ok || time.Since(begin) != 0 {
			t.Error("Current waited or lost the value:", v, ok)
		}
		time.Sleep(2 * time.Second)
		if v, _ := c.Current(); v != 2 {
			t.Errorf("got value %d, want the refreshed one", v)
		}
	})
}

func TestTheLastGoodValueServesUntilItIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("down")
		s := &source{}
		c := New(s.fetch, nil)
		c.Newer(t.Context())
		s.set(down)
		time.Sleep(MaxStale - time.Second)
		if v, ok := c.Current(); v != 1 || !ok {
			t.Error("lost before its time:", v, ok)
		}
		synctest.Wait()
		if v, ok, err := c.Newer(t.Context()); v != 1 || !ok || err != down {
			t.Error("the last good value should come with the error:", v, ok, err)
		}
		time.Sleep(time.Second)
		if _, ok := c.Current(); ok {
			t.Error("served stale")
		}
		if _, ok, err := c.Newer(t.Context()); ok || err != down {
			t.Error("served stale:", ok, err)
		}
	})
}

func TestAWaiterLeavesWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{delay: 10 * time.Second}
		c := New(s.fetch, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, ok, err := c.Newer(ctx); ok || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(ok, err)
		}
		// The fetch goes on for those who come later.
		if v, ok, err := c.Newer(t.Context()); v != 1 || !ok || err != nil || s.count() != 1 {
			t.Error(v, ok, err, s.count())
		}
	})
}

func TestASourceThatHangsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{delay: time.Hour}
		c := New(s.fetch, nil)
		begin := time.Now()
		if _, ok, err := c.Newer(t.Context()); ok || !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != timeout {
			t.Error(ok, err, time.Since(begin))
		}
	})
}

func TestRefreshAsksNoMoreOftenThanItMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{maxAge: 10 * time.Minute}
		c := New(s.fetch, nil)
		fetchesOf := func(oldest time.Duration) int {
			before := s.count()
			c.Refresh(t.Context(), oldest)
			return s.count() - before
		}
		if fetchesOf(0) != 1 || fetchesOf(0) != 0 || fetchesOf(time.Minute) != 0 {
			t.Error("an empty cache is filled, and then left alone")
		}
		time.Sleep(5 * time.Minute)
		if fetchesOf(0) != 0 || fetchesOf(6*time.Minute) != 0 || fetchesOf(5*time.Minute) != 1 {
			t.Error("a value that is too old for its asker is fetched, and no other")
		}
		time.Sleep(10 * time.Minute)
		s.set(errors.New("down"))
		if fetchesOf(0) != 1 || fetchesOf(0) != 0 {
			t.Error("a value of its age is fetched, and a failed fetch holds off the next")
		}
		time.Sleep(time.Second)
		if fetchesOf(0) != 1 {
			t.Error("a source in trouble is asked again")
		}
	})
}

func TestAFetchThatNeverReturnsHoldsNobody(t *testing.T) {
	for name, fetch := range map[string]func(context.Context) (int, time.Duration, error){
		"panics":       func(context.Context) (int, time.Duration, error) { panic("odd input") },
		"exits":        func(context.Context) (int, time.Duration, error) { runtime.Goexit(); return 0, 0, nil },
		"heeds no end": func(context.Context) (int, time.Duration, error) { time.Sleep(time.Hour); return 0, 0, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := New(fetch, nil)
				begin := time.Now()
				if _, ok, err := c.Newer(t.Context()); ok || err == nil || time.Since(begin) > timeout {
					t.Error(ok, err, time.Since(begin))
				}
				time.Sleep(time.Hour) // the last one ends here
			})
		})
	}
}

func BenchmarkCurrent(b *testing.B) {
	s := &source{}
	c := New(s.fetch, nil)
	c.Newer(b.Context())
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, ok := c.Current(); !ok {
				b.Error("no value")
			}
		}
	})
}
