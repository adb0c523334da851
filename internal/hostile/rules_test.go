package hostile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/confidential-token-broker/ctb/rules"
)

// ruleFiles are files that nobody may load, and that a running broker must
// not take over.
func ruleFiles(w *world) *table[[]byte] {
	good := w.rulesText("")
	with := func(old, new string) []byte {
		if strings.Count(good, old) != 1 {
			panic(fmt.Sprintf("%q stands %d times in the rules", old, strings.Count(good, old)))
		}
		return []byte(strings.Replace(good, old, new, 1))
	}
	idp := fmt.Sprintf("%q", w.idp.URL)
	more := func(text string) []byte { return with(`"name": "readers"`, text) }
	faults := []fault[[]byte]{
		// The text.
		{"a space", []byte(" "), "want a JSON value", nil},
		{"ciphertext", []byte("\x8d\xe0\x01\xff\x00\x17"), "must be imported, with its key", nil},
		{"a byte order mark", []byte("\ufeff" + good), "byte order mark", nil},
		{"UTF-16", []byte("{\x00\"\x00c\x00o\x00"), "line 1, column 2", nil},
		{"invalid UTF-8", more("\"name\": \"\xff\""), "line 2", nil},
		{"NUL behind", []byte(good + "\x00"), "the JSON value ends before this", nil},
		{"cut off", []byte(good[:len(good)-2]), "line 2", nil},
		{"two documents", []byte(good + good), "the JSON value ends before this", nil},
		{"a comment", []byte("// rules\n" + good), "no comments", nil},
		{"over 1 MiB", []byte(good + strings.Repeat(" ", 1<<20)), "1048576", nil},
		{"nested deeply", []byte(strings.Repeat(`{"configs":[`, 20000)), "line 1", nil},
		{"an array", []byte("[" + good + "]"), "got an array, want an object", nil},
		{"1001 rules", []byte(`{"configs":[` + strings.Repeat("{},", 1000) + "{}]}"), "got 1001 rules, want at most 1000", nil},
		{"no rule", []byte(`{"configs":[]}`), "there is no rule", nil},

		// Keys.
		{"an unknown key", more(`"admin": true`), `unknown key "admin"`, nil},
		{"a key twice", more(`"expiration": 9`), "appears twice", nil},
		{"a key twice, escaped", more(`"\u0065xpiration": 9`), "appears twice", nil},
		{"a key in capitals", more(`"Scope": "admin"`), `did you mean "scope"`, nil},
		{"null", more(`"claims": null`), "got null", nil},

		// Values.
		{"an issuer over http", with(`"idp": `+idp, `"idp": "http://idp.example/"`), "plain http is for loopback", nil},
		{"an issuer that looks like loopback", with(`"idp": `+idp, `"idp": "http://127.0.0.1.mallory.example/"`), "plain http is for loopback", nil},
		{"an issuer with credentials", with(`"idp": `+idp, `"idp": "https://admin:s3cret@idp.example/"`), "the URL holds credentials", nil},
		{"keys with credentials", more(`"jwk_endpoint": "https://admin:s3cret@idp.example/"`), "the URL holds credentials", nil},
		{"a file for keys", with(`"idp": `+idp, `"idp": "file:///etc/passwd"`), "begins with https://", nil},
		{"an issuer with a line break", with(`"idp": `+idp, `"idp": "https://idp.example/\r\nX-Admin: 1"`), "printable ASCII", nil},
		{"an audience that cannot be seen", with(`"server_api": ["`, `"server_api": ["\u202e", "`), "cannot be seen", nil},
		{"every audience", with(`"server_api": [`, `"server_api": ["", `), "the string is empty", nil},
		{"a scope with quotes", with(`"read:reports"`, `"read\"reports"`), "is no scope", nil},
		{"a token for ever", with("3600", "315360000000"), "want 1 to 86400 seconds", nil},
		{"a token of 1e2 seconds", with("3600", "1e2"), "whole number", nil},
		{"a negative lifetime", with("3600", "-1"), "want 1 to 86400 seconds", nil},
		{"a lifetime beyond 64 bits", with("3600", strings.Repeat("9", 400)), "whole number", nil},
		{"a claim that is the broker's", more(`"token_claims": {"sub": "email"}`), "the broker's own to set", nil},
		{"a claim that is the broker's, escaped", more(`"token_claims": {"\u0073ub": "email"}`), "the broker's own to set", nil},
		{"a claim of any value type", more(`"claims": [{"name": "x", "values": ["y"], "value_type": "regexp"}]`), "value_type", nil},
		{"a claim of another type", more(`"claims": [{"name": "x", "values": ["true"], "value_type": "bool"}]`), "want bool", nil},
		{"a claim without values of a type", more(`"claims": [{"values": ["y"]}]`), "either a name or a path", nil},
	}
	return &table[[]byte]{kind: "rules", good: []byte(good), faults: faults, doors: ruleDoors(w),
		secret: func([]byte) []string { return []string{"s3cret"} }}
}

func ruleDoors(w *world) []door[[]byte] {
	config := []byte("issuer: https://127.0.0.1\nlisten: 127.0.0.1:0\ntee: simulated\nrules: rules.json\n")
	return []door[[]byte]{
		{name: "rules.Parse", open: func(t *testing.T, text []byte) answer {
			_, err := rules.Parse(text)
			return of(err)
		}},
		{name: "ctb rules check", open: func(t *testing.T, text []byte) answer {
			return call(t, nil, exits{1}, "ctb", "rules", "check", "--json", temp(t, "rules.json", text))
		}},
		{name: "ctb rules digest", open: func(t *testing.T, text []byte) answer {
			return call(t, text, exits{1}, "ctb", "rules", "digest", "-")
		}},
		{name: "ctb-broker -check", open: func(t *testing.T, text []byte) answer {
			path := temp(t, "broker.yaml", config)
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), "rules.json"), text, 0o600); err != nil {
				t.Fatal(err)
			}
			return call(t, nil, exits{1}, "ctb-broker", "-config", path, "-check")
		}},
		{name: "ctb-broker, reload", open: w.reloader(config)},
	}
}

// reloader runs a broker and gives it one rule file after the other.
func (w *world) reloader(config []byte) func(t *testing.T, text []byte) answer {
	path := temp(w.t, "broker.yaml", config)
	file := filepath.Join(filepath.Dir(path), "rules.json")
	put := func(text []byte) { // at once, so that no half of it is seen
		if err := os.WriteFile(file+".new", text, 0o600); err != nil {
			w.t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			w.t.Fatal(err)
		}
	}
	put([]byte(w.rulesText("")))
	b := start(w.t, "ctb-broker", "-config", path)
	var one sync.Mutex
	edition := 0
	return func(t *testing.T, text []byte) answer {
		one.Lock()
		defer one.Unlock()
		if _, ok := b.address(t, "the broker serves"); !ok {
			t.Fatalf("ctb-broker does not run: %s", b.logged())
		}
		from := len(b.logged())
		edition++
		put(append(bytes.Clone(text), bytes.Repeat([]byte(" "), edition)...)) // a new text, though it be the same
		line, _ := b.wait(t, from, `"msg":"the rules `)
		return answer{strings.Contains(line, "were read again"), line}
	}
}
