package watch

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// patience is how long a test waits for what must come; nothing depends on how fast it comes.
const patience = 30 * time.Second

// scene is a directory with a watched file in it.
type scene struct {
	t    *testing.T
	dir  string
	path string

	mu   sync.Mutex
	seen []string // the content at each call
}

// watchFile watches name in a new directory that prepare fills.
func watchFile(t *testing.T, name string, prepare func(s *scene)) *scene {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, dir: dir, path: filepath.Join(dir, name)}
	prepare(s)
	s.follow(Look(s.path))
	return s
}

// follow watches from what was seen, so that no change is missed.
func (s *scene) follow(seen Content) {
	s.t.Helper()
	path := s.path
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Follow(ctx, path, seen, func() {
			data, _ := os.ReadFile(path)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.seen = append(s.seen, string(data))
		}, func(err error) { s.t.Error(err) })
	}()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("got %v at the end, want nil", err)
		}
	})
}

func (s *scene) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// sees waits until the last call found this content.
func (s *scene) sees(content string) {
	s.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		seen := append([]string(nil), s.seen...)
		s.mu.Unlock()
		if len(seen) > 0 && seen[len(seen)-1] == content {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("the calls saw %q, want %q at last", seen, content)
		}
	}
}

func (s *scene) write(name, content string) {
	s.t.Helper()
	s.must(os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600))
}

func (s *scene) mkdir(name string) {
	s.t.Helper()
	s.must(os.MkdirAll(filepath.Join(s.dir, name), 0o700))
}

func (s *scene) rename(from, to string) {
	s.t.Helper()
	s.must(os.Rename(filepath.Join(s.dir, from), filepath.Join(s.dir, to)))
}

// link makes name a link to target, as it is written, by an atomic rename.
func (s *scene) link(target, name string) {
	s.t.Helper()
	s.must(os.Symlink(target, filepath.Join(s.dir, "new-link")))
	s.rename("new-link", name)
}

func (s *scene) remove(name string) {
	s.t.Helper()
	s.must(os.RemoveAll(filepath.Join(s.dir, name)))
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestFileWrittenInPlace(t *testing.T) {
	s := watchFile(t, "rules.json", func(s *scene) { s.write("rules.json", "one") })
	s.write("rules.json", "two")
	s.sees("two")
	s.write("rules.json", "six") // the same size
	s.sees("six")
}

func TestFileTruncatedThenWritten(t *testing.T) {
	s := watchFile(t, "rules.json", func(s *scene) { s.write("rules.json", "one") })
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_TRUNC, 0)
	s.must(err)
	for _, part := range []string{"a long ", "text in ", "parts"} {
		time.Sleep(quiet / 10)
		_, err = f.WriteString(part)
		s.must(err)
	}
	s.must(f.Close())
	s.sees("a long text in parts")
}

func TestFileRenamedOver(t *testing.T) {
	s := watchFile(t, "rules.json", func(s *scene) { s.write("rules.json", "one") })
	for _, content := range []string{"two", "three", "four"} {
		s.write("rules.json.tmp", content)
		s.rename("rules.json.tmp", "rules.json")
		s.sees(content)
	}
}

// As Kubernetes updates a mounted ConfigMap: the file is a link into ..data, which is a link to a
// directory with the time in its name; a new directory is written, ..data swapped, the old directory removed.
func TestLinkSwappedAsKubernetesDoes(t *testing.T) {
	s := watchFile(t, "rules.json", func(s *scene) {
		s.mkdir("..2026_01")
		s.write("..2026_01/rules.json", "one")
		s.link("..2026_01", "..data")
		s.link("..data/rules.json", "rules.json")
	})
	for _, next := range []struct{ old, new, content string }{
		{"..2026_01", "..2026_02", "two"},
		{"..2026_02", "..2026_03", "three"},
	} {
		s.mkdir(next.new)
		s.write(next.new+"/rules.json", next.content)
		s.link(next.new, "..data")
		s.remove(next.old)
		s.sees(next.content)
	}
}

func TestTargetOfALinkWrittenInPlace(t *testing.T) {
	s := watchFile(t, "here/rules.json", func(s *scene) {
		s.mkdir("here")
		s.mkdir("there")
		s.mkdir("elsewhere")
		s.write("there/rules.json", "one")
		s.link("../there/rules.json", "here/rules.json")
	})
	s.write("there/rules.json", "two")
	s.sees("two")
	// After a swap, the new target is the one that counts.
	s.write("elsewhere/rules.json", "three")
	s.link("../elsewhere/rules.json", "here/rules.json")
	s.sees("three")
	s.write("elsewhere/rules.json", "four")
	s.sees("four")
}

func TestFileRemovedAndBack(t *testing.T) {
	s := watchFile(t, "rules.json", func(s *scene) { s.write("rules.json", "one") })
	s.remove("rules.json")
	time.Sleep(3 * quiet)
	if s.calls() != 0 {
		t.Errorf("%d calls though the file is absent", s.calls())
	}
	s.write("rules.json", "two")
	s.sees("two")
}

func TestFileAbsentAtTheStart(t *testing.T) {
	s := watchFile(t, "rules.json", func(*scene) {})
	s.write("rules.json", "one")
	s.sees("one")
}

// What leaves the content as it was is no change.
func TestSameContentIsNoChange(t *testing.T) {
	s := watchFile(t, "rules.json", func(s *scene) { s.write("rules.json", "one") })
	s.must(os.Chtimes(s.path, time.Now(), time.Now()))
	s.must(os.Chmod(s.path, 0o640))
	s.write("rules.json.tmp", "one")
	s.rename("rules.json.tmp", "rules.json")
	s.write("other.json", "two")
	time.Sleep(3 * quiet)
	if s.calls() != 0 {
		t.Errorf("%d calls though nothing changed", s.calls())
	}
	s.write("rules.json", "two")
	s.sees("two")
}

// Whoever looks before he reads misses nothing, however long it takes until the watch stands.
func TestSince(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(s *scene)
	}{
		{"a change before the watch stands", func(s *scene) { s.write("rules.json", "one") }},
		{"a file that was absent", func(*scene) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &scene{t: t, dir: t.TempDir()}
			s.path = filepath.Join(s.dir, "rules.json")
			c.start(s)
			seen := Look(s.path)
			s.write("rules.json", "two")
			s.follow(seen)
			s.sees("two")
		})
	}
}

func TestLookTakesRegularFilesAlone(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "absent"), os.DevNull} {
		if got := Look(path); got != (Content{}) {
			t.Errorf("%s: got %+v, want no content", path, got)
		}
	}
}

// A directory that is never quiet delays the look, and does not prevent it.
func TestBusyDirectory(t *testing.T) {
	s := watchFile(t, "rules.json", func(s *scene) { s.write("rules.json", "one") })
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(quiet / 20):
				_ = os.WriteFile(filepath.Join(s.dir, "log"), []byte(time.Now().String()), 0o600)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	s.write("rules.json", "two")
	s.sees("two")
}

// Where the directory cannot be watched, the caller is told once, and the following goes on.
func TestFileInADirectoryThatCannotBeWatched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent", "rules.json")
	ctx, cancel := context.WithCancel(t.Context())
	told, done := make(chan error, 2), make(chan error, 1)
	go func() {
		done <- Follow(ctx, path, Look(path), func() { t.Error("called") }, func(err error) { told <- err })
	}()
	if err := <-told; err == nil || !strings.Contains(err.Error(), "cannot watch the directory "+filepath.Dir(path)) {
		t.Errorf("got %v, want an error that names the directory", err)
	}
	select {
	case err := <-done:
		t.Fatalf("it ended with %v", err)
	case <-time.After(2 * quiet):
	}
	cancel()
	if err := <-done; err != nil || len(told) != 0 {
		t.Errorf("got %v, and told %d times more", err, len(told))
	}
}

// Without any events, the file is looked at every ten seconds.
func TestPollingAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.json")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		calls := make(chan struct{}, 10)
		go follow(ctx, path, Look(path), nil, pollAlone, func() { calls <- struct{}{} })
		time.Sleep(pollAlone + time.Second)
		if len(calls) != 0 {
			t.Errorf("%d calls though nothing changed", len(calls))
		}
		write("two")
		time.Sleep(pollAlone)
		if len(calls) != 1 {
			t.Errorf("got %d calls, want one", len(calls))
		}
		cancel()
		synctest.Wait()
	})
}

func TestFileEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := File(ctx, filepath.Join(t.TempDir(), "rules.json"), func() { t.Error("called") }); err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

func TestLargeFile(t *testing.T) {
	s := watchFile(t, "list.csv", func(s *scene) { s.write("list.csv", strings.Repeat("a", maxHashed)+"b") })
	s.write("list.csv", strings.Repeat("a", maxHashed)+"c")
	s.sees(strings.Repeat("a", maxHashed) + "c")
}
