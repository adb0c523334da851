package rules_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/rules"
)

// Every rule file in docs/rules.md is valid and without a warning; or the text block that
// follows is what is said about it.
func TestTheGuideIsAccurate(t *testing.T) {
	guide, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	rest := string(guide)
	for {
		var file, want string
		var ok bool
		if _, rest, ok = strings.Cut(rest, "\n```json\n"); !ok {
			break
		}
		file, rest, _ = strings.Cut(rest, "```\n")
		if text, ok := strings.CutPrefix(rest, "\n```text\n"); ok {
			want, rest, _ = strings.Cut(text, "\n```\n")
		}
		if got := verdict(file); got != want {
			t.Errorf("about %s\n got %s\nwant %s", file, got, want)
		}
		files++
	}
	if files < 7 {
		t.Errorf("found %d rule files, want 7 or more", files)
	}
}

// verdict is what a person is told about a rule file.
func verdict(file string) string {
	s, err := rules.Parse([]byte(file))
	if err != nil {
		return err.Error()
	}
	var lines []string
	for _, w := range s.Check() {
		lines = append(lines, fmt.Sprintf("%s: %s", w.Rule, w.Text))
	}
	return strings.Join(lines, "\n")
}
