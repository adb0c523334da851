//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package broker

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func newStateDir(t *testing.T) (*stateDir, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state")
	s, err := DirState(path)
	if err != nil {
		t.Fatal(err)
	}
	d := s.(*stateDir)
	t.Cleanup(func() { d.Close() })
	return d, path
}

func TestStateDir(t *testing.T) {
	d, path := newStateDir(t)
	records := map[string][]byte{"-a_B9": []byte("one\n"), strings.Repeat("x", 128): bytes.Repeat([]byte{0}, MaxRecord+1)}
	for range 2 { // the second replaces the first
		for name, record := range records {
			if err := d.Keep(t.Context(), name, record); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := d.Forget(t.Context(), "never-there"); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(path, "-a_B9.json"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	d.Close()
	again, err := DirState(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.(io.Closer).Close()
	got, err := again.Load(t.Context())
	if err != nil || fmt.Sprint(got) != fmt.Sprint(records) {
		t.Errorf("got %d records, %v", len(got), err)
	}
	if err := again.Forget(t.Context(), "-a_B9"); err != nil {
		t.Error(err)
	}
	if got, err = again.Load(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("got %d records, %v", len(got), err)
	}
	for _, name := range []string{"", "..", "a/b", "a.b", ".lock", strings.Repeat("x", 129), "ä", "a\x00"} {
		if d.Keep(t.Context(), name, nil) == nil || d.Forget(t.Context(), name) == nil {
			t.Errorf("the name %q is taken", name)
		}
	}
	if err := d.Keep(t.Context(), "a", make([]byte, MaxRecord+2)); err == nil {
		t.Error("a record is too long, and kept")
	}
}

func TestDirStateIsNoDirectory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "x")
	for path, says := range map[string]string{
		"":                                 "no path",
		file:                               "is a file, want a directory",
		filepath.Join(file, "below"):       "not a directory",
		filepath.Join(dir, "not", "there"): "no such file",
		"a\x00b":                           "invalid argument",
	} {
		if _, err := DirState(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want … %s", path, err, says)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What is no record is told, left as it is, and keeps nobody waiting.
func TestStateDirWithOtherThings(t *testing.T) {
	for name, c := range map[string]struct {
		put  func(path string) error
		says string // "" if it is nothing to tell
	}{
		"a link":        {func(p string) error { return os.Symlink("/etc/passwd", p+"/a.json") }, "a.json"},
		"a broken link": {func(p string) error { return os.Symlink("nowhere", p+"/a.json") }, "a.json"},
		"a FIFO":        {func(p string) error { return syscall.Mkfifo(p+"/a.json", 0o600) }, "a.json is no regular file"},
		"a directory":   {func(p string) error { return os.Mkdir(p+"/a.json", 0o700) }, "a.json is no regular file"},
		"a huge file":   {func(p string) error { return sparse(p+"/a.json", 1<<40) }, "a.json: got more than 262145 bytes"},
		"a stray file":  {func(p string) error { return os.WriteFile(p+"/README", nil, 0o600) }, `"README" is no record's name`},
		"a dot file":    {func(p string) error { return os.WriteFile(p+"/..json", nil, 0o600) }, `"..json" is no record's name`},
		"half a record": {func(p string) error { return os.WriteFile(p+"/.a.tmp", []byte("x"), 0o600) }, ""},
		"many files":    {func(p string) error { return many(p, maxStateFiles+9) }, "more than 1024 files"},
		"many bytes": {func(p string) error {
			for i := range 70 {
				if err := os.WriteFile(fmt.Sprint(p, "/a", i, ".json"), make([]byte, MaxRecord), 0o600); err != nil {
					return err
				}
			}
			return nil
		}, "more than 8388608 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			d, path := newStateDir(t)
			if err := d.Keep(t.Context(), "0good", []byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := c.put(path); err != nil {
				t.Fatal(err)
			}
			records, err := d.Load(t.Context())
			if records == nil || name != "many files" && records["0good"] == nil {
				t.Errorf("got %d records: %v", len(records), err)
			}
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want … %s", err, c.says)
			}
			if err != nil && len(err.Error()) > 4096 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			// In the place of a record, too, it is in nobody's way, but for a directory.
			if err := d.Keep(t.Context(), "a", []byte("y")); (err == nil) != (name != "a directory") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func sparse(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}

func many(path string, n int) error {
	for i := range n {
		if err := os.WriteFile(fmt.Sprint(path, "/stray-", i), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Where a record is written, nothing is followed.
func TestStateDirWritesThroughNoLink(t *testing.T) {
	d, path := newStateDir(t)
	target := filepath.Join(t.TempDir(), "target")
	write(t, target, "untouched")
	for _, name := range []string{"a.json", ".a.tmp"} {
		if err := os.Symlink(target, filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Keep(t.Context(), "a", []byte("record")); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "untouched" {
		t.Errorf("got %q, %v", text, err)
	}
	if records, err := d.Load(t.Context()); err != nil || string(records["a"]) != "record" {
		t.Errorf("got %v, %v", records, err)
	}
}

// A record whose write failed leaves the one of before.
func TestStateDirKeepsTheOldRecord(t *testing.T) {
	d, path := newStateDir(t)
	if err := d.Keep(t.Context(), "a", []byte("old")); err != nil {
		t.Fatal(err)
	}
	// A directory in the place of the temporary file stands for a disk that takes nothing.
	if err := os.MkdirAll(filepath.Join(path, ".a.tmp", "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.Keep(t.Context(), "a", []byte("new")); err == nil || !strings.Contains(err.Error(), ".a.tmp") {
		t.Errorf("got %v", err)
	}
	if records, _ := d.Load(t.Context()); string(records["a"]) != "old" {
		t.Errorf("got %q", records["a"])
	}
}

func TestStateDirGoesAway(t *testing.T) {
	d, path := newStateDir(t)
	if _, err := d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := d.Keep(t.Context(), "a", nil); err == nil {
		t.Error("a record is kept in no directory")
	}
	if records, err := d.Load(t.Context()); records != nil || err == nil {
		t.Errorf("got %v, %v", records, err)
	}
	if os.Getuid() == 0 {
		return // to whom nothing is forbidden
	}
	d, path = newStateDir(t)
	if err := os.Chmod(path, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(path, 0o700)
	if records, err := d.Load(t.Context()); records != nil || err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("got %v, %v", records, err)
	}
}

func TestStateDirHasOneBroker(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	d, path := newStateDir(t)
	c := newClock(noon)
	first := started(t, c, d, p, nil)
	other, err := DirState(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.(io.Closer).Close()
	second := started(t, c, other, p, nil)
	if second.health().Status != healthUnready || len(second.published(t)) != 0 {
		t.Errorf("got %+v, want it to wait for the first", second.health())
	}
	token := first.exchangeFor(t, p)
	d.Close() // as Run does at its end
	second.at(t, maxRetryAfter)
	second.verify(t, token)
	second.verify(t, second.exchangeFor(t, p))
	// What stands in the lock's place is not waited for.
	third, path := newStateDir(t)
	if err := syscall.Mkfifo(filepath.Join(path, stateLock), 0o600); err != nil {
		t.Fatal(err)
	}
	if records, err := third.Load(t.Context()); records != nil || err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("got %v, %v", records, err)
	}
}

// Torn at every byte, a record is told and left alone, and the broker works.
func TestTornRecord(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	d, path := newStateDir(t)
	c := newClock(noon)
	old := started(t, c, d, p, nil).ring.current.Load().key.id
	file := filepath.Join(path, old+stateSuffix)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(whole)-1; n += 1 + len(whole)/40 {
		if _, err := parseRecord(old, whole[:n]); err == nil {
			t.Errorf("%d of %d bytes are a record", n, len(whole))
		}
	}
	write(t, file, string(whole[:len(whole)/2]))
	f := started(t, c, d, p, nil)
	f.exchangeFor(t, p)
	if h := f.health(); h.Status != healthReady || !h.State.Unread || len(f.published(t)) != 1 {
		t.Errorf("got %+v, %+v", h, h.State)
	}
	if text, err := os.ReadFile(file); err != nil || len(text) != len(whole)/2 {
		t.Errorf("the record was touched: %v", err)
	}
}
