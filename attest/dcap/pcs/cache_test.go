package pcs

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/internal/larder"
)

// clock is the simulated world's, in a bubble of synctest: t0 is when it is made.
func clock() func() time.Time {
	begin := time.Now()
	return func() time.Time { return t0.Add(time.Since(begin)) }
}

// cacheOf returns a cache of the source under the root of these tests, without chance.
func cacheOf(t testing.TB, s dcap.Source, now func() time.Time, change ...func(*CacheConfig)) *Cache {
	t.Helper()
	config := CacheConfig{Source: s, Root: hardware(t, simulated.Config{}).Root(), Now: now}
	for _, f := range change {
		f(&config)
	}
	c, err := NewCache(config)
	if err != nil {
		t.Fatal(err)
	}
	c.larder.Random = func() float64 { return 1 }
	return c
}

// wantSame checks that the cache has this collateral, and had it at once if it must not wait.
func wantSame(t *testing.T, c *Cache, want *dcap.Collateral) {
	t.Helper()
	begin := time.Now()
	got, err := c.Collateral(t.Context(), sgx)
	if got != want {
		t.Errorf("got %p, %v, want %p", got, err, want)
	}
	if waited := time.Since(begin); waited > 0 {
		t.Errorf("waited for %v", waited)
	}
}

func TestManyAskersAreOneQuestion(t *testing.T) {
	good := issued(t, t0)
	synctest.Test(t, func(t *testing.T) {
		s := &source{answer: func(context.Context, dcap.Platform) (*dcap.Collateral, error) {
			time.Sleep(time.Second)
			return good, nil
		}}
		c := cacheOf(t, s, clock())
		var wg sync.WaitGroup
		for range 60 {
			wg.Go(func() {
				if got, err := c.Collateral(t.Context(), sgx); got != good {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if s.count() != 1 {
			t.Errorf("60 askers asked %d times, want once", s.count())
		}
	})
}

func TestRefreshedBehindTheBack(t *testing.T) {
	first, second := issued(t, t0), issued(t, t0.Add(24*time.Hour))
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		s.gives(first, nil)
		c := cacheOf(t, s, clock())
		wantSame(t, c, first)
		s.answer = func(context.Context, dcap.Platform) (*dcap.Collateral, error) {
			time.Sleep(10 * time.Second)
			return second, nil
		}
		time.Sleep(DefaultRefresh - time.Second)
		wantSame(t, c, first)
		if s.count() != 1 {
			t.Error("asked before it is due")
		}
		time.Sleep(time.Second)
		for range 10 {
			wantSame(t, c, first) // under way
			time.Sleep(time.Second)
		}
		synctest.Wait()
		wantSame(t, c, second)
		if s.count() != 2 || c.Err() != nil {
			t.Errorf("asked %d times, %v", s.count(), c.Err())
		}
		e := c.Status()[0]
		if want := second; e.Platform != sgx || e.EvaluationNumber != simulated.EvaluationNumber || !e.Window.NotAfter.Equal(t0.Add(31*24*time.Hour)) ||
			!e.FetchedAt.Equal(t0.Add(DefaultRefresh+10*time.Second)) || !e.NextRefresh.Equal(e.FetchedAt.Add(DefaultRefresh)) {
			t.Errorf("got %+v, want that of %p", e, want)
		}
	})
}

func TestCollateralThatEndsSoonIsRefreshedSooner(t *testing.T) {
	// Issued so that it is valid for two hours from t0 on.
	old := issued(t, t0.Add(2*time.Hour-30*24*time.Hour))
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		s.gives(old, nil)
		c := cacheOf(t, s, clock())
		wantSame(t, c, old)
		if next := c.Status()[0].NextRefresh; !next.Equal(t0.Add(time.Hour)) {
			t.Errorf("the next refresh is at %v, want it in the middle of the two hours that are left", next)
		}
		// A source that has nothing newer is asked no more often than each minute.
		for c.larder.Now().Before(t0.Add(2 * time.Hour)) {
			wantSame(t, c, old)
			synctest.Wait()
			time.Sleep(time.Second)
		}
		if n := s.count(); n < 6 || n > 10 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestTheGoodOneServesUntilItsEndAndNeverBeyond(t *testing.T) {
	good, next := issued(t, t0), issued(t, t0.Add(31*24*time.Hour))
	synctest.Test(t, func(t *testing.T) {
		s := &source{}
		s.gives(good, nil)
		c := cacheOf(t, s, clock())
		wantSame(t, c, good)
		s.gives(nil, errDown)
		end := t0.Add(30 * 24 * time.Hour)
		for c.larder.Now().Before(end) {
			wantSame(t, c, good)
			time.Sleep(time.Hour)
		}
		synctest.Wait()
		wantError(t, c.Err(), "sgx f0c7b0de0000 (platform CA)", "the source is down")
		wantSame(t, c, good) // nextUpdate itself is the last instant
		time.Sleep(time.Second)
		got, err := c.Collateral(t.Context(), sgx)
		if got != nil || !errors.Is(err, errDown) {
			t.Errorf("got %p, %v after the end", got, err)
		}
		wantError(t, err, "valid from 2025-08-19T12:00:00Z to 2025-09-19T12:00:00Z only")
		_, err = c.Collateral(t.Context(), sgx) // at once, which is too soon to ask
		wantError(t, err, "valid from 2025-08-19T12:00:00Z to 2025-09-19T12:00:00Z only", "asked again from")
		s.gives(next, nil)
		time.Sleep(24 * time.Hour)
		if got, err := c.Collateral(t.Context(), sgx); got != next {
			t.Errorf("did not recover: %v", err)
		}
		if c.Err() != nil {
			t.Error(c.Err())
		}
	})
}

func TestBackOff(t *testing.T) {
	good := issued(t, t0)
	for name, c := range map[string]struct {
		prepare func(*Cache, *source)
		err     error
		chance  float64
		want    []time.Duration // between questions
	}{
		"with nothing to use": {func(*Cache, *source) {}, errDown, 1,
			[]time.Duration{1, 2, 4, 8, 16, 32, 60, 60}},
		"half of it is chance": {func(*Cache, *source) {}, errDown, 0,
			[]time.Duration{1, 1, 2, 4, 8, 16, 30, 30}}, // the first half second is a whole one of this test's clock
		"calmly, with a good one": {func(c *Cache, s *source) {
			s.gives(good, nil)
			c.Collateral(context.Background(), sgx)
			time.Sleep(DefaultRefresh)
		}, errDown, 1, []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900}},
		"as the service asks": {func(*Cache, *source) {}, &Error{What: "TCB info", Status: 429, RetryAfter: 200 * time.Second, err: errDown}, 1,
			[]time.Duration{200, 200}},
		"but no longer than an hour": {func(*Cache, *source) {}, &Error{What: "TCB info", Status: 429, RetryAfter: 1e6 * time.Second, err: errDown}, 1,
			[]time.Duration{3600, 3600}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &source{}
				cache := cacheOf(t, s, clock())
				cache.larder.Random = func() float64 { return c.chance }
				c.prepare(cache, s)
				s.gives(nil, c.err)
				var at []time.Time
				for len(at) <= len(c.want) {
					before := s.count()
					cache.Collateral(t.Context(), sgx)
					synctest.Wait()
					if s.count() > before {
						at = append(at, time.Now())
					}
					time.Sleep(time.Second)
				}
				for i, want := range c.want {
					if got := at[i+1].Sub(at[i]); got != want*time.Second {
						t.Errorf("question %d came %v after the one before, want %v", i+1, got, want*time.Second)
					}
				}
			})
		})
	}
}

func TestAnAskerLeavesWithItsContext(t *testing.T) {
	good := issued(t, t0)
	synctest.Test(t, func(t *testing.T) {
		s := &source{answer: func(ctx context.Context, _ dcap.Platform) (*dcap.Collateral, error) {
			select {
			case <-time.After(10 * time.Second):
				return good, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}}
		c := cacheOf(t, s, clock())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got, err := c.Collateral(ctx, sgx); got != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(got, err)
		}
		// The question goes on for those who come later.
		if got, err := c.Collateral(t.Context(), sgx); got != good || s.count() != 1 {
			t.Error(err, s.count())
		}
	})
}

func TestASourceThatNeverReturnsHoldsNobody(t *testing.T) {
	for name, answer := range map[string]func(context.Context, dcap.Platform) (*dcap.Collateral, error){
		"panics":                func(context.Context, dcap.Platform) (*dcap.Collateral, error) { panic("odd input") },
		"exits":                 func(context.Context, dcap.Platform) (*dcap.Collateral, error) { runtime.Goexit(); return nil, nil },
		"heeds no end":          func(context.Context, dcap.Platform) (*dcap.Collateral, error) { time.Sleep(time.Hour); return nil, nil },
		"has nothing, silently": func(context.Context, dcap.Platform) (*dcap.Collateral, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := cacheOf(t, &source{answer: answer}, clock())
				begin := time.Now()
				if got, err := c.Collateral(t.Context(), sgx); got != nil || err == nil || time.Since(begin) > larder.FlightTime {
					t.Error(got, err, time.Since(begin))
				}
				time.Sleep(time.Hour) // the last one ends here
			})
		})
	}
}

func TestTheNumberOfPlatformsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		s := &source{answer: func(context.Context, dcap.Platform) (*dcap.Collateral, error) { <-hold; return nil, errDown }}
		c := cacheOf(t, s, clock(), func(c *CacheConfig) { c.MaxPlatforms = 3 })
		about := func(n byte) dcap.Platform { p := sgx; p.FMSPC[5] = n; return p }
		var wg sync.WaitGroup
		for n := range byte(3) {
			wg.Go(func() { c.Collateral(t.Context(), about(n)) })
		}
		synctest.Wait()
		_, err := c.Collateral(t.Context(), about(3))
		wantError(t, err, "3 other platforms are being asked for")
		close(hold)
		wg.Wait()
		for n := range byte(200) {
			time.Sleep(time.Millisecond)
			c.Collateral(t.Context(), about(n))
		}
		status := c.Status()
		if len(status) != 3 {
			t.Fatalf("holds %d platforms, want 3", len(status))
		}
		for i, e := range status {
			if want := about(byte(197 + i)); e.Platform != want {
				t.Errorf("holds %v, want %v: the least recently used make room", e.Platform, want)
			}
		}
	})
}

// TestAStrangerIsForgotten: evidence of a platform that nobody knows does not alarm for ever.
func TestAStrangerIsForgotten(t *testing.T) {
	good := issued(t, t0)
	synctest.Test(t, func(t *testing.T) {
		s := &source{answer: func(_ context.Context, p dcap.Platform) (*dcap.Collateral, error) {
			if p == sgx {
				return good, nil
			}
			return nil, errDown
		}}
		c := cacheOf(t, s, clock())
		stranger := sgx
		stranger.FMSPC[0] = 1
		c.Collateral(t.Context(), sgx)
		c.Collateral(t.Context(), stranger)
		wantError(t, c.Err(), "sgx 01c7b0de0000")
		for range 4 {
			time.Sleep(larder.Memory / 2)
			c.Refresh(t.Context()) // is no use of it
		}
		if status := c.Status(); c.Err() != nil || len(status) != 1 || status[0].Platform != sgx {
			t.Errorf("got %v, %v, want the known platform alone", status, c.Err())
		}
	})
}

func TestPlatformsHaveQuestionsOfTheirOwn(t *testing.T) {
	all := map[dcap.Platform]*dcap.Collateral{}
	for _, tee := range []string{"sgx", "tdx"} {
		for _, ca := range []string{"platform", "processor"} {
			p := sgx
			p.TEE, p.CA = tee, ca
			all[p] = hardware(t, simulated.Config{TEE: tee, CA: ca}).Collateral()
		}
	}
	s := &source{answer: func(_ context.Context, p dcap.Platform) (*dcap.Collateral, error) { return all[p], nil }}
	c := cacheOf(t, s, func() time.Time { return t0 })
	for p, want := range all {
		if got, err := c.Collateral(t.Context(), p); got != want {
			t.Errorf("%v: %v", p, err)
		}
	}
	var names []string
	for _, e := range c.Status() {
		names = append(names, fmt.Sprint(e.Platform))
	}
	if got := strings.Join(names, ", "); got != "sgx f0c7b0de0000 (platform CA), sgx f0c7b0de0000 (processor CA), "+
		"tdx f0c7b0de0000 (platform CA), tdx f0c7b0de0000 (processor CA)" {
		t.Errorf("got %s", got)
	}
}

func TestNewCacheRefuses(t *testing.T) {
	for _, config := range []CacheConfig{{}, {Source: &source{}, Refresh: -1}, {Source: &source{}, MaxPlatforms: -1}} {
		if _, err := NewCache(config); err == nil {
			t.Errorf("%+v: got no error", config)
		}
	}
	c := cacheOf(t, &source{}, nil)
	for _, p := range []dcap.Platform{{}, {TEE: "SGX", CA: "platform"}, {TEE: "sgx", CA: "../x"}} {
		if _, err := c.Collateral(t.Context(), p); err == nil {
			t.Errorf("%v: got no error", p)
		}
	}
	if len(c.Status()) > 0 {
		t.Error("what is no platform has an entry")
	}
}

// TestAClockThatGoesBack does not bring collateral into use before its time.
func TestAClockThatGoesBack(t *testing.T) {
	now := t0
	s := &source{}
	s.gives(issued(t, t0), nil)
	c := cacheOf(t, s, func() time.Time { return now })
	if _, err := c.Collateral(t.Context(), sgx); err != nil {
		t.Fatal(err)
	}
	now = t0.Add(-25 * time.Hour)
	if _, err := c.Collateral(t.Context(), sgx); err == nil {
		t.Error("collateral is used before its issueDate")
	}
}

// TestAClockThatIsSet: what was put off while the clock was a year ahead is not put off for a year.
func TestAClockThatIsSet(t *testing.T) {
	now := t0.AddDate(1, 0, 0)
	s := &source{}
	s.gives(issued(t, t0), nil)
	c := cacheOf(t, s, func() time.Time { return now })
	_, err := c.Collateral(t.Context(), sgx)
	wantError(t, err, "not valid after")
	now = t0
	if _, err := c.Collateral(t.Context(), sgx); err != nil {
		t.Error(err)
	}
	now = t0.Add(-time.Hour)
	if _, err := c.Collateral(t.Context(), sgx); err != nil {
		t.Error(err)
	}
	c.Refresh(t.Context())
	if s.count() != 3 {
		t.Errorf("asked %d times, want once for each time", s.count())
	}
}

func BenchmarkHit(b *testing.B) {
	s := &source{}
	s.gives(issued(b, t0), nil)
	c := cacheOf(b, s, func() time.Time { return t0 })
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Collateral(b.Context(), sgx); err != nil {
				b.Error(err)
			}
		}
	})
}
