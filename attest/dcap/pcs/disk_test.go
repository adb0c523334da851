package pcs

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/internal/larder"
)

// onDisk returns a cache with the directory, at the instant.
func onDisk(t testing.TB, s dcap.Source, dir string, at time.Time) *Cache {
	t.Helper()
	return cacheOf(t, s, func() time.Time { return at }, func(c *CacheConfig) { c.Dir = dir })
}

const fileName = "sgx-f0c7b0de0000-platform.json"

// down is a source that has nothing.
func down() *source { s := &source{}; s.gives(nil, errDown); return s }

// up is a source that has it.
func up(c *dcap.Collateral) *source { s := &source{}; s.gives(c, nil); return s }

func TestARestartReadsTheDisk(t *testing.T) {
	good, dir := issued(t, t0), filepath.Join(t.TempDir(), "made", "when missing")
	first := onDisk(t, up(good), dir, t0)
	if _, err := first.Collateral(t.Context(), sgx); err != nil || first.Err() != nil {
		t.Fatal(err, first.Err())
	}
	if names := list(t, dir); len(names) != 1 || names[0] != fileName {
		t.Errorf("the directory has %q, want %s alone", names, fileName)
	}
	text, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil || !bytes.Equal(text, good.Marshal()) {
		t.Errorf("the file is no QuoteCollateralV3 of what was had: %v", err)
	}
	// An hour later nothing need be asked.
	later := up(nil)
	again := onDisk(t, later, dir, t0.Add(time.Hour))
	got, err := again.Collateral(t.Context(), sgx)
	if err != nil || !reflect.DeepEqual(got, good) || later.count() != 0 {
		t.Errorf("got %v with %d questions, want what is on disk", err, later.count())
	}
	if e := again.Status()[0]; !e.FetchedAt.Equal(t0) || !e.NextRefresh.Equal(t0.Add(DefaultRefresh)) || e.Err != nil || e.DiskErr != nil {
		t.Errorf("got %+v, want the time of the first question", e)
	}
	// Two days later it is used, and asked for anew.
	for i, s := range []*source{down(), up(issued(t, t0.Add(48*time.Hour)))} {
		c := onDisk(t, s, dir, t0.Add(48*time.Hour))
		if _, err := c.Collateral(t.Context(), sgx); err != nil || s.count() != 1 {
			t.Errorf("source %d: got %v with %d questions, want one", i, err, s.count())
		}
	}
	// After its end it is not.
	if _, err := onDisk(t, down(), dir, t0.Add(60*24*time.Hour)).Collateral(t.Context(), sgx); !errors.Is(err, errDown) {
		t.Errorf("got %v, want the end of what is on disk", err)
	}
}

func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestTheDiskIsNotBelieved: what is wrong with a file is told, and the source asked.
func TestTheDiskIsNotBelieved(t *testing.T) {
	good := issued(t, t0)
	write := func(data []byte) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	of := func(c simulated.Config) func(*testing.T, string) { return write(hardware(t, c).Collateral().Marshal()) }
	stranger, err := simulated.New(simulated.Config{Now: t0})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
	}{
		"garbage":          {write([]byte("{")), "malformed JSON"},
		"nothing":          {write(nil), "malformed JSON"},
		"half a file":      {write(good.Marshal()[:5000]), fileName + ": "},
		"a signed byte":    {write(bytes.Replace(good.Marshal(), []byte("UpToDate"), []byte("UpToDatE"), 1)), "TCB info: not signed by"},
		"too much":         {write(bytes.Repeat([]byte(" "), maxFile+10)), "too large"},
		"another platform": {of(simulated.Config{FMSPC: "f0c7b0de0001"}), "got collateral of sgx f0c7b0de0001"},
		"another TEE":      {of(simulated.Config{TEE: "tdx"}), "got collateral of tdx"},
		"another root":     {write(stranger.Collateral().Marshal()), "root"},
		"expired":          {of(simulated.Config{Now: t0.Add(-60 * 24 * time.Hour)}), "not valid after"},
		"of the future":    {of(simulated.Config{Now: t0.Add(60 * 24 * time.Hour)}), "not valid before"},
		"a directory":      {func(t *testing.T, path string) { must(t, os.Mkdir(path, 0o755)) }, "want a plain file"},
		"a link to a good one": {func(t *testing.T, path string) {
			write(good.Marshal())(t, path+".real")
			must(t, os.Symlink(filepath.Base(path)+".real", path))
		}, "want a plain file"},
		"a link to elsewhere": {func(t *testing.T, path string) { must(t, os.Symlink("/etc/passwd", path)) }, "want a plain file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.spoil(t, filepath.Join(dir, fileName))
			cache := onDisk(t, down(), dir, t0)
			if got, err := cache.Collateral(t.Context(), sgx); got != nil || !errors.Is(err, errDown) {
				t.Errorf("got %v, want the source's error", err)
			}
			wantError(t, cache.Err(), "on disk: ", c.want)

			s := up(good)
			cache = onDisk(t, s, dir, t0)
			if got, err := cache.Collateral(t.Context(), sgx); got != good || s.count() != 1 {
				t.Errorf("got %v with %d questions, want what the source has", err, s.count())
			}
			if name == "a directory" {
				return // it stays in the way
			}
			if err := cache.Err(); err != nil {
				t.Errorf("the file was not made good: %v", err)
			}
			if info, err := os.Lstat(filepath.Join(dir, fileName)); err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o022 != 0 {
				t.Errorf("got %v, %v, want a plain file that its owner alone writes", info, err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestADirectoryThatCantBeUsed(t *testing.T) {
	good := issued(t, t0)
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for name, dir := range map[string]string{"is a file": file, "is below a file": filepath.Join(file, "x")} {
		c := onDisk(t, up(good), dir, t0)
		if got, err := c.Collateral(t.Context(), sgx); got != good {
			t.Errorf("%s: memory does not do without it: %v", name, err)
		}
		wantError(t, c.Err(), "on disk: ", "not a directory")
	}
}

func TestReadOnlyDirectory(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("the superuser can write everywhere")
	}
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o500))
	c := onDisk(t, up(issued(t, t0)), dir, t0)
	if _, err := c.Collateral(t.Context(), sgx); err != nil {
		t.Error(err)
	}
	if !errors.Is(c.Err(), fs.ErrPermission) {
		t.Errorf("got %v, want the permission that is missing", c.Err())
	}
}

// TestProgramsShareADirectory: what one fetched the other finds, without a question and before the network is back.
func TestProgramsShareADirectory(t *testing.T) {
	dir, now := t.TempDir(), t0
	clock := func(c *CacheConfig) { c.Dir, c.Now = dir, func() time.Time { return now } }
	offline := down()
	ours := cacheOf(t, offline, nil, clock)
	if _, err := ours.Collateral(t.Context(), sgx); err == nil {
		t.Fatal("got something from nowhere")
	}
	for day := range 3 {
		now = t0.Add(time.Duration(day) * 24 * time.Hour).Add(time.Hour)
		want := issued(t, now)
		theirs := cacheOf(t, up(want), nil, clock)
		if _, err := theirs.Collateral(t.Context(), sgx); err != nil {
			t.Fatal(err)
		}
		asked := offline.count()
		ours.Refresh(t.Context())
		got, err := ours.Collateral(t.Context(), sgx)
		if err != nil || !reflect.DeepEqual(got, want) || ours.Err() != nil {
			t.Errorf("day %d: got %v, %v, want what the other program wrote", day, err, ours.Err())
		}
		// The other's file is not yet seen by the other cache only if it was asked in vain.
		if day == 0 && offline.count() != asked {
			t.Errorf("asked %d times more", offline.count()-asked)
		}
	}
	// An older file does not take back what is in memory.
	must(t, os.WriteFile(filepath.Join(dir, fileName), issued(t, t0).Marshal(), 0o644))
	before, err := ours.Collateral(t.Context(), sgx)
	must(t, err)
	now = now.Add(24 * time.Hour)
	ours.Refresh(t.Context())
	if got, _ := ours.Collateral(t.Context(), sgx); got != before {
		t.Error("an older file replaced what is in memory")
	}
	wantError(t, ours.Err(), "which was seen before", "the source is down")
}

// TestARestartWithoutANetwork: an old file is valid, and who asks first waits a moment for the source to be better, no longer.
func TestARestartWithoutANetwork(t *testing.T) {
	good, dir := issued(t, t0), t.TempDir()
	must(t, (&disk{dir}).write(sgx, good, t0.Add(-DefaultRefresh)))
	synctest.Test(t, func(t *testing.T) {
		hanging := &source{answer: func(ctx context.Context, _ dcap.Platform) (*dcap.Collateral, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		c := cacheOf(t, hanging, clock(), func(c *CacheConfig) { c.Dir = dir })
		begin := time.Now()
		if got, err := c.Collateral(t.Context(), sgx); err != nil || !reflect.DeepEqual(got, good) || time.Since(begin) != larder.Grace {
			t.Errorf("got %v after %v, want what is on disk after %v", err, time.Since(begin), larder.Grace)
		}
		begin = time.Now()
		if _, err := c.Collateral(t.Context(), sgx); err != nil || time.Since(begin) != 0 {
			t.Errorf("got %v after %v, want it at once", err, time.Since(begin))
		}
		time.Sleep(larder.FlightTime)
		synctest.Wait()
		if !errors.Is(c.Err(), context.DeadlineExceeded) {
			t.Errorf("got %v, want the reason", c.Err())
		}
	})
}

// TestACrashLeavesTheOldFile: what was being written when the program died is not read, and in nobody's way.
func TestACrashLeavesTheOldFile(t *testing.T) {
	dir := t.TempDir()
	d := &disk{dir}
	good := issued(t, t0)
	must(t, d.write(sgx, good, t0))
	temporary := filepath.Join(dir, d.temporary(sgx))
	must(t, os.WriteFile(temporary, []byte("{half"), 0o600))
	c, at, err := d.read(sgx, time.Time{})
	if err != nil || !reflect.DeepEqual(c, good) || !at.Equal(t0) {
		t.Errorf("got %v, %v", at, err)
	}
	next := issued(t, t0.Add(time.Hour))
	must(t, d.write(sgx, next, t0.Add(time.Hour)))
	if c, _, err := d.read(sgx, time.Time{}); err != nil || !reflect.DeepEqual(c, next) {
		t.Error(err)
	}
	if names := list(t, dir); len(names) != 2 {
		t.Errorf("the directory has %q, want the file and what the crash left", names)
	}
	if c, _, err := d.read(sgx, t0.Add(time.Hour)); c != nil || err != nil {
		t.Errorf("a file that was seen is read again: %v", err)
	}
}

// TestAFileOfTheFuture: how old it is can't be told, so it is used while the source is asked, and
// never holds that off again.
func TestAFileOfTheFuture(t *testing.T) {
	good, dir := issued(t, t0), t.TempDir()
	must(t, (&disk{dir}).write(sgx, good, t0.Add(365*24*time.Hour)))
	for day := range 3 {
		now := t0.Add(time.Duration(day) * 24 * time.Hour)
		source := down()
		if _, err := onDisk(t, source, dir, now).Collateral(t.Context(), sgx); err != nil || source.count() != 1 {
			t.Errorf("day %d, after a restart: got %v with %d questions, want one", day, err, source.count())
		}
	}
	now := t0
	source := down()
	c := cacheOf(t, source, func() time.Time { return now }, func(c *CacheConfig) { c.Dir = dir })
	for day := range 3 {
		now = t0.Add(time.Duration(day) * 24 * time.Hour)
		c.Refresh(t.Context())
		if _, err := c.Collateral(t.Context(), sgx); err != nil {
			t.Fatal(err)
		}
		c.Refresh(t.Context())
		if source.count() != day+1 || !errors.Is(c.Err(), errDown) {
			t.Errorf("day %d: got %d questions in all and %v, want one a day", day, source.count(), c.Err())
		}
	}
}

// TestTwoOfOneNumber: two programs that share a directory may have the same process
// number, in containers; neither reads what the other has not yet written to its end.
func TestTwoOfOneNumber(t *testing.T) {
	dir := t.TempDir()
	all := []*dcap.Collateral{issued(t, t0), with(issued(t, t0), func(c *dcap.Collateral) { c.PCKCertificateChain = strings.Repeat("x", maxFile/2) })}
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			for range 5 {
				if err := (&disk{dir}).write(sgx, c, t0); err != nil {
					t.Error(err)
				}
				if _, _, err := (&disk{dir}).read(sgx, time.Time{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if names := list(t, dir); len(names) != 1 {
		t.Errorf("the directory has %q", names)
	}
}

func TestTooMuchForAFile(t *testing.T) {
	big := with(issued(t, t0), func(c *dcap.Collateral) { c.TCBInfo = strings.Repeat("x", maxFile) })
	wantError(t, (&disk{t.TempDir()}).write(sgx, big, t0), "want at most 1048576")
}

// FuzzFile: whatever is in a file, it is used only if it is what Intel's signer said about the platform.
func FuzzFile(f *testing.F) {
	good := issued(f, t0)
	f.Add(good.Marshal())
	f.Add(hardware(f, simulated.Config{CA: "processor"}).Collateral().Marshal())
	f.Add([]byte("{}"))
	root := hardware(f, simulated.Config{}).Root()
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, fileName), data, 0o600))
		c, err := NewCache(CacheConfig{Source: down(), Root: root, Dir: dir, Now: func() time.Time { return t0 }})
		must(t, err)
		got, err := c.Collateral(context.Background(), sgx)
		if err != nil {
			return
		}
		if got.TCBInfo != good.TCBInfo || got.QEIdentity != good.QEIdentity || !bytes.Equal(got.RootCACRL, good.RootCACRL) {
			t.Error("a file was believed that nobody signed")
		}
	})
}

// disk is the file of a platform, as a cache has it.
type disk struct{ dir string }

func (d *disk) write(p dcap.Platform, c *dcap.Collateral, at time.Time) error {
	return (&larder.Disk{Dir: d.dir, Max: maxFile}).Write(new(kind).Name(p), c.Marshal(), at)
}

func (d *disk) read(p dcap.Platform, known time.Time) (*dcap.Collateral, time.Time, error) {
	data, at, err := (&larder.Disk{Dir: d.dir, Max: maxFile}).Read(new(kind).Name(p), known)
	if err != nil || data == nil {
		return nil, at, err
	}
	c, err := dcap.ParseCollateral(data)
	return c, at, err
}

// temporary is a file as it is while it is being written.
func (d *disk) temporary(p dcap.Platform) string {
	return "." + new(kind).Name(p) + ".0123456789abcdef"
}
