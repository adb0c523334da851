package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
)

// auditFile is where the audit goes: a file that can be opened again under its
// name, after somebody has moved it away, or a writer that is not ours.
type auditFile struct {
	path  string // empty: other
	file  atomic.Pointer[os.File]
	other io.Writer
}

// openAudit opens the audit's file for appending, for the owner alone: it names people.
func (c *config) openAudit(stdout io.Writer) (*auditFile, error) {
	a := &auditFile{path: c.Audit.File, other: stdout}
	return a, a.open(0)
}

// Write writes to the file that is open. It is called by one goroutine at a time.
func (a *auditFile) Write(p []byte) (int, error) {
	if a.path == "" {
		return a.other.Write(p)
	}
	for {
		f := a.file.Load()
		n, err := f.Write(p)
		if n == 0 && errors.Is(err, os.ErrClosed) && a.file.Load() != f {
			continue // it was opened again meanwhile
		}
		return n, err
	}
}

// reopen opens the file anew under its name. If that fails, the one that is open stays. It
// does not wait: a pipe that nobody reads is an error (at the start its reader is waited for).
func (a *auditFile) reopen() error { return a.open(syscall.O_NONBLOCK) }

func (a *auditFile) open(flags int) error {
	if a.path == "" {
		return nil
	}
	f, err := os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY|flags, 0o600)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if old := a.file.Swap(f); old != nil {
		return old.Close()
	}
	return nil
}

func (a *auditFile) Close() error {
	if a.path == "" {
		return nil
	}
	return a.file.Load().Close()
}

// looseAudit warns of an audit file that others may read.
func looseAudit(path string) string {
	info, err := os.Stat(path)
	if path == "" || err != nil || info.Mode().Perm()&0o077 == 0 || !info.Mode().IsRegular() {
		return ""
	}
	return fmt.Sprintf("audit.file: %s names people, and others than its owner may use it (mode %04o): 0600 is what it is made with", path, info.Mode().Perm())
}

// checkAudit tells whether the file could be opened, and makes none.
func (c *config) checkAudit() error {
	if c.Audit.File == "" {
		return nil
	}
	f, err := os.OpenFile(c.Audit.File, os.O_APPEND|os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		return f.Close()
	}
	if errors.Is(err, syscall.ENXIO) {
		return nil // a pipe, whose reader the start waits for
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return c.file.Fault("audit.file", "%w", err)
	}
	if info, err := os.Stat(filepath.Dir(c.Audit.File)); err != nil || !info.IsDir() {
		return c.file.Fault("audit.file", "there is no directory %s", filepath.Dir(c.Audit.File))
	}
	return nil
}
