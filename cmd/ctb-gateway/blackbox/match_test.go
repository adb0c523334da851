package blackbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// variable is a name in a script.
var variable = regexp.MustCompile(`\$[a-z][a-z0-9_]*`)

// expand replaces the variables that are known.
func expand(vars map[string]string, text string) string {
	return variable.ReplaceAllStringFunc(text, func(name string) string {
		if value, ok := vars[name[1:]]; ok {
			return value
		}
		return name
	})
}

// match compares got with a pattern: "..." is any text, and an unknown
// variable takes one word, for what comes later.
func match(vars map[string]string, pattern, got string) error {
	parts := strings.Split(regexp.QuoteMeta(expand(vars, pattern)), `\.\.\.`)
	var names []string
	for i, part := range parts {
		parts[i] = regexp.MustCompile(`\\\$[a-z][a-z0-9_]*`).ReplaceAllStringFunc(part, func(name string) string {
			names = append(names, name[2:])
			return `([^"\s,;]+)`
		})
	}
	found := regexp.MustCompile(`(?s)^` + strings.Join(parts, `.*`) + `$`).FindStringSubmatch(got)
	if found == nil {
		return fmt.Errorf("got %q, want %q", got, pattern)
	}
	for i, name := range names {
		vars[name] = found[i+1]
	}
	return nil
}

// matchMessage compares headers and body with what stands below the first line of a block.
func matchMessage(vars map[string]string, lines []string, header http.Header, body string) error {
	for i, text := range lines {
		if text == "" {
			return matchBody(vars, strings.Join(lines[i+1:], "\n"), body)
		}
		if name, ok := strings.CutPrefix(text, "!"); ok {
			if got := header.Values(name); got != nil {
				return fmt.Errorf("%s: got %q, want none", name, got)
			}
			continue
		}
		name, pattern, ok := strings.Cut(text, ":")
		if !ok {
			return fmt.Errorf("%q is no header", text)
		}
		values := header.Values(name)
		if values == nil {
			return fmt.Errorf("%s: got none, want %q", name, strings.TrimSpace(pattern))
		}
		if err := match(vars, strings.TrimSpace(pattern), strings.Join(values, ", ")); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// matchBody compares text, or the members of a JSON object. The last line's end does not count.
func matchBody(vars map[string]string, pattern, got string) error {
	var want, have any
	if strings.HasPrefix(pattern, "{") && json.Unmarshal([]byte(pattern), &want) == nil {
		if err := json.Unmarshal([]byte(got), &have); err != nil {
			return fmt.Errorf("body: got %q, want JSON: %w", got, err)
		}
		return matchJSON(vars, "body", want, have)
	}
	if err := match(vars, strings.TrimSuffix(pattern, "\n"), strings.TrimSuffix(got, "\n")); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

func matchJSON(vars map[string]string, where string, want, got any) error {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: got %v, want an object", where, got)
		}
		for name := range maps.Keys(want) {
			if err := matchJSON(vars, where+"."+name, want[name], object[name]); err != nil {
				return err
			}
		}
		return nil
	case string:
		if text, ok := got.(string); ok {
			if err := match(vars, want, text); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			return nil
		}
	}
	if fmt.Sprint(want) != fmt.Sprint(got) {
		return fmt.Errorf("%s: got %v, want %v", where, got, want)
	}
	return nil
}

// matchStatus compares an answer with a block.
func matchStatus(vars map[string]string, lines []string, a *answer) error {
	got := "closed"
	if a.err == nil {
		got = strconv.Itoa(a.status)
	}
	if wanted := strings.Fields(lines[0]); !slices.Contains(wanted, got) && !slices.Contains(wanted, "any") {
		return fmt.Errorf("got %s (%v), want %s\n%v\n%s", got, a.err, lines[0], a.header, a.body)
	}
	return matchMessage(vars, lines[1:], a.header, a.body)
}

// TestMatch holds the language to its words: what does not fit must fail.
func TestMatch(t *testing.T) {
	header := http.Header{"Www-Authenticate": {"Bearer", `ApiKey realm="x"`}, "Retry-After": {"5"}}
	for _, tt := range []struct {
		lines, body string
		ok          bool
	}{
		{"retry-after: 5", "", true},
		{"retry-after: 55", "", false},
		{"RETRY-AFTER: ...", "", true},
		{"retry-after:", "", false},
		{"!retry-after", "", false},
		{"!x", "", true},
		{"x: ...", "", false},
		{`www-authenticate: Bearer, ApiKey realm="x"`, "", true},
		{"www-authenticate: Bearer", "", false},
		{"\n", "", true},
		{"\n", "more", false},
		{"\nHello", "Hello\n", true},
		{"\nHello", "Hello, you", false},
		{"\nHello...", "Hello, you", true},
		{"\n$known", "value", true},
		{"\n$known", "other", false},
		{"\nid=$fresh.", "id=7.", true},
		{"\nid=$fresh2.", "id=.", false},
		{"\n" + `{"a":{"b":"x..."}}`, `{"a":{"b":"xy","c":1},"d":2}`, true},
		{"\n" + `{"a":1}`, `{"a":2}`, false},
		{"\n" + `{"a":"1"}`, `{"a":1}`, true}, // numbers are compared by what is written
		{"\n" + `{"a":1}`, `{}`, false},
		{"\n" + `{"a":1}`, `text`, false},
		{"\n" + `{"id":"$fresh3"}`, `{"id":"8"}`, true},
	} {
		vars := map[string]string{"known": "value"}
		if err := matchMessage(vars, strings.Split(tt.lines, "\n"), header, tt.body); (err == nil) != tt.ok {
			t.Errorf("%q against %q: got %v, want a match %v", tt.lines, tt.body, err, tt.ok)
		}
		for name := range vars {
			if name != "known" && vars[name] != "7" && vars[name] != "8" {
				t.Errorf("$%s is %q", name, vars[name])
			}
		}
	}
}
