package configfile

import (
	"fmt"
	"reflect"
	"strings"
)

// Set puts the value of a variable of the environment in the place of what the
// file says of a key; v is what [File.Decode] will get. Keys of the path are in
// any case and any of their spellings. It returns the key in its first spelling.
//
// The value is read as YAML, but where plain text is wanted it needs no quotes.
func (f *File) Set(v any, variable string, path []string, value string) (key string, err error) {
	at := place{variable: variable}
	if strings.TrimSpace(value) == "" {
		return "", at.in(f.Path, errEmpty)
	}
	if len(value) > MaxSize {
		return "", at.in(f.Path, fmt.Errorf("it has more than %d bytes", MaxSize))
	}
	t := reflect.TypeOf(v).Elem()
	n := f.root
	for i, step := range path {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return "", at.in(f.Path, fmt.Errorf("%s has no keys of its own: give the whole as YAML in one variable", key))
		}
		s := shapeOf(t)
		fd, ok := s.field(strings.ToLower(step))
		if !ok {
			d := decoder{types: reflect.TypeOf(v).Elem()}
			step = strings.ToLower(step)
			return "", at.in(f.Path, fmt.Errorf("unknown field %.60q%s", step, d.remedy(s, step, key)))
		}
		key = position{key, key}.child(fd.name, fd.name).key
		t = t.FieldByIndex(fd.index).Type
		e := n.own(fd, s, at)
		if i == len(path)-1 {
			made, err := readValue(t, value, variable)
			if err != nil {
				return "", at.in(f.Path, err)
			}
			e.value, e.at = made, at
			return key, nil
		}
		if n, err = e.open(t, at); err != nil {
			return "", at.in(f.Path, fmt.Errorf("%s: %w", key, err))
		}
	}
	return "", at.in(f.Path, fmt.Errorf("it names no key"))
}

// own is the entry of a field in a mapping, made if it is not there.
func (n *node) own(fd field, s *shape, at place) *entry {
	for i := range n.entries {
		if other, ok := s.field(n.entries[i].key); ok && other.name == fd.name {
			return &n.entries[i]
		}
	}
	n.entries = append(n.entries, entry{fd.name, at, &node{kind: null, at: at, size: 1}})
	return &n.entries[len(n.entries)-1]
}

// open makes keys and values of an entry, for one of them is set. They are a copy,
// for an alias may share them.
func (e *entry) open(t reflect.Type, at place) (*node, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case e.value.kind == null:
		e.value = &node{kind: mapping, at: at, size: 1}
	case t.Kind() == reflect.Struct:
		e.value = shapeOf(t).unfold(e.value)
	}
	if e.value.kind != mapping {
		return nil, fmt.Errorf("there is %s already, want %s for a variable to change", e.value.kind, mapping)
	}
	own := *e.value
	own.entries = append([]entry(nil), own.entries...)
	e.value = &own
	return e.value, nil
}

func readValue(t reflect.Type, value, variable string) (*node, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	quoted := strings.HasPrefix(value, `"`) || strings.HasPrefix(value, "'")
	if (t.Kind() == reflect.String || t.Kind() == reflect.Interface) && !quoted {
		return &node{kind: text, text: value, value: value, at: place{variable: variable}, size: 1}, nil
	}
	n, err := parse([]byte(value), variable)
	if err != nil {
		return nil, fmt.Errorf("it is no YAML value") // the parser's words may quote the value
	}
	return n, nil
}
