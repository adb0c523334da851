// Package configfile reads the configuration files of the servers: YAML or
// JSON, strictly, with every error at its file, line and column.
//
// It owns the reading alone. What the keys are, and which values make sense, is each program's.
package configfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// MaxSize bounds a configuration file, in bytes: the YAML parser's time grows
// with the square of a mapping's size.
const MaxSize = 64 << 10

// File is a configuration file that was read.
type File struct {
	Path string
	text []byte
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
// twice and a second document are errors.
func Decode(path string, text []byte, v any) (*File, error) {
	d := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict())
	switch err := d.Decode(v); {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: the file is empty", path)
	case err != nil:
		return nil, explain(path, err)
	}
	if err := d.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: it has more than one document, want one", path)
	}
	return &File{path, text}, nil
}

// explain puts the position in front, as compilers do.
func explain(path string, err error) error {
	var e yaml.Error
	if !errors.As(err, &e) || e.GetToken() == nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	at := e.GetToken().Position
	message := e.GetMessage()
	var kind *yaml.TypeError
	if errors.As(err, &kind) {
		message = fmt.Sprintf("got %s, want %s", inWords(kind.SrcType), inWords(kind.DstType))
		if kind.SrcType.Kind() == reflect.Map {
			message += "; text with a colon in it needs quotes"
		}
	}
	return fmt.Errorf("%s:%d:%d: %s", path, at.Line, at.Column, message)
}

// inWords names a kind of value as people know it who do not know Go.
func inWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return inWords(t.Elem())
	case reflect.Map, reflect.Struct:
		return "keys and values"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	}
	return "a number"
}

// Fault says what is wrong with the value of a key such as "signing.alg". The
// place of an absent key is that of the nearest one that would hold it.
func (f *File) Fault(key, format string, args ...any) error {
	reason := fmt.Errorf(format, args...)
	for at := key; at != ""; {
		if p, err := yaml.PathString("$." + at); err == nil {
			if node, err := p.ReadNode(bytes.NewReader(f.text)); err == nil && node != nil {
				line, column := position(node)
				return fmt.Errorf("%s:%d:%d: %s: %w", f.Path, line, column, key, reason)
			}
		}
		at = at[:max(0, strings.LastIndexAny(at, ".["))]
	}
	return fmt.Errorf("%s: %s: %w", f.Path, key, reason)
}

// position is where a node begins; the token of a block mapping is its first colon.
func position(node ast.Node) (line, column int) {
	if m, ok := node.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		node = m.Values[0].Key
	}
	at := node.GetToken().Position
	return at.Line, at.Column
}

// Resolve makes paths relative to the file's directory, wherever the program was started. Empty ones stay empty.
func (f *File) Resolve(paths ...*string) {
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(f.Path), *p)
		}
	}
}
