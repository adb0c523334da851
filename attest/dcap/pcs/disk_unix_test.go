//go:build unix

package pcs

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestAPipeInPlaceOfAFile: what took a file's place since it was looked at hangs nobody.
func TestAPipeInPlaceOfAFile(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("{}"), 0o600))
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	root, err := os.OpenRoot(dir)
	must(t, err)
	defer root.Close()
	f, _, err := openPlain(root, "file")
	must(t, err)
	must(t, f.Close())
	_, _, err = openPlain(root, "pipe")
	wantError(t, err, "pipe: got a p", "want a plain file")
}
