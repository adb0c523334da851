package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/gateway"
)

const (
	deploy    = "../../../../deploy/"
	docs      = "../../../../docs/"
	reference = docs + "gateway-configuration.md"
)

// TestExamples: the examples are good, and say what they mean to say.
func TestExamples(t *testing.T) {
	c, err := Load(deploy+"gateway.example.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Profile != gateway.Strict || !c.Combine || len(c.Routes) != 5 || len(c.ClaimHeaders) != 3 || len(c.TokenFrom) != 5 || len(c.Requirements) != 4 {
		t.Errorf("got %+v", c)
	}
	if got, want := c.Issuers[0].Broker.Policy, filepath.Join(deploy, "policy.yaml"); got != want {
		t.Errorf("policy: got %s, want %s", got, want)
	}
	c, err = Load(deploy+"notary.example.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Profile != gateway.Notary || c.Sessions == nil || c.Sessions.MaxRecv != 16384 || len(c.Requirements) != 1 || len(c.ForUpstream) != 5 {
		t.Errorf("got %+v", c)
	}
}

// TestMoreExamples: those for one purpose are good as well.
func TestMoreExamples(t *testing.T) {
	files, err := filepath.Glob(deploy + "gateway-*.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if _, err := Load(path, nil); err != nil {
			t.Error(err)
		}
	}
}

// TestEveryKeyIsExplained: the example and the reference have each key that there is, and the example's comments no other.
func TestEveryKeyIsExplained(t *testing.T) {
	example, page := read(t, deploy+"gateway.example.yaml"), read(t, reference)
	known := map[string]bool{}
	keys(reflect.TypeFor[schema](), known, map[reflect.Type]bool{})
	for key, ours := range known {
		word := regexp.MustCompile(`\b` + key + `\b`)
		if ours && !word.MatchString(example) {
			t.Errorf("the example does not have %s", key)
		}
		if !word.MatchString(page) {
			t.Errorf("the reference does not have %s", key)
		}
	}
	commented := regexp.MustCompile(`(?m)^ *# *(?:- )?([a-z_]+):(?: [^ ].*)?$`)
	for _, m := range commented.FindAllStringSubmatch(example, -1) {
		if _, ok := known[m[1]]; !ok {
			t.Errorf("the example's comments have %q, which is no key", m[1])
		}
	}
}

// keys collects the keys of a type, and whether they are written today.
func keys(t reflect.Type, known map[string]bool, seen map[reflect.Type]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return
	}
	seen[t] = true
	for _, f := range reflect.VisibleFields(t) {
		name := f.Tag.Get("yaml")
		if name == "" || name == "-" || name == "place" { // the last is a token_from that is written as a text
			continue
		}
		notarys := f.Tag.Get("for") == "others" || t == reflect.TypeFor[server]() || slices.Contains([]string{"server", "host", "port", "notary_key", "plugin"}, name)
		known[name] = known[name] || !notarys
		for old := range strings.SplitSeq(f.Tag.Get("also"), ",") {
			if _, is := known[old]; old != "" && !is {
				known[old] = false // older spellings are for the reference
			}
		}
		keys(f.Type, known, seen)
	}
}

// TestReferenceLoads: each piece of YAML in the reference is good.
func TestReferenceLoads(t *testing.T) {
	page := read(t, reference)
	pieces := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1)
	if len(pieces) < 5 {
		t.Fatalf("got %d pieces of YAML, want those of the reference", len(pieces))
	}
	for _, p := range pieces {
		text := p[1]
		if !strings.Contains(text, "upstream:") && !strings.Contains(text, "authorize:") {
			text = "upstream: http://127.0.0.1:3000\n" + text
		}
		if !strings.Contains(text, "auth") {
			text += "authorization: {whitelist: keys.csv}\n"
		}
		if _, err := Parse("f", []byte(text), nil); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestGuidesLoad: each configuration of a gateway in the guides is good, in a piece of YAML or written by a command.
func TestGuidesLoad(t *testing.T) {
	piece := regexp.MustCompile("(?s)```yaml\n(.*?)```|<<'EOF'\n(.*?)\nEOF\n")
	for page, want := range map[string]int{
		"../../../../README.md":            1,
		docs + "for-service-owners.md":     5,
		docs + "for-notary-operators.md":   3,
		docs + "for-platform-engineers.md": 1,
	} {
		found := 0
		for _, m := range piece.FindAllStringSubmatch(read(t, page), -1) {
			text := m[1] + m[2]
			if strings.HasPrefix(text, "   ") { // it stands in a list
				text = strings.ReplaceAll("\n"+text, "\n   ", "\n")
			}
			if !regexp.MustCompile(`(?m)^auth(orization)?:`).MatchString(text) {
				continue // it is something else's
			}
			found++
			if !strings.Contains(text, "upstream:") {
				text = "upstream: http://127.0.0.1:3000\n" + text
			}
			if _, err := Parse("f", []byte(text), nil); err != nil {
				t.Errorf("%s: %v\n%s", page, err, text)
			}
		}
		if found < want {
			t.Errorf("%s: found %d configurations, want %d or more", page, found, want)
		}
	}
}
