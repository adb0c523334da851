package jose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// EachMember calls f for each member of the JSON object in data, in order. The
// whole text is checked: valid UTF-8, and no name twice in any object, so that
// two readers of one text cannot see two meanings. Name and value may be kept, and are not to be
// modified: they are views of data, but for a name with an escape in it, which
// is written anew. Errors of f end the walk and come back as they are.
func EachMember(data []byte, f func(name []byte, value jsontext.Value) error) error {
	return EachMemberAt(data, func(name []byte, value jsontext.Value, _, _ int) error { return f(name, value) })
}

// EachMemberAt is EachMember for who wants to find the members again: a value is at
// data[at:at+len(value)], and a name, as it is written between its quotes, at
// data[nameAt:nameAt+len(name)]. nameAt is -1 where there is an escape in the name.
func EachMemberAt(data []byte, f func(name []byte, value jsontext.Value, nameAt, at int) error) error {
	r := readers.Get().(*reader)
	defer readers.Put(r)
	r.source = *bytes.NewBuffer(data)
	r.Reset(&r.source) // the default options refuse duplicate names and invalid UTF-8

	if kind := r.PeekKind(); kind != '{' {
		if err := r.SkipValue(); err != nil {
			return JSONError(err)
		}
		return errors.New("not a JSON object")
	}
	if _, err := r.ReadToken(); err != nil {
		return JSONError(err)
	}
	for r.PeekKind() != '}' {
		quoted, err := r.ReadValue()
		if err != nil {
			return JSONError(err)
		}
		nameAt := int(r.InputOffset()) - len(quoted) + 1
		name, err := unquote(quoted)
		if err != nil {
			return err
		}
		if len(name) != len(quoted)-2 {
			nameAt = -1
		}
		value, err := r.ReadValue()
		if err != nil {
			return JSONError(err)
		}
		if err := f(name, value, nameAt, int(r.InputOffset())-len(value)); err != nil {
			return err
		}
	}
	if _, err := r.ReadToken(); err != nil {
		return JSONError(err)
	}
	if _, err := r.ReadToken(); err != io.EOF {
		return fmt.Errorf("not JSON at byte %d: the text goes on behind the object", r.InputOffset())
	}
	return nil
}

// Member returns the value of the object's member with this name, a view of
// data. It ends where the name is found: what follows is not looked at.
func Member(data []byte, name string) (value jsontext.Value, ok bool) {
	err := EachMember(data, func(n []byte, v jsontext.Value) error {
		if string(n) == name {
			value = v
			return errFound
		}
		return nil
	})
	return value, err == errFound
}

var errFound = errors.New("found")

// reader is a decoder with what it reads from.
type reader struct {
	jsontext.Decoder
	source bytes.Buffer
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// StringValue returns the string in value.
func StringValue(name []byte, value jsontext.Value) (string, error) {
	if value.Kind() != '"' {
		return "", fmt.Errorf("%s has the wrong type, want a string", name)
	}
	s, err := unquote(value)
	return string(s), err
}

// unquote returns what a JSON string says: a view of it, unless something in it is escaped.
func unquote(quoted jsontext.Value) ([]byte, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1 : len(quoted)-1], nil
	}
	s, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return nil, JSONError(err)
	}
	return s, nil
}

// JSONError says what is wrong with a JSON text without quoting it.
func JSONError(err error) error {
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return fmt.Errorf("JSON at byte %d: a member name stands twice", syntactic.ByteOffset)
		}
		return fmt.Errorf("not JSON at byte %d", syntactic.ByteOffset)
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) && semantic.JSONPointer != "" {
		return fmt.Errorf("JSON member %s has the wrong type", semantic.JSONPointer)
	}
	return errors.New("not a JSON object")
}
