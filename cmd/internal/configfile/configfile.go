// Package configfile reads the configurations of the servers: files of YAML or
// JSON and variables of the environment, strictly, with every error at its
// file, line and column, or its variable.
//
// It owns the reading alone. What the keys are, and which values make sense, is each program's.
package configfile

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// MaxSize bounds a configuration file, in bytes: the YAML parser's time grows
// with the square of a mapping's size.
const MaxSize = 64 << 10

// File is a configuration file that was read.
type File struct {
	Path    string
	root    *node
	decoded decoder
}

// Read reads the file and decodes it into v, a pointer to a struct.
func Read(path string, v any) (*File, error) {
	text, err := fetch.File(path, MaxSize)
	if err != nil {
		return nil, err
	}
	return Decode(path, text, v)
}

// Decode is Read for a text that is at hand. Unknown keys, keys that stand
// twice, keys without a value and a second document are errors.
func Decode(path string, text []byte, v any) (*File, error) {
	f, err := Parse(path, text)
	if err != nil {
		return nil, err
	}
	return f, f.Decode(v)
}

// Parse reads a text that is decoded later.
func Parse(path string, text []byte) (*File, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%s: it has more than %d bytes", path, MaxSize)
	}
	root, err := parse(text, "")
	if err != nil {
		return nil, placed(path, err)
	}
	return &File{Path: path, root: root}, nil
}

// Empty is a file in which nothing stands, for the environment alone.
func Empty() *File { return &File{root: &node{kind: mapping, size: 1}} }

// Decode puts what was read into v, a pointer to a struct whose tags say which keys there are.
func (f *File) Decode(v any) error {
	target := reflect.ValueOf(v).Elem()
	f.decoded = decoder{index: map[string]record{}, types: target.Type()}
	return placed(f.Path, f.decoded.decode(f.root, target, position{}))
}

// placed makes an error for people of a fault.
func placed(path string, err error) error {
	var at *fault
	if errors.As(err, &at) {
		return at.at.in(path, at.err)
	}
	return err
}

// Has tells whether a key is given. Keys are in their first spelling.
func (f *File) Has(key string) bool {
	_, ok := f.decoded.index[key]
	return ok
}

// Written is a key as it is spelt in the file.
func (f *File) Written(key string) string {
	if r, ok := f.decoded.index[key]; ok {
		return r.written
	}
	return key
}

// Others are the keys that are given and belong to another program, as they are written.
func (f *File) Others() []string { return f.decoded.upstream }

// Fault says what is wrong with the value of a key such as "signing.alg". The
// place of an absent key is that of the nearest one that would hold it.
func (f *File) Fault(key, format string, args ...any) error {
	reason := fmt.Errorf(format, args...)
	for held := key; held != ""; held = held[:max(0, strings.LastIndexAny(held, ".["))] {
		if r, ok := f.decoded.index[held]; ok {
			return r.node.at.in(f.Path, fmt.Errorf("%s: %w", r.written+key[len(held):], reason))
		}
	}
	return place{}.in(f.Path, fmt.Errorf("%s: %w", key, reason))
}

// Resolve makes paths relative to the file's directory, wherever the program was started. Empty ones stay empty.
func (f *File) Resolve(paths ...*string) {
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(f.Path), *p)
		}
	}
}
