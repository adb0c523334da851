package ctb_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	strict "github.com/go-json-experiment/json"
)

func TestRequirements(t *testing.T) {
	tok, err := ctb.UnverifiedToken([]byte(`{
		"exp": 1900000000, "sub": "tlsn", "host": "api.x.com", "n": 7, "big": 18446744073709551615, "half": 0.5, "negative": -3,
		"yes": true, "no": false, "nothing": null, "roles": ["admin", "dev"], "mixed": ["admin", 1], "empty": [],
		"scope": "openid profile read:admin", "scp": ["a", "b"], "my": {"super": {"identity": "Me"}}, "https://x.com/roles": "boss"}`))
	if err != nil {
		t.Fatal(err)
	}
	met := func(r ctb.Requirement) {
		t.Helper()
		if err := r.Validate(); err != nil {
			t.Errorf("%v: %v", r, err)
		}
		if err := tok.Satisfies(r); err != nil {
			t.Errorf("want it met: %v", err)
		}
	}
	unmet := func(r ctb.Requirement, want string) {
		t.Helper()
		if err := r.Validate(); err != nil {
			t.Errorf("%v: %v", r, err)
		}
		if err := tok.Satisfies(r); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	typed := func(name string, kind ctb.ValueType, values ...any) ctb.Requirement {
		return ctb.Requirement{Name: name, Type: kind, Values: values}
	}

	met(ctb.Claim("sub"))
	met(ctb.Claim("sub", "tlsn"))
	met(ctb.Claim("sub", "test", "tlsn"))
	met(ctb.Requirement{Name: "host", Values: []any{"api.x.com"}})
	unmet(ctb.Claim("sub", "test"), "unexpected value for claim 'sub': expected one of [ 'test' ]")
	unmet(ctb.Claim("sub", "TLSN"), "unexpected value for claim 'sub': expected one of [ 'TLSN' ]")
	unmet(ctb.Claim("sub", ""), "unexpected value for claim 'sub': expected one of [ '' ]")
	unmet(ctb.Claim("identity", "a", "b"), "missing claim 'identity'")

	met(ctb.Claim("my.super.identity", "Me", "Him"))
	met(ctb.Requirement{Path: []string{"https://x.com/roles"}, Values: []any{"boss"}})
	unmet(ctb.Claim("my.super", "Me"), "unexpected type for claim 'my.super': want string")
	unmet(ctb.Claim("my.super.other"), "missing claim 'my.super.other'")
	unmet(ctb.Claim("sub.x"), "missing claim 'sub.x'")
	unmet(ctb.Claim("https://x.com/roles"), "missing claim 'https://x.com/roles'")

	unmet(ctb.Claim("n", "7"), "unexpected type for claim 'n': want string")
	unmet(ctb.Claim("yes"), "unexpected type for claim 'yes': want string")
	unmet(ctb.Claim("nothing"), "unexpected type for claim 'nothing': want string")
	unmet(ctb.Claim("roles", "admin"), "unexpected type for claim 'roles': want string")

	met(ctb.Claim("yes", true))
	met(typed("no", ctb.Bool))
	unmet(ctb.Claim("no", true), "unexpected value for claim 'no': expected one of [ 'true' ]")
	unmet(ctb.Claim("sub", true), "unexpected type for claim 'sub': want bool")
	unmet(ctb.Claim("nothing", false), "unexpected type for claim 'nothing': want bool")

	met(ctb.Claim("n", 7))
	met(ctb.Claim("n", uint8(7)))
	met(typed("n", ctb.Int, float64(7)))
	met(typed("negative", ctb.Int, -3))
	met(ctb.Claim("big", uint64(1<<64-1)))
	unmet(ctb.Claim("big", 1), "unexpected value for claim 'big': expected one of [ '1' ]")
	unmet(ctb.Claim("negative", 3), "unexpected value for claim 'negative': expected one of [ '3' ]")
	unmet(ctb.Claim("half", 1), "unexpected type for claim 'half': want int")
	unmet(ctb.Claim("sub", 7), "unexpected type for claim 'sub': want int")

	met(ctb.Claim("half", 0.5))
	met(typed("n", ctb.Number, 7))
	unmet(ctb.Claim("half", 0.25), "unexpected value for claim 'half': expected one of [ '0.25' ]")
	unmet(ctb.Claim("yes", 0.5), "unexpected type for claim 'yes': want number")

	met(typed("roles", ctb.StringArray, "ops", "dev"))
	met(typed("empty", ctb.StringArray))
	unmet(typed("empty", ctb.StringArray, "dev"), "unexpected value for claim 'empty': expected one of [ 'dev' ]")
	unmet(typed("roles", ctb.StringArray, "de"), "unexpected value for claim 'roles': expected one of [ 'de' ]")
	unmet(typed("mixed", ctb.StringArray, "admin"), "unexpected type for claim 'mixed': want string_array")
	unmet(typed("sub", ctb.StringArray, "tlsn"), "unexpected type for claim 'sub': want string_array")

	met(ctb.Scope("read:admin"))
	met(typed("scope", ctb.ScopeList, "openid", "profile"))
	met(typed("scp", ctb.ScopeList, "b", "a"))
	unmet(ctb.Scope("read:adm"), "unexpected value for claim 'scope': expected all of [ 'read:adm' ]")
	unmet(typed("scope", ctb.ScopeList, "openid", "write"), "unexpected value for claim 'scope': expected all of [ 'openid', 'write' ]")
	unmet(typed("n", ctb.ScopeList, "a"), "unexpected type for claim 'n': want scope")
	odd, err := ctb.UnverifiedToken([]byte(`{"exp":1,"scope":"read\u00a0admin write\nall"}`))
	if err != nil || len(odd.Scope) != 2 || odd.Satisfies(ctb.Scope("admin")) == nil || odd.Satisfies(ctb.Scope("all")) == nil {
		t.Errorf("scopes are split at spaces alone (RFC 6749 section 3.3): %q, %v", odd.Scope, err)
	}
	if err := tok.Satisfies(ctb.Claim("sub"), ctb.Claim("yes", true), ctb.Scope("nope")); err == nil || !strings.Contains(err.Error(), "nope") {
		t.Errorf("the last of three was not judged: %v", err)
	}
}

// TestSpellingsOfOneClaim: an escape, which is read in a way of its own, changes nothing.
func TestSpellingsOfOneClaim(t *testing.T) {
	requirements := []ctb.Requirement{
		ctb.Claim("v"), ctb.Claim("v", "a b"), ctb.Claim("v", "a"), ctb.Claim("v", ""), ctb.Claim("w.v", "a b"),
		ctb.Scope("a"), ctb.Scope("b"), ctb.Scope("a b"), ctb.Scope(""), ctb.Scope(" "), {Name: "v", Type: ctb.StringArray},
	}
	for i := range requirements {
		if requirements[i].Name == "scope" {
			requirements[i].Name = "v"
		}
	}
	for plain, escaped := range map[string]string{
		`"a b"`: `"\u0061 b"`, `"a  b"`: `"a\u0020\u0020b"`, `" a"`: `"\u0020a"`, `"b a "`: `"b\u0020a "`, `"ab"`: `"a\u0062"`,
	} {
		one, err := ctb.UnverifiedToken([]byte(`{"exp":1,"v":` + plain + `,"w":{"v":` + plain + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		other, err := ctb.UnverifiedToken([]byte(`{"exp":1,"\u0076":` + escaped + `,"w":{"\u0076":` + escaped + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range requirements {
			a, b := one.Satisfies(r), other.Satisfies(r)
			if (a == nil) != (b == nil) || a != nil && a.Error() != b.Error() {
				t.Errorf("%s: got %v, and as %s %v", plain, a, escaped, b)
			}
		}
	}
}

// TestClaimsOfManyClaims: each is found, wherever it stands, and none that is not there.
func TestClaimsOfManyClaims(t *testing.T) {
	var claims strings.Builder
	claims.WriteString(`{"exp":1`)
	for i := range 100 {
		fmt.Fprintf(&claims, `,"c%d":{"n":%d}`, i, i)
		tok, err := ctb.UnverifiedToken([]byte(claims.String() + "}"))
		if err != nil {
			t.Fatal(err)
		}
		for j := range i + 2 {
			got, ok := tok.Claim(fmt.Sprint("c", j), "n")
			if want := fmt.Sprint(j); ok != (j <= i) || ok && string(got) != want {
				t.Fatalf("c%d of %d: got %q, %v", j, i+1, got, ok)
			}
		}
	}
}

func TestRequirementsThatAreNotWellFormed(t *testing.T) {
	for want, r := range map[string]ctb.Requirement{
		"either a name or a path":                   {},
		"either a name or a path ":                  {Name: "a", Path: []string{"a"}},
		"between the dots is empty":                 {Name: "a..b"},
		`value_type is "regex"`:                     {Name: "a", Type: "regex"},
		"name the scopes":                           {Name: "a", Type: ctb.ScopeList},
		"values[1] is a int, want string":           {Name: "a", Values: []any{"x", 1}},
		"values[0] is a string, want bool":          {Name: "a", Values: []any{"x"}, Type: ctb.Bool},
		"values[0] is a float64, want int":          {Name: "a", Values: []any{1.5}, Type: ctb.Int},
		"values[0] is a float64, want int ":         {Name: "a", Values: []any{1e17}, Type: ctb.Int},
		"values[0] is a bool, want number":          {Name: "a", Values: []any{true}, Type: ctb.Number},
		"values[0] is a <nil>, want string_array":   {Name: "a", Values: []any{nil}, Type: ctb.StringArray},
		"values[0] is a []interface {}, want scope": {Name: "a", Values: []any{[]any{}}, Type: ctb.ScopeList},
	} {
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%+v: got %v, want %q", r, err, want)
		}
	}
}

func TestRequirementsInFiles(t *testing.T) {
	for written, want := range map[string]ctb.ValueType{`"String"`: ctb.String, `"string"`: ctb.String, `"StringArray"`: ctb.StringArray, `"string_array"`: ctb.StringArray, `"INT"`: ctb.Int, `"Scope"`: ctb.ScopeList} {
		text := []byte(`{"name":"a","values":["x"],"value_type":` + written + `}`)
		for name, unmarshal := range map[string]func([]byte, any) error{
			"encoding/json": json.Unmarshal,
			"ours":          func(b []byte, v any) error { return strict.Unmarshal(b, v) },
		} {
			var r ctb.Requirement
			if err := unmarshal(text, &r); err != nil || r.Type != want || r.Name != "a" {
				t.Errorf("%s, %s: got %+v, %v", name, written, r, err)
			}
		}
	}
	var r ctb.Requirement
	if err := strict.Unmarshal([]byte(`{"value_type":"strnig"}`), &r); err == nil || !strings.Contains(err.Error(), `value_type is "strnig", want one of [string int`) {
		t.Errorf("got %v", err)
	}
}

// TestClaimsAreFound: wherever a claim stands, and however its name is written.
func TestClaimsAreFound(t *testing.T) {
	claims := `{"exp":1,"\u0061b":"escaped","nested":{"a":{"b":2}},"long":"` + strings.Repeat("x", 1<<16) + `","late":"far"`
	for i := range 72 {
		claims += fmt.Sprintf(`,"n%d":%d`, i, i)
	}
	token, err := ctb.UnverifiedToken([]byte(claims + `}`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"exp": "1", "ab": `"escaped"`, "nested.a.b": "2", "late": `"far"`, "n0": "0", "n71": "71", "": "", `\u0061b`: "", "n72": "", "nested.a.c": "", "exp.a": "",
	} {
		if got, ok := token.Claim(strings.Split(path, ".")...); string(got) != want || ok != (want != "") {
			t.Errorf("%s: got %.40s, %v, want %s", path, got, ok, want)
		}
	}
}
