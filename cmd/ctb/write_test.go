package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file takes the place of a file, or of a link and not of what that leads to, whole. Of nothing else.
func TestWriteFile(t *testing.T) {
	t.Chdir(t.TempDir()) // the path of a socket is short
	for _, name := range []string{"old", "target"} {
		if err := os.WriteFile(name, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("target", "link"); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	for _, name := range []string{"new", "old", "link"} {
		if err := writeFile(name, []byte("after")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(name); string(got) != "after" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if got, err := os.ReadFile("target"); string(got) != "before" {
		t.Errorf("got %q, %v where the link led", got, err)
	}
	l, err := net.Listen("unix", "socket")
	if err != nil {
		t.Skip("no sockets in files here: ", err)
	}
	defer l.Close()
	if err := os.Mkdir("directory", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"socket", "directory"} {
		if err := writeFile(name, []byte("after")); err == nil || !strings.Contains(err.Error(), "is not replaced") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if err := writeFile("-", nil); err == nil || !strings.Contains(err.Error(), "want a file") || exists("-") {
		t.Errorf("-: got %v", err)
	}
	if err := writeFile("./-", []byte("after")); err != nil || !exists("-") {
		t.Errorf("./-: got %v", err)
	}
	if left, _ := filepath.Glob(".*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
