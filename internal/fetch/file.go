package fetch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// File reads a file of at most max bytes. Errors name the file. To read a pipe waits for who writes it.
func File(path string, max int64) ([]byte, error) {
	if path == "" {
		return nil, errors.New("no file is named")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readFile(f, path, max)
}

// RegularFile is [File] for a program that is running, and must not wait: what is no regular
// file, such as a pipe, is an error. The question is put to the file that was opened, so that
// none can take its place in between.
func RegularFile(path string, max int64) ([]byte, error) {
	if path == "" {
		return nil, errors.New("no file is named")
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // or opening a pipe would wait already
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: it is no regular file, and pipes and devices are read at the start alone", path)
	}
	return readFile(f, path, max)
}

func readFile(f io.Reader, path string, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("%s: got more than %d bytes, want a file of that size at most", path, max)
	}
	return data, nil
}
