package fetch

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	if data, err := File(path, 5); err != nil || string(data) != "12345" {
		t.Errorf("got %q, %v", data, err)
	}
	if data, err := RegularFile(path, 5); err != nil || string(data) != "12345" {
		t.Errorf("got %q, %v", data, err)
	}
	for want, read := range map[string]func() ([]byte, error){
		"got more than 4 bytes":            func() ([]byte, error) { return File(path, 4) },
		"got more than 3 bytes":            func() ([]byte, error) { return RegularFile(path, 3) },
		"/dev/null: it is no regular file": func() ([]byte, error) { return RegularFile(os.DevNull, 4) },
		"no file is named":                 func() ([]byte, error) { return File("", 4) },
		"no such file":                     func() ([]byte, error) { return File(path+"x", 4) },
		"is a directory":                   func() ([]byte, error) { return File(filepath.Dir(path), 4) },
	} {
		if _, err := read(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

// To open a pipe that nobody writes would wait for ever.
func TestRegularFileDoesNotWaitForAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := RegularFile(path, 5); err == nil || !strings.Contains(err.Error(), "it is no regular file") {
		t.Errorf("got %v", err)
	}
}
