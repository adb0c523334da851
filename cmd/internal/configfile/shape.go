package configfile

import (
	"reflect"
	"strings"
)

// shape is which keys a struct has. The tags of its fields say so:
//
//	yaml:"key"     the key; fields without it, and "-", are none
//	also:"a,b"     older spellings of it
//	as:"text"      a struct that is written as a text (or number, or truth) is this field alone
//	null:"absent"  null is as if the key were not there; otherwise it is an error
//	for:"others"   the value belongs to another program: any will do
//
// Fields of embedded structs count as its own. A hyphen in a key is as good as an underscore.
type shape struct {
	fields []field
	short  string // the key of the field that is tagged as:"text"
}

type field struct {
	name     string
	also     []string
	index    []int
	nullable bool
	others   bool
}

func shapeOf(t reflect.Type) *shape {
	s := new(shape)
	for _, f := range reflect.VisibleFields(t) {
		name := f.Tag.Get("yaml")
		if name == "" || name == "-" || !f.IsExported() {
			continue
		}
		made := field{name: name, index: f.Index, nullable: f.Tag.Get("null") == "absent", others: f.Tag.Get("for") == "others"}
		if also := f.Tag.Get("also"); also != "" {
			made.also = strings.Split(also, ",")
		}
		if f.Tag.Get("as") == "text" {
			s.short = name
		}
		s.fields = append(s.fields, made)
	}
	return s
}

// field finds the field of a key, in any of its spellings.
func (s *shape) field(key string) (field, bool) {
	key = strings.ReplaceAll(key, "-", "_")
	for _, f := range s.fields {
		if f.name == key {
			return f, true
		}
		for _, other := range f.also {
			if other == key {
				return f, true
			}
		}
	}
	return field{}, false
}

// unfold makes keys and values of the short form of a struct.
func (s *shape) unfold(n *node) *node {
	if s.short == "" || !n.kind.scalar() {
		return n
	}
	return &node{kind: mapping, at: n.at, size: n.size, entries: []entry{{s.short, n.at, n}}}
}

func (s *shape) names() []string {
	var names []string
	for _, f := range s.fields {
		names = append(names, f.name)
	}
	return names
}

// nearest is the key that is most like a misspelt one; empty if none is.
func (s *shape) nearest(key string) string {
	best, least := "", min(2+len(key)/4, 4)
	for _, f := range s.fields {
		for _, name := range append([]string{f.name}, f.also...) {
			if d := distance(strings.ToLower(strings.ReplaceAll(key, "-", "_")), name, least); d < least {
				best, least = name, d
			}
		}
	}
	return best
}

// distance is how many letters must be put in, taken out, changed or swapped with their
// neighbour; enough is as good as any larger number.
func distance(a, b string, enough int) int {
	if len(a) > len(b)+enough || len(b) > len(a)+enough {
		return enough
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			switch {
			case i == 0 || j == 0:
				rows[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				rows[i][j] = rows[i-1][j-1]
				continue
			}
			rows[i][j] = 1 + min(rows[i-1][j], rows[i][j-1], rows[i-1][j-1])
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], 1+rows[i-2][j-2])
			}
		}
	}
	return rows[len(a)][len(b)]
}

// find looks for the mapping that has a key, for one that stands in the wrong place.
func find(t reflect.Type, key, path string, depth int) string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Kind() == reflect.Slice {
			path += "[]"
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || depth > 6 {
		return ""
	}
	s := shapeOf(t)
	if _, ok := s.field(key); ok {
		if path == "" {
			return "the top level"
		}
		return path
	}
	for _, f := range s.fields {
		inner := strings.TrimPrefix(path+"."+f.name, ".")
		if found := find(t.FieldByIndex(f.index).Type, key, inner, depth+1); found != "" {
			return found
		}
	}
	return ""
}
