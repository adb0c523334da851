//go:build unix

package larder

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAPipeInPlaceOfAFile: what took a file's place since it was looked at hangs nobody.
func TestAPipeInPlaceOfAFile(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "file"), []byte("{}"), 0o600), syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f, _, err := openPlain(root, "file")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err = openPlain(root, "pipe"); err == nil || !strings.Contains(err.Error(), "pipe: got a p") || !strings.Contains(err.Error(), "want a plain file") {
		t.Errorf("got %v, want that it is a pipe", err)
	}
}
