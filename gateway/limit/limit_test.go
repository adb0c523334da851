package limit

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// clock is a clock that a test sets.
type clock struct{ now atomic.Pointer[time.Time] }

func newClock() *clock {
	c := new(clock)
	c.set(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	return c
}

func (c *clock) Now() time.Time          { return *c.now.Load() }
func (c *clock) set(t time.Time)         { c.now.Store(&t) }
func (c *clock) advance(d time.Duration) { c.set(c.Now().Add(d)) }

func newLimits(tb testing.TB, c Config) *Limits {
	tb.Helper()
	l, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// take is Take, for tests that count refusals.
func take(tb testing.TB, l *Limits, id string) (done func(), refusal access.Refusal) {
	tb.Helper()
	done, err := l.Take(id)
	if err == nil {
		return done, access.Refusal{Reason: access.Allowed}
	}
	r, ok := errors.AsType[*access.Refusal](err)
	if !ok || done != nil || r.Public == "" {
		tb.Fatalf("got done %v and %#v, want a refusal with a text", done != nil, err)
	}
	return nil, *r
}

// TestRate is a story: each step waits, asks, and is allowed or told when to come back.
func TestRate(t *testing.T) {
	steps := func(c Config, story ...any) {
		t.Helper()
		clock := newClock()
		c.Now = clock.Now
		l := newLimits(t, c)
		for i := 0; i < len(story); i += 3 {
			wait, id, want := story[i].(time.Duration), story[i+1].(string), story[i+2].(time.Duration)
			clock.advance(wait)
			_, r := take(t, l, id)
			if got := r.RetryAfter; got != want || (r.Reason == access.RateLimited) != (want > 0) {
				t.Fatalf("%+v: step %d: got %s and Retry-After %s, want %s", c, i/3, r.Reason, got, want)
			}
		}
	}
	const now, good = time.Duration(0), time.Duration(0)
	const ms, s = time.Millisecond, time.Second

	// One a second, none in advance.
	steps(Config{PerSecond: 1},
		now, "a", good,
		now, "a", 1*s,
		now, "b", good, // somebody else
		999*ms, "a", 1*s, // 1 ms is left, and a client is told whole seconds
		1*ms, "a", good,
		now, "a", 1*s)
	// A burst of three, then one each half a second.
	steps(Config{PerSecond: 2, Burst: 3},
		now, "a", good,
		now, "a", good,
		now, "a", good,
		now, "a", 1*s,
		500*ms, "a", good,
		now, "a", 1*s,
		10*s, "a", good, // no more than the burst is saved
		now, "a", good,
		now, "a", good,
		now, "a", 1*s)
	// One in ten seconds: the wait is told exactly.
	steps(Config{PerSecond: 0.1},
		now, "a", good,
		now, "a", 10*s,
		3*s, "a", 7*s,
		500*ms, "a", 7*s,
		6500*ms, "a", good)
	// Burst is PerSecond where it is not given.
	steps(Config{PerSecond: 2.5},
		now, "a", good,
		now, "a", good,
		now, "a", good,
		now, "a", 1*s)
}

// TestRateHolds: whatever the pattern, no span of time has more requests than a
// burst and what the rate gives, and whoever waits as told is let in.
func TestRateHolds(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		clock := newClock()
		c := Config{PerSecond: math.Exp(random.Float64()*8 - 2), Burst: 1 + random.IntN(20), Now: clock.Now}
		l := newLimits(t, c)
		var granted []time.Time
		for range 400 {
			clock.advance(time.Duration(random.ExpFloat64() / c.PerSecond / 2 * 1e9))
			_, r := take(t, l, "a")
			if r.Reason == access.RateLimited && random.IntN(10) == 0 {
				clock.advance(r.RetryAfter)
				_, r = take(t, l, "a")
				if r.Reason != access.Allowed {
					t.Fatalf("seed %d: waited as told, and got %s", seed, r.Reason)
				}
			}
			if r.Reason == access.Allowed {
				granted = append(granted, clock.Now())
			}
		}
		for i := range granted {
			for j := i; j < len(granted); j++ {
				span := granted[j].Sub(granted[i]).Seconds()
				if most := float64(c.Burst) + span*c.PerSecond*(1+1e-6) + 1e-6; float64(j-i+1) > most {
					t.Fatalf("seed %d: %d requests in %gs, want at most %g at %g a second and a burst of %d", seed, j-i+1, span, most, c.PerSecond, c.Burst)
				}
			}
		}
	}
}

func TestConcurrent(t *testing.T) {
	clock := newClock()
	l := newLimits(t, Config{Concurrent: 2, PerSecond: 3, Now: clock.Now})
	first, _ := take(t, l, "a")
	second, _ := take(t, l, "a")
	for range 10 { // who is refused is not counted: neither here nor for the rate
		if _, r := take(t, l, "a"); r.Reason != access.TooManyAtOnce || r.RetryAfter != time.Second {
			t.Fatalf("got %+v, want too many at once", r)
		}
	}
	if _, r := take(t, l, "b"); r.Reason != access.Allowed {
		t.Fatalf("got %s for somebody else", r.Reason)
	}
	first()
	first() // a second call does nothing
	if _, r := take(t, l, "a"); r.Reason != access.Allowed {
		t.Fatalf("got %s, want one more after one is over", r.Reason)
	}
	if _, r := take(t, l, "a"); r.Reason != access.TooManyAtOnce {
		t.Fatalf("got %s, want too many at once after a second call of done", r.Reason)
	}
	second()
	if _, r := take(t, l, "a"); r.Reason != access.RateLimited {
		t.Fatalf("got %s, want the rate's refusal of a fourth request", r.Reason)
	}
}

// TestCrowd: who has many identities neither has those of others forgotten, nor fills the memory.
func TestCrowd(t *testing.T) {
	clock := newClock()
	l := newLimits(t, Config{PerSecond: 0.1, Burst: 2, Concurrent: 2, Identities: 160, Now: clock.Now})
	drained, _ := take(t, l, "drained")
	drained()
	drained, _ = take(t, l, "drained")
	drained()
	busy, _ := take(t, l, "busy")
	defer busy()
	_, _ = take(t, l, "busy")
	var allowed int
	for i := range 5000 {
		if done, r := take(t, l, fmt.Sprint("crowd", i)); r.Reason == access.Allowed {
			done()
			allowed++
		}
	}
	// Each that has a place may come, and two of the crowd in each of the shards.
	if allowed > 160+2*shards || allowed < 100 {
		t.Errorf("%d of 5000 newcomers came in, want about %d", allowed, 160+2*shards)
	}
	if n := l.size(); n > 160 {
		t.Errorf("%d identities are remembered, want at most 160", n)
	}
	if _, r := take(t, l, "drained"); r.Reason != access.RateLimited {
		t.Errorf("drained: got %s, want its limit to stand", r.Reason)
	}
	clock.advance(20 * time.Second) // all are idle, but for busy
	if _, r := take(t, l, "busy"); r.Reason != access.TooManyAtOnce {
		t.Errorf("busy: got %s, want its limit to stand", r.Reason)
	}
	for i := range 32 {
		if _, r := take(t, l, fmt.Sprint("late", i)); r.Reason != access.Allowed {
			t.Errorf("late%d: got %s, want the place of an idle one", i, r.Reason)
		}
	}
	if n := l.size(); n > 160 {
		t.Errorf("%d identities are remembered, want at most 160", n)
	}
}

// TestForget: identities that are not seen any more give their memory to others.
func TestForget(t *testing.T) {
	clock := newClock()
	l := newLimits(t, Config{PerSecond: 100, Burst: 1, Now: clock.Now})
	for i := range 20_000 {
		clock.advance(time.Millisecond)
		if _, r := take(t, l, fmt.Sprint(i)); r.Reason != access.Allowed {
			t.Fatalf("%d: got %s", i, r.Reason)
		}
	}
	if n := l.size(); n > 500 {
		t.Errorf("%d identities are remembered, of which 10 are not idle", n)
	}
}

func (l *Limits) size() (n int) {
	for i := range l.shards {
		n += len(l.shards[i].counts)
		if len(l.shards[i].index) != len(l.shards[i].counts) {
			panic("index and counts differ")
		}
	}
	return n
}

func TestReconfigure(t *testing.T) {
	clock := newClock()
	c := Config{PerSecond: 0.001, Burst: 1, Now: clock.Now}
	l := newLimits(t, c)
	take(t, l, "a")
	if _, r := take(t, l, "a"); r.RetryAfter != 1000*time.Second {
		t.Fatalf("got %+v, want 1000s", r)
	}
	c.PerSecond = 1
	if err := l.Reconfigure(c); err != nil {
		t.Fatal(err)
	}
	if _, r := take(t, l, "a"); r.RetryAfter != time.Second {
		t.Fatalf("got %+v, want what was counted to stay, and the new rate", r)
	}
	clock.advance(time.Second)
	if _, r := take(t, l, "a"); r.Reason != access.Allowed {
		t.Fatalf("got %+v", r)
	}
	clock.advance(-time.Hour) // a clock that was put back holds nobody off for longer than the bounds do
	if _, r := take(t, l, "a"); r.RetryAfter != time.Second {
		t.Fatalf("got %+v, want 1s", r)
	}
	clock.advance(time.Second)
	if _, r := take(t, l, "a"); r.Reason != access.Allowed {
		t.Fatalf("got %+v", r)
	}
	c = Config{Concurrent: 1, Now: clock.Now}
	if err := l.Reconfigure(c); err != nil {
		t.Fatal(err)
	}
	done, _ := take(t, l, "a")
	if err := l.Reconfigure(Config{Now: clock.Now}); err != nil {
		t.Fatal(err)
	}
	if _, r := take(t, l, "a"); r.Reason != access.Allowed {
		t.Fatalf("got %+v without bounds", r)
	}
	if err := l.Reconfigure(c); err != nil {
		t.Fatal(err)
	}
	if _, r := take(t, l, "a"); r.Reason != access.TooManyAtOnce {
		t.Fatalf("got %+v, want the request from before to count still", r)
	}
	done()
	if _, r := take(t, l, "a"); r.Reason != access.Allowed {
		t.Fatalf("got %+v", r)
	}
}

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		c    Config
		want string
	}{
		{Config{}, ""},
		{Config{PerSecond: 1.0 / 86400, Burst: 300}, ""},
		{Config{PerSecond: 1e9, Burst: math.MaxInt32}, ""},
		{Config{PerSecond: -1}, "requests per second"},
		{Config{PerSecond: math.NaN()}, "requests per second"},
		{Config{PerSecond: math.Inf(1)}, "requests per second"},
		{Config{PerSecond: 1, Burst: -1}, "none below 0"},
		{Config{Concurrent: -1}, "none below 0"},
		{Config{Identities: -1}, "none below 0"},
		{Config{Burst: 5}, "needs requests per second"},
		{Config{PerSecond: 1e-3, Burst: 1e9}, "longer than a year"},
		{Config{PerSecond: 5e-324}, "longer than a year"},
	} {
		_, err := New(test.c)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want %q", test.c, err, test.want)
		}
	}
}

// TestNothingToCount: no bounds, no id, no limits.
func TestNothingToCount(t *testing.T) {
	free, bounded := newLimits(t, Config{}), newLimits(t, Config{PerSecond: 1, Concurrent: 1})
	allocs := testing.AllocsPerRun(100, func() {
		for _, try := range []struct {
			l  *Limits
			id string
		}{{free, "a"}, {bounded, ""}, {nil, "a"}} {
			done, err := try.l.Take(try.id)
			if err != nil {
				t.Fatal(err)
			}
			done()
		}
	})
	if allocs != 0 || free.size()+bounded.size() != 0 {
		t.Errorf("got %g allocations and %d identities, want none", allocs, free.size()+bounded.size())
	}
}

// TestRace: from many goroutines, never more at once than allowed, and nothing stays behind.
func TestRace(t *testing.T) {
	l := newLimits(t, Config{Concurrent: 3, Identities: 64})
	var open [10]atomic.Int32
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 2))
			for range 2000 {
				who := random.IntN(len(open))
				done, err := l.Take(string(rune('a' + who)))
				if err != nil {
					continue
				}
				if n := open[who].Add(1); n > 3 {
					t.Errorf("%d at once, want at most 3", n)
				}
				open[who].Add(-1)
				done()
			}
		})
	}
	group.Wait()
	for i := range l.shards {
		for _, c := range l.shards[i].counts {
			if c.open != 0 {
				t.Errorf("%d are open after all are over", c.open)
			}
		}
		if l.shards[i].crowd.open != 0 {
			t.Errorf("the crowd has %d open after all are over", l.shards[i].crowd.open)
		}
	}
}
