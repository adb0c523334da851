package larder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bread is kept in these tests: it is baked at an hour, and good for ten.
type bread struct{ baked int }

type name string

func (n name) String() string { return string(n) }

// baker is where it comes from.
type baker struct {
	begin time.Time
	bake  func(ctx context.Context) (*bread, error)

	mu    sync.Mutex
	asked int
}

func (b *baker) count() int { b.mu.Lock(); defer b.mu.Unlock(); return b.asked }

var errPoisoned = errors.New("poisoned")

func (b *baker) Ask(ctx context.Context, _ name) (*bread, error) {
	b.mu.Lock()
	b.asked++
	b.mu.Unlock()
	return b.bake(ctx)
}

func (b *baker) Judge(_ name, v *bread, _ time.Time) (*bread, error) {
	if v.baked < 0 {
		return nil, errPoisoned
	}
	return v, nil
}

func (b *baker) Window(v *bread) (notBefore, notAfter time.Time) {
	at := b.begin.Add(time.Duration(v.baked) * time.Hour)
	return at, at.Add(10 * time.Hour)
}

func (b *baker) NotOlder(v, held *bread) error {
	if v.baked < held.baked {
		return fmt.Errorf("of hour %d, there was one of %d", v.baked, held.baked)
	}
	return nil
}

func (b *baker) RetryAfter(err error) time.Duration {
	if errors.Is(err, os.ErrPermission) {
		return 3 * time.Hour
	}
	return 0
}

func (b *baker) Name(n name) string { return string(n) + ".bread" }

func (b *baker) Marshal(v *bread) []byte { return []byte(strconv.Itoa(v.baked)) }

func (b *baker) Parse(data []byte) (*bread, error) {
	n, err := strconv.Atoi(string(data))
	return &bread{n}, err
}

var errNoBread = errors.New("no bread")

func newLarder(dir string) (*Cache[name, bread, bread], *baker) {
	b := &baker{begin: time.Now()}
	c := New(b, Config{Refresh: 4 * time.Hour, Max: 2, Dir: dir, MaxFile: 10, Missing: errNoBread})
	c.Random = func() float64 { return 1 }
	return c, b
}

func gives(n int) func(context.Context) (*bread, error) {
	return func(context.Context) (*bread, error) { return &bread{n}, nil }
}

// TestOneQuestion: all askers wait for one answer, then nobody waits, and it is asked anew in the background.
func TestOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := newLarder("")
		b.bake = func(context.Context) (*bread, error) { time.Sleep(time.Second); return &bread{0}, nil }
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if got, err := c.Get(t.Context(), "rye"); err != nil || got.baked != 0 {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
		wg.Wait()
		b.bake = gives(4)
		time.Sleep(4 * time.Hour)
		if got, err := c.Get(t.Context(), "rye"); err != nil || got.baked != 0 {
			t.Errorf("got %v, %v", got, err)
		}
		synctest.Wait()
		if got, err := c.Get(t.Context(), "rye"); err != nil || got.baked != 4 || b.count() != 2 {
			t.Errorf("got %v, %v, asked %d times", got, err, b.count())
		}
	})
}

// TestFaults: what was good is used until its end, and then the newest reason is told.
func TestFaults(t *testing.T) {
	for what, f := range map[string]struct {
		bake func(context.Context) (*bread, error)
		want string
	}{
		"down":             {func(context.Context) (*bread, error) { return nil, errors.New("closed") }, "closed"},
		"nothing":          {func(context.Context) (*bread, error) { return nil, nil }, "no bread"},
		"bad":              {gives(-1), "poisoned"},
		"older":            {gives(0), "of hour 0, there was one of 1"},
		"a panic":          {func(context.Context) (*bread, error) { panic("fire") }, "the source panicked: fire"},
		"to be left alone": {func(context.Context) (*bread, error) { return nil, os.ErrPermission }, "permission denied"},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, b := newLarder("")
				b.begin = b.begin.Add(-2 * time.Hour)
				b.bake = gives(1)
				if _, err := c.Get(t.Context(), "rye"); err != nil {
					t.Fatal(err)
				}
				b.bake = f.bake
				time.Sleep(5 * time.Hour)
				c.Refresh(t.Context())
				if got, err := c.Get(t.Context(), "rye"); err != nil || got.baked != 1 || c.Err() == nil || !strings.Contains(c.Err().Error(), f.want) {
					t.Errorf("got %v, %v; %v", got, err, c.Err())
				}
				time.Sleep(5 * time.Hour)
				if got, err := c.Get(t.Context(), "rye"); err == nil || got != nil || !strings.Contains(err.Error(), "only: "+f.want) {
					t.Errorf("got %v, %v, want that it ended", got, err)
				}
				synctest.Wait()
			})
		})
	}
}

// TestPatience: an asker leaves when its context ends, and the question goes on for others.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := newLarder("")
		b.bake = func(ctx context.Context) (*bread, error) { <-ctx.Done(); return nil, ctx.Err() }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Get(ctx, "rye"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		begin := time.Now()
		if _, err := c.Get(t.Context(), "rye"); err == nil || time.Since(begin) > FlightTime {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		if b.count() != 1 {
			t.Errorf("asked %d times", b.count())
		}
		synctest.Wait()
	})
}

// TestRoom: who was used least recently makes room.
func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := newLarder("")
		b.bake = gives(0)
		for _, n := range []name{"rye", "wheat", "rye", "spelt"} {
			if _, err := c.Get(t.Context(), n); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		if s := c.Status(); len(s) != 2 || s[0].Key != "rye" || s[1].Key != "spelt" {
			t.Errorf("got %v", s)
		}
	})
}

// TestStrangersTakeNoRoom: subjects for which there is nothing, as strangers make them up, displace each other and not what is
// held, nor what is known of how old it may be.
func TestStrangersTakeNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, b := newLarder("")
		b.bake = gives(3)
		time.Sleep(3 * time.Hour)
		if _, err := c.Get(t.Context(), "rye"); err != nil {
			t.Fatal(err)
		}
		b.bake = func(context.Context) (*bread, error) { return nil, errNoBread }
		for _, n := range []name{"sand", "clay", "loam"} {
			time.Sleep(time.Second)
			if _, err := c.Get(t.Context(), n); !errors.Is(err, errNoBread) {
				t.Errorf("got %v", err)
			}
		}
		b.bake = gives(1) // a source that lies
		if got, err := c.Get(t.Context(), "rye"); err != nil || got.baked != 3 {
			t.Errorf("got %v, %v, want what was held", got, err)
		}
	})
}

// TestDisk: a file is believed as an answer is, and spares a question while it is young.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	c, b := newLarder(dir)
	b.bake = gives(0)
	if _, err := c.Get(t.Context(), "rye"); err != nil {
		t.Fatal(err)
	}
	again, closed := newLarder(dir)
	closed.begin = b.begin
	closed.bake = func(context.Context) (*bread, error) { return nil, errors.New("closed") }
	if got, err := again.Get(t.Context(), "rye"); err != nil || got.baked != 0 || closed.count() != 0 {
		t.Errorf("got %v, %v, asked %d times", got, err, closed.count())
	}
	for content, want := range map[string]string{"-1": "poisoned", "": "rye.bread: ", "x": "invalid syntax"} {
		if err := os.WriteFile(filepath.Join(dir, "rye.bread"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c, b := newLarder(dir)
		b.bake = closed.bake
		if _, err := c.Get(t.Context(), "rye"); err == nil || c.Err() == nil || !strings.Contains(c.Err().Error(), want) {
			t.Errorf("%q: got %v; %v", content, err, c.Err())
		}
	}
}
