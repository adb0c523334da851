package configfile

import (
	"path/filepath"
	"strings"
	"testing"
)

type example struct {
	Name  string `yaml:"name"`
	Inner struct {
		Count int      `yaml:"count"`
		List  []string `yaml:"list"`
	} `yaml:"inner"`
}

func TestDecodeSaysWhere(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "f: the file is empty",
		"name: a\nnmae: b\n":            `f:2:1: unknown field "nmae"`,
		"name: a\nname: b\n":            "f:2:1: mapping key \"name\" already defined at [1:1]",
		"name: [a]\n":                   "f:1:7: name: got a list, want text",
		"inner:\n  count: many\n":       "f:2:10: inner.count: got text, want a number",
		"inner: {list: [read:all]}\n":   "got keys and values, want text; text with a colon in it needs quotes",
		"name: a\n---\nname: b\n":       "f: it has more than one document, want one",
		"name: 'a\n":                    "f:1:7:",
		"{\"name\": \"a\", \"x\": 1}\n": "f:1:15: unknown field \"x\"",
		"\ufeffname: a\n":               "f: the text begins with a byte order mark (EF BB BF): save it as UTF-8 without BOM",
		"\xff\xfen\x00a\x00:\x00":       "f: the text is UTF-16: save it as UTF-8 without BOM",
		"\xfe\xff\x00n\x00a\x00:":       "f: the text is UTF-16: save it as UTF-8 without BOM",
	} {
		if _, err := Decode("f", []byte(text), new(example)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", text, err, want)
		}
	}
}

func TestFaultPointsAtTheNearestKey(t *testing.T) {
	f, err := Decode("f", []byte("name: a\ninner:\n  count: 7\n  list: [x, y]\n"), new(example))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"name":          "f:1:7: name: wrong",
		"inner.count":   "f:3:10: inner.count: wrong",
		"inner.list[1]": "f:4:13: inner.list[1]: wrong",
		"inner.absent":  "f:3:3: inner.absent: wrong",
		"absent":        "f: absent: wrong",
	} {
		if got := f.Fault(key, "wrong").Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestFaultPointsIntoAList(t *testing.T) {
	f, err := Decode("f", []byte("- name: a\n- name: b\n  inner: {count: 7}\n"), new([]example))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"[1]":             "f:2:3: [1]: wrong",
		"[1].inner.count": "f:3:18: [1].inner.count: wrong",
		"[1].absent":      "f:2:3: [1].absent: wrong",
		"[2]":             "f: [2]: wrong",
	} {
		if got := f.Fault(key, "wrong").Error(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestResolve(t *testing.T) {
	relative, absolute, empty := "a/b", filepath.FromSlash("/c"), ""
	(&File{Path: filepath.FromSlash("/etc/ctb/f")}).Resolve(&relative, &absolute, &empty)
	if relative != filepath.FromSlash("/etc/ctb/a/b") || absolute != filepath.FromSlash("/c") || empty != "" {
		t.Error(relative, absolute, empty)
	}
}

// FuzzDecode: no text makes it panic, and each error has the file in front.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("name: a\ninner: {count: 1, list: [a]}\n"))
	f.Add([]byte("name: &a b\ninner: {<<: {count: 1}, list: [*a, *a]}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("f", text)
		if err == nil {
			err = file.Decode(new(example))
			_ = file.Fault("inner.list[0]", "wrong")
		}
		if err != nil && !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("got %v, want a place", err)
		}
	})
}
