package jose

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestEachMember(t *testing.T) {
	var got []string
	err := EachMember([]byte(` {"a": 1, "b\u0063": [true, {"x": null}], "": "s"} `), func(name []byte, value jsontext.Value) error {
		got = append(got, string(name)+"="+string(value))
		return nil
	})
	if want := `a=1 bc=[true, {"x": null}] ="s"`; err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	stop := errors.New("stop")
	if err := EachMember([]byte(`{"a":1,"b":`), func([]byte, jsontext.Value) error { return stop }); err != stop {
		t.Errorf("the error of f came back as %v", err)
	}
}

// TestMembersMayBeKept: another text, read after it with the same decoder, leaves them as they are.
func TestMembersMayBeKept(t *testing.T) {
	var kept [][]byte
	keep := func(name []byte, value jsontext.Value) error {
		kept = append(kept, name, value)
		return nil
	}
	if err := EachMember([]byte(`{"plain":"one","\u0065scaped":[2]}`), keep); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := EachMember([]byte(`{"PLAIN":"ONE","\u0045SCAPED":[3]}`), func([]byte, jsontext.Value) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := string(bytes.Join(kept, []byte(" "))), `plain "one" escaped [2]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEachMemberRefuses(t *testing.T) {
	for text, want := range map[string]string{
		``:                       "not a JSON object",
		`[]`:                     "not a JSON object",
		`"x"`:                    "not a JSON object",
		`{`:                      "not JSON at byte 1",
		`{"a"}`:                  "not JSON",
		`{"a":1,}`:               "not JSON",
		`{"a":1}x`:               "goes on behind the object",
		`{"a":1}{}`:              "goes on behind the object",
		`{"a":1,"a":2}`:          "stands twice",
		`{"a":1,"\u0061":2}`:     "stands twice",
		`{"a":{"b":1,"b":2}}`:    "stands twice",
		"{\"a\":\"\xff\"}":       "not JSON",
		`{a:1}`:                  "not JSON",
		`{"a":01}`:               "not JSON",
		`{"a":"` + "\x00" + `"}`: "not JSON",
	} {
		if err := EachMember([]byte(text), func([]byte, jsontext.Value) error { return nil }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", text, err, want)
		}
	}
}
