package strictjson

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

// file is shaped like the files that this package reads.
type file struct {
	Configs []config `json:"configs"`
	Nested  nested   `json:"nested"`
}

type config struct {
	Name    string            `json:"name"`
	Values  []any             `json:"values"`
	Seconds int64             `json:"seconds"`
	Small   uint8             `json:"small"`
	Share   float64           `json:"share"`
	On      bool              `json:"on"`
	Map     map[string]string `json:"map"`
	Level   level             `json:"level"`
	Raw     []byte            `json:"raw"`
	Hidden  string            `json:"-"`
}

type nested struct {
	shared
	Own string `json:"own"`
}

type shared struct {
	Common string `json:"common"`
}

type level string

func (l *level) UnmarshalText(b []byte) error {
	if string(b) != "low" {
		return errors.New(`want "low"`)
	}
	*l = level(b)
	return nil
}

func TestUnmarshalRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		// The text as a whole.
		{"empty text", ``, `line 1, column 1: the text is empty: want a JSON value`},
		{"white space only", " \n\t", `line 1, column 1: the text is empty: want a JSON value`},
		{"byte order mark", "\xef\xbb\xbf{}", `line 1, column 1: the text begins with a byte order mark (EF BB BF): save it as UTF-8 without BOM`},
		{"UTF-16", "\xff\xfe{\x00}\x00", `line 1, column 1: the text is UTF-16: save it as UTF-8 without BOM`},
		{"another value follows", `{} {}`, `line 1, column 4: the JSON value ends before this: remove what follows`},
		{"a word follows", "{}\nx", `line 2, column 1: the JSON value ends before this: remove what follows`},
		{"null", `null`, `line 1, column 1: got null: give a value or leave the key out`},
		{"array for object", `[]`, `line 1, column 1: got an array, want an object`},

		// Syntax.
		{"ends in an object", `{"configs": [`, `line 1, column 14: configs: the text ends too early: a closing quote, ] or } is missing`},
		{"ends in a string", `{"configs": [{"name": "x`, `line 1, column 25: configs[0].name: the text ends too early: a closing quote, ] or } is missing`},
		{"comma before ]", `{"configs": [{}, ]}`, `line 1, column 16: configs: a comma before a closing bracket: remove it`},
		{"comma before }", "{\"configs\": [],\n}", `line 1, column 15: a comma before a closing bracket: remove it`},
		{"single quotes", `{'configs': []}`, `line 1, column 2: JSON strings stand in double quotes, not in single ones`},
		{"a comment", "// rules\n{}", `line 1, column 1: JSON has no comments: remove it`},
		{"a # comment", "{\n# rules\n}", `line 2, column 1: JSON has no comments: remove it`},
		{"name without quotes", `{configs: []}`, `line 1, column 2: a name or string without double quotes, or a word that is none of true and false`},
		{"comma forgotten", "{\"configs\": [{\n  \"name\": \"a\"\n  \"on\": true}]}", `line 3, column 3: configs[0]: invalid character '"' after object value (expecting ',' or '}')`},
		{"colon forgotten", `{"configs" []}`, `line 1, column 12: configs: invalid character '[' after object name (expecting ':')`},
		{"line break in a string", "{\"configs\": [{\"name\": \"a\nb\"}]}", `line 1, column 25: configs[0].name: invalid character '\n' in string (expecting non-control character)`},
		{"invalid UTF-8", "{\"configs\": [{\"name\": \"\xff\"}]}", `line 1, column 24: configs[0].name: invalid UTF-8`},
		{"bad escape", `{"configs": [{"name": "\x"}]}`, "line 1, column 24: configs[0].name: invalid escape sequence `\\x` in string"},
		{"leading zero", `{"configs": [{"seconds": 01}]}`, `line 1, column 27: configs[0]: invalid character '1' after object value (expecting ',' or '}')`},

		// Names.
		{"duplicate", "{\"configs\": [],\n \"configs\": []}", `line 2, column 2: configs: this key appears twice (first on line 1): remove one`},
		{"duplicate in an any", `{"configs": [{"values": [{"a": 1, "a": 2}]}]}`, `line 1, column 35: configs[0].values[0].a: this key appears twice (first on line 1): remove one`},
		{"another case", `{"Configs": []}`, `line 1, column 2: Configs: unknown key "Configs": did you mean "configs"?`},
		{"a slip", `{"configs": [{"naem": "x"}]}`, `line 1, column 15: configs[0].naem: unknown key "naem": did you mean "name"?`},
		{"other separators", `{"configs": [{"Na-me": "x"}]}`, `line 1, column 15: configs[0].Na-me: unknown key "Na-me": did you mean "name"?`},
		{"an unknown word", `{"configs": [{"wildcard": 1}]}`, `line 1, column 15: configs[0].wildcard: unknown key "wildcard": want one of name, values, seconds, small, share, on, map, level, raw`},
		{"hidden field", `{"configs": [{"Hidden": "x"}]}`, `line 1, column 15: configs[0].Hidden: unknown key "Hidden": want one of name, values, seconds, small, share, on, map, level, raw`},
		{"embedded fields are known", `{"nested": {"other": 1}}`, `line 1, column 13: nested.other: unknown key "other": want one of common, own`},
		{"a name that is no word", `{"configs": [{"https://x.com/y": 1}]}`, `line 1, column 15: configs[0]["https://x.com/y"]: unknown key "https://x.com/y": want one of name, values, seconds, small, share, on, map, level, raw`},

		// Types.
		{"number for string", "{\"configs\": [\n {\"name\": 1}]}", `line 2, column 11: configs[0].name: got a number, want a string`},
		{"string for number", `{"configs": [{"seconds": "3600"}]}`, `line 1, column 26: configs[0].seconds: got a string, want a whole number that fits 64 bits`},
		{"fraction for integer", `{"configs": [{"seconds": 1.5}]}`, `line 1, column 26: configs[0].seconds: got 1.5, want a whole number that fits 64 bits`},
		{"too large", `{"configs": [{"seconds": 99999999999999999999}]}`, `line 1, column 26: configs[0].seconds: got 99999999999999999999, want a whole number that fits 64 bits`},
		{"negative", `{"configs": [{"small": -1}]}`, `line 1, column 24: configs[0].small: got -1, want a whole number of 0 or more that fits 8 bits`},
		{"string for bool", `{"configs": [{"on": "true"}]}`, `line 1, column 21: configs[0].on: got a string, want true or false`},
		{"bool for number", `{"configs": [{"share": true}]}`, `line 1, column 24: configs[0].share: got true, want a number`},
		{"object for array", `{"configs": {}}`, `line 1, column 13: configs: got an object, want an array`},
		{"array for map", `{"configs": [{"map": []}]}`, `line 1, column 22: configs[0].map: got an array, want an object`},
		{"object for a map's string", `{"configs": [{"map": {"a.b": {}}}]}`, `line 1, column 30: configs[0].map["a.b"]: got an object, want a string`},
		{"a type's own error", `{"configs": [{"level": "high"}]}`, `line 1, column 24: configs[0].level: want "low"`},
		{"number for a text type", `{"configs": [{"level": 7}]}`, `line 1, column 24: configs[0].level: got a number, want a string`},
		{"null for a string", "{\"configs\": [{\n\"name\": null}]}", `line 2, column 9: configs[0].name: got null: give a value or leave the key out`},
		{"null in an any", `{"configs": [{"values": ["null", null]}]}`, `line 1, column 34: configs[0].values[1]: got null: give a value or leave the key out`},
		{"digits that would be lost", `{"configs": [{"values": [1, 18446744073709551616]}]}`, `line 1, column 29: configs[0].values[1]: the number has more digits than can be held exactly`},
		{"number out of range", `{"configs": [{"values": [1e999]}]}`, `line 1, column 26: configs[0].values[0]: the number has more digits than can be held exactly`},

		// Positions count characters, not bytes.
		{"after wide characters", `{"configs": [{"name": "日本", "on": 1}]}`, `line 1, column 35: configs[0].on: got a number, want true or false`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Unmarshal([]byte(c.in), new(file))
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("got %T %v, want an *Error", err, err)
			}
			if err.Error() != c.want {
				t.Errorf("\n got %s\nwant %s", err, c.want)
			}
		})
	}
}

func TestUnmarshalAccepts(t *testing.T) {
	in := "\n{\"configs\": [{\"name\": \"null\", \"seconds\": 3600, \"on\": true, \"level\": \"low\",\n" +
		`"values": [1, -1, 9007199254740993, 18446744073709551615, 1.5, 1e3, "x", true, [2], {"a": 3}]}], "nested": {"common": "c"}}` + "\n"
	var got file
	if err := Unmarshal([]byte(in), &got); err != nil {
		t.Fatal(err)
	}
	want := []any{int64(1), int64(-1), int64(9007199254740993), uint64(math.MaxUint64), 1.5, 1e3, "x", true,
		[]any{int64(2)}, map[string]any{"a": int64(3)}}
	if c := got.Configs[0]; !reflect.DeepEqual(c.Values, want) || c.Name != "null" || c.Seconds != 3600 || !c.On {
		t.Errorf("got %#v", c)
	}
	if got.Nested.Common != "c" {
		t.Errorf("got %q, want the embedded struct's field", got.Nested.Common)
	}
}

func TestAt(t *testing.T) {
	const text = "{\n  \"configs\": [\n    {\"name\": \"a, \\\"b\\\": [\", \"map\": {\"a/b~c\": \"x\"}},\n    {\"name\" :\n      7}\n  ]\n}"
	for _, c := range []struct {
		name string
		path []any
		want string
	}{
		{"the whole", nil, "line 1, column 1: wrong"},
		{"an array", []any{"configs"}, "line 2, column 14: configs: wrong"},
		{"an element", []any{"configs", 1}, "line 4, column 5: configs[1]: wrong"},
		{"a value on a line of its own", []any{"configs", 1, "name"}, "line 5, column 7: configs[1].name: wrong"},
		{"a name with separators", []any{"configs", 0, "map", "a/b~c"}, `line 3, column 46: configs[0].map["a/b~c"]: wrong`},
		{"a missing member", []any{"configs", 1, "idp"}, "line 4, column 5: configs[1].idp: wrong"},
		{"a missing element", []any{"configs", 7}, "line 2, column 14: configs[7]: wrong"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := At([]byte(text), "wrong", c.path...).Error(); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

// Where a value is, is found in a moment, however deep the text: to ask each of these where it stands takes minutes.
func TestDeepTextsAreLocated(t *testing.T) {
	before := `{"configs": [{"values": [` + strings.Repeat("[", 9990) + strings.Repeat("1,", 100_000)
	after := strings.Repeat("]", 9990) + `]}]}`
	if got := At([]byte(before+"1"+after), "wrong", "configs", 0, "name").Error(); got != "line 1, column 14: configs[0].name: wrong" {
		t.Errorf("got %s", got)
	}
	err := Unmarshal([]byte(before+`{"a": 1, "a": 2}`+after), new(file))
	if err == nil || !strings.Contains(err.Error(), "this key appears twice (first on line 1)") {
		t.Errorf("got %v", err)
	}
}

// A message holds no string of the text and stays short, whatever the text holds.
func TestErrorIsBoundedAndKeepsSecrets(t *testing.T) {
	long := strings.Repeat("s3cret", 100_000)
	for _, in := range []string{
		`{"configs": [{"seconds": "` + long + `"}]}`,
		`{"configs": [{"level": "` + long + `", "on": "s3cret"}]}`,
		`{"configs": ["` + long + `"]}`,
		`{"configs": [{"on": "` + long,
	} {
		err := Unmarshal([]byte(in), new(file))
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("got %.300v", err)
		}
	}
	for _, in := range []string{
		`{"` + long + `": 1}`,
		`{"configs": [{"map": {"` + long + `": 1}}]}`,
		`{"configs": [{"seconds": ` + strings.Repeat("9", 100_000) + `}]}`,
		`{"configs": [{"values": [` + strings.Repeat(`{"a":`, 5000) + `null` + strings.Repeat(`}`, 5000) + `]}]}`,
		strings.Repeat(`[`, 100_000),
		strings.Repeat(`{"a":`, 100_000),
	} {
		err := Unmarshal([]byte(in), new(file))
		if err == nil || len(err.Error()) > 1000 {
			t.Errorf("got an error of %d bytes: %.300v", len(err.Error()), err)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"configs": [{"name": "a", "values": [1, 2.5, {"b": [null]}]}]}`, "\xef\xbb\xbf{}", `{"configs": [{},]}`,
		`{"configs": [{"naem": "x"}]}`, `[[[[`, `{"nested": {"common": 1}}`, "{\"configs\":\n[{\"map\": {\"\\\"\\\\\": \"\\u00e9\"}}]} x",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := Unmarshal(data, new(file))
		if err == nil {
			if e := At(data, "m", "configs", 0, "name"); e.Line < 1 || e.Column < 1 {
				t.Errorf("position %d:%d", e.Line, e.Column)
			}
			return
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Message == "" {
			t.Fatalf("got %T %v", err, err)
		}
		if lines := 1 + strings.Count(string(data), "\n"); e.Line < 1 || e.Line > lines || e.Column < 1 || e.Column > len(data)+1 {
			t.Errorf("position %d:%d of %q", e.Line, e.Column, data)
		}
		if len(e.Error()) > 4000 {
			t.Errorf("an error of %d bytes", len(e.Error()))
		}
	})
}
