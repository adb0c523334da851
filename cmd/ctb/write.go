package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// writeFile writes a file whole or not at all: a reader of the path, and a
// server that watches it, sees the old content or the new. Everybody may read it. What is
// there and no file, such as /dev/null, is not replaced by one.
func writeFile(path string, data []byte) (err error) {
	if path == "-" { // elsewhere it means a stream
		return usagef("leave it out for the standard output, or write ./-", "--out: got -, want a file")
	}
	if there, err := os.Lstat(path); err == nil && there.Mode().Type()&^fs.ModeSymlink != 0 {
		return usagef("name a file", "--out: %s is none, and is not replaced", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return usagef("name a file in a directory that can be written", "--out: %s: %w", path, withoutPath(err))
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("--out: %w", err)
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// exists tells whether there is something at the path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
