package built_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/internal/built"
)

// TestReleaseIsReproducible builds the broker's release from two copies of the source, in folders of other
// names, once with what has been compiled before and once from nothing, each in an environment that would change the bytes if it
// had a say.
func TestReleaseIsReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the standard library: run it without -short")
	}
	built.Follow(t, nil, "cmd/ctb-broker")
	var sums []string
	for _, c := range []struct {
		folder string
		env    []string
	}{
		{"a", nil},
		{"another/place with a space", []string{
			"GOCACHE=" + t.TempDir(), "CGO_ENABLED=1", "GOAMD64=v3", "GOFLAGS=-race", "GODEBUG=x509negativeserial=1",
			"TZ=Asia/Tokyo", "LC_ALL=C", "SOURCE_DATE_EPOCH=1",
		}},
	} {
		folder := filepath.Join(t.TempDir(), c.folder)
		copySource(t, folder)
		release := exec.Command(filepath.Join(folder, "tools", "release"), "out", "ctb-broker")
		release.Env = append(os.Environ(), c.env...)
		said, err := release.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		program, err := os.ReadFile(filepath.Join(folder, "out", "ctb-broker"))
		if err != nil {
			t.Fatal(err)
		}
		sum := fmt.Sprintf("%x", sha256.Sum256(program))
		for _, words := range []string{sum + "  ctb-broker", "rtmr3"} {
			if !strings.Contains(string(said), words) {
				t.Errorf("it does not say %q:\n%s", words, said)
			}
		}
		for _, trace := range []string{folder, "/GOCACHE"} {
			if bytes.Contains(program, []byte(trace)) {
				t.Errorf("the program has %q in it", trace)
			}
		}
		sums = append(sums, sum)
	}
	if sums[0] != sums[1] {
		t.Errorf("got %s and %s, want the same bytes", sums[0], sums[1])
	}
}

// copySource copies what git would keep of this module, but for its history.
func copySource(t *testing.T, to string) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && (name == ".git" || name == "bin" || name == "node_modules" || name == "interop") {
			return filepath.SkipDir
		}
		rel, err := filepath.Rel(root, path)
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
}
