package configfile

import (
	"reflect"
	"strings"
	"testing"
)

// TestYAML: what of YAML is understood, and what is refused where it stands.
func TestYAML(t *testing.T) {
	for text, want := range map[string]any{
		"a: 1\nb: -2\nc: 1.5\nd: 18446744073709551615":  map[string]any{"a": uint64(1), "b": int64(-2), "c": 1.5, "d": uint64(18446744073709551615)},
		"a: true\nb: yes\nc: 'true'\nd: null":           map[string]any{"a": true, "b": "yes", "c": "true", "d": nil},
		"- a\n- [b, {c: d}]":                            []any{"a", []any{"b", map[string]any{"c": "d"}}},
		"a: |\n  x\n  y\nb: >\n  x\n  y\n":              map[string]any{"a": "x\ny\n", "b": "x y\n"},
		"a: &x {k: 1}\nb: *x\nc: {<<: *x, k: 2, l: 3}":  map[string]any{"a": map[string]any{"k": uint64(1)}, "b": map[string]any{"k": uint64(1)}, "c": map[string]any{"k": uint64(2), "l": uint64(3)}},
		"a: !!str 12\n7: b":                             map[string]any{"a": "12", "7": "b"},
		"# " + strings.Repeat("-", 90) + " ruler\na: b": map[string]any{"a": "b"},
		"# comment\n---\na: b\n# comment":               map[string]any{"a": "b"},
	} {
		n, err := parse([]byte(text), "")
		if err != nil || !reflect.DeepEqual(n.plain(), want) {
			t.Errorf("%q: got %#v, %v, want %#v", text, n.plain(), err, want)
		}
	}
	for text, want := range map[string]string{
		"a: &x [1]\nb: *y":               "f:2:4: no anchor of the name stands before this alias",
		"a: &x [*x]":                     "f:1:8: no anchor of the name stands before this alias",
		"a: !!binary aGk=":               `f:1:4: got the tag "!!binary", want a value without a tag`,
		"a: .nan":                        "f:1:4: got ",
		"a: 1\na: 2":                     `f:2:1: mapping key "a" already defined`,
		"a: b\n<<: c":                    "f:2:1: got text after <<, want an alias of keys and values",
		strings.Repeat("[", MaxSize):     "f: lists and mappings are more than 64 deep", // without taking long
		strings.Repeat("- ", MaxSize/2):  "f: lists and mappings are more than 64 deep",
		"a: " + strings.Repeat("[", 200): "f:1:",
		"a: " + strings.Repeat("[", 100) + strings.Repeat("]", 100):                                                                                "lists and mappings are more than 64 deep",
		"a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [" + tens("*a") + "]\nc: &c [" + tens("*b") + "]\nd: &d [" + tens("*c") + "]\ne: [" + tens("*d") + "]": "aliases repeat too much",
	} {
		_, err := Parse("f", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v, want %s", text, err, want)
		}
	}
}

func tens(s string) string { return strings.TrimSuffix(strings.Repeat(s+",", 10), ",") }

// kinds has a field of every kind.
type kinds struct {
	Old    string            `yaml:"new_name" also:"old_name,older"`
	Short  short             `yaml:"short"`
	Later  *short            `yaml:"later" null:"absent"`
	Theirs any               `yaml:"theirs" for:"others"`
	Small  uint8             `yaml:"small"`
	Signed int64             `yaml:"signed"`
	Float  float64           `yaml:"float"`
	Words  map[string]string `yaml:"words"`
	embedded
}

type embedded struct {
	Inner bool `yaml:"inner"`
}

type short struct {
	Path string `yaml:"path" as:"text"`
	Size int    `yaml:"size"`
}

func TestShapes(t *testing.T) {
	var k kinds
	f, err := Decode("f", []byte("older: 007\nshort: a\nlater: null\ntheirs: {x: [y]}\nsmall: 255\nsigned: -9\nfloat: 3\nwords: {a: b}\ninner: true\n"), &k)
	want := kinds{Old: "007", Short: short{Path: "a"}, Small: 255, Signed: -9, Float: 3, Words: map[string]string{"a": "b"}, embedded: embedded{Inner: true}}
	if err != nil || !reflect.DeepEqual(k, want) {
		t.Fatalf("got %+v, %v", k, err)
	}
	if !f.Has("new_name") || f.Has("older") || f.Has("later") || f.Written("new_name") != "older" || !reflect.DeepEqual(f.Others(), []string{"theirs"}) {
		t.Error(f.Written("new_name"), f.Others())
	}
	for key, want := range map[string]string{
		"new_name":   "f:1:8: older: wrong",
		"short.path": "f:2:8: short: wrong",
		"short.size": "f:2:8: short.size: wrong",
	} {
		if got := f.Fault(key, "wrong").Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for text, want := range map[string]string{
		"new-name: a\nold_name: b":    "f:2:1: got new-name and old_name, want one of the two: they are the same key",
		"small: 256":                  "f:1:8: small: got 256, want a smaller number",
		"small: -1":                   "f:1:8: small: got -1, want a number that is not negative",
		"small: 1.5":                  "f:1:8: small: got 1.5, want a whole number",
		"signed: 9223372036854775808": "f:1:9: signed: got 9223372036854775808, want a smaller number",
		"older: true":                 "f:1:8: older: got true or false, want text; as text it needs quotes",
		"short:":                      "f:1:8: short: is empty; give it a value or remove it",
		"short: {paht: a}":            `f:1:9: unknown field "paht" in short, did you mean "path"?`,
		"size: 1":                     `f:1:1: unknown field "size"; it belongs in short`,
		"words: a":                    "f:1:8: words: got text, want keys and values",
	} {
		if _, err := Decode("f", []byte(text), new(kinds)); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// TestTabs: the parser leaves a tab within plain text out, so that another name or value would be meant.
func TestTabs(t *testing.T) {
	for text, want := range map[string]string{
		"a: b\tc\n":         "f:1:4: a tab within text needs quotes",
		"a: [b, c\td]\n":    "f:1:8: a tab within text needs quotes",
		"a\tb: c\n":         "f:1:1: a tab within text needs quotes",
		"a:\tb\t# c\n":      "",
		"a: \"b\tc\"\n":     "",
		"a: 'b\tc'\t\n":     "",
		"a: |\n  b\tc\n":    "",
		"a: [b,\tc]\t# d\n": "",
	} {
		got := ""
		if _, err := Parse("f", []byte(text)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
