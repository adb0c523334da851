package live_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/live"
)

// file is a file that is replaced as careful programs do.
type file struct {
	t    *testing.T
	path string
}

func newFile(t *testing.T, text string) file {
	t.Helper()
	f := file{t, filepath.Join(t.TempDir(), "value")}
	f.replace(text)
	return f
}

func (f file) replace(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path+".new", []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		f.t.Fatal(err)
	}
}

// load reads the file. One that begins with "bad" is not good.
func (f file) load() (string, error) {
	text, err := os.ReadFile(f.path)
	if strings.HasPrefix(string(text), "bad") {
		err = errors.New("this is not good")
	}
	return string(text), err
}

// TestRefreshWhatHasChanged: to be asked alone throws nothing away.
func TestRefreshWhatHasChanged(t *testing.T) {
	f := newFile(t, "one")
	loads := 0
	v, err := live.Open([]string{f.path, ""}, func() (string, error) { loads++; return f.load() })
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name, text, want string
		loads            int
		fails            bool
	}{
		{"unchanged", "one", "one", 1, false},
		{"changed", "two", "two", 2, false},
		{"unchanged since", "two", "two", 2, false},
		{"bad", "bad", "two", 3, true},
		{"still bad", "bad", "two", 4, true}, // who asks again is told again
		{"as it was", "two", "two", 4, false},
	} {
		f.replace(step.text)
		_, err := v.Refresh(t.Context())
		if v.Get() != step.want || loads != step.loads {
			t.Errorf("%s: got %q after %d loads, want %q after %d", step.name, v.Get(), loads, step.want, step.loads)
		}
		if (err != nil) != step.fails || (v.Err() != nil) != step.fails {
			t.Errorf("%s: got %v and %v, want errors: %v", step.name, err, v.Err(), step.fails)
		}
	}
}

// TestPipe: a pipe in the place of a file is not read, for that waits until somebody writes
// it, and nothing else would be read anew meanwhile.
func TestPipe(t *testing.T) {
	f := newFile(t, "one")
	opened := false
	load := func() (string, error) {
		if opened {
			t.Error("the pipe is read")
		}
		return "one", nil
	}
	set := new(live.Set)
	v, err := live.Take(set, nil, "value", "one", []string{f.path}, load)
	if err != nil {
		t.Fatal(err)
	}
	opened = true
	if err := errors.Join(os.Remove(f.path), syscall.Mkfifo(f.path, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Refresh(t.Context()); err == nil || v.Err() == nil {
		t.Errorf("got %v and %v, want errors", err, v.Err())
	}
	if _, err := live.Take(new(live.Set), set, "value", "another", []string{f.path}, load); err == nil {
		t.Error("a new configuration may name a pipe, want an error")
	}
	f.replace("two")
	opened = false
	if _, err := v.Refresh(t.Context()); err != nil {
		t.Errorf("a file again: %v", err)
	}
}

// TestHalfWritten: a file that somebody writes is read when it is whole, though what is
// there before would be good as well.
func TestHalfWritten(t *testing.T) {
	f := newFile(t, "one")
	v, err := live.Open([]string{f.path}, f.load)
	if err != nil {
		t.Fatal(err)
	}
	w, err := os.Create(f.path) // truncates it
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	written := make(chan struct{})
	go func() {
		defer close(written)
		for _, part := range []string{"first,", "second,", "third"} {
			time.Sleep(30 * time.Millisecond)
			w.WriteString(part)
		}
	}()
	changed, err := v.Refresh(t.Context())
	<-written
	if !changed || err != nil || v.Get() != "first,second,third" {
		// A writer that the machine has stopped for longer than the wait is
		// seen half done; the next refresh puts it right.
		if _, err := v.Refresh(t.Context()); err != nil || v.Get() != "first,second,third" {
			t.Errorf("got %q, %v", v.Get(), err)
		}
	}
}

// TestStopped: who stops does not wait for a file to come to rest.
func TestStopped(t *testing.T) {
	f := newFile(t, "one")
	v, err := live.Open([]string{f.path}, f.load)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f.replace("two")
	cancel()
	if _, err := v.Refresh(ctx); !errors.Is(err, context.Canceled) || v.Get() != "one" {
		t.Errorf("got %q, %v, want the value as it was and that it was stopped", v.Get(), err)
	}
}

// TestSet: what one configuration has read is at hand for the next, and each value stands for itself.
func TestSet(t *testing.T) {
	a, b := newFile(t, "a1"), newFile(t, "b1")
	loads := 0
	take := func(s, before *live.Set, what string, f file) *live.Value[string] {
		t.Helper()
		v, err := live.Take(s, before, what, f.path, []string{f.path}, func() (string, error) { loads++; return f.load() })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	first, second := new(live.Set), new(live.Set)
	was := take(first, nil, "keys", a)
	take(first, nil, "keys", a) // of one spec there is one value
	if loads != 1 {
		t.Errorf("%d loads, want 1", loads)
	}
	is, other, kind := take(second, first, "keys", a), take(second, first, "keys", b), take(second, first, "list", a)
	if is != was || other == was || kind == was || loads != 3 {
		t.Errorf("want the value that is known, and two others, after three loads: %d", loads)
	}

	a.replace("bad")
	b.replace("b2")
	var told []string
	second.Refresh(t.Context(), func(what string, err error) { told = append(told, fmt.Sprint(what, " ", err)) })
	slices.Sort(told)
	if want := []string{"keys <nil>", "keys this is not good", "list this is not good"}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
	if is.Get() != "a1" || other.Get() != "b2" {
		t.Errorf("got %q and %q, want a1 kept and b2 read", is.Get(), other.Get())
	}
	if got := strings.Join(second.Kinds(), " "); got != "keys list" {
		t.Errorf("kinds: %s", got)
	}
}

// TestFiles: a change is told of a file that is followed, and not of one that is no more.
func TestFiles(t *testing.T) {
	a, b := newFile(t, "a1"), newFile(t, "b1")
	ctx, cancel := context.WithCancel(t.Context())
	files := live.NewFiles(func(path string, err error) { t.Log(path, err) })
	expect := func(name string) {
		t.Helper()
		select {
		case <-files.Changed:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: no change is told", name)
		}
	}
	seen := live.Look(a.path, "")
	a.replace("a2") // before the watch stands
	files.Follow(ctx, seen)
	expect("between look and follow")
	a.replace("a3")
	expect("while it is followed")
	files.Follow(ctx, live.Look(b.path))
	b.replace("b2")
	expect("the other file")
	cancel()
	files.Wait()
}
