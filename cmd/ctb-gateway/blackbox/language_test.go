package blackbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// script is a parsed testdata/*.txtar: see the package's documentation.
type script struct {
	files    []txtar.File
	steps    []step
	covers   []string
	profiles []string
}

// profiles are those that a script runs under unless it names its own.
var profiles = []string{"strict", "notary"}

// step is a command, or a block of lines with the same mark.
type step struct {
	line    int
	mark    string   // ">", ">>", "<", "|"; empty: a command
	words   []string // of a command
	text    string   // of a command, all behind its name
	lines   []line   // of a block
	profile string   // of a command that one profile alone has
}

type line struct{ profile, text string }

// of returns the lines that a profile has.
func (s step) of(profile string) []string {
	var lines []string
	for _, l := range s.lines {
		if l.profile == "" || l.profile == profile {
			lines = append(lines, l.text)
		}
	}
	return lines
}

// readScript parses a script. The error has the line.
func readScript(data []byte) (*script, error) {
	archive := txtar.Parse(data)
	s := &script{files: archive.Files, profiles: profiles}
	fresh := true // the next marked line begins a block
	for i, text := range strings.Split(string(archive.Comment), "\n") {
		if text == "" || strings.HasPrefix(text, "#") {
			fresh = true
			continue
		}
		profile := ""
		for _, p := range profiles {
			if rest, ok := strings.CutPrefix(text, p+" "); ok {
				profile, text = p, rest
			}
		}
		mark, rest, _ := strings.Cut(text, " ")
		if slices.Contains([]string{">", ">>", "<", "|"}, mark) {
			if last := len(s.steps) - 1; fresh || s.steps[last].mark != mark {
				s.steps = append(s.steps, step{line: i + 1, mark: mark})
			}
			last := &s.steps[len(s.steps)-1]
			last.lines = append(last.lines, line{profile, rest})
			fresh = false
			continue
		}
		fresh = true
		words := strings.Fields(text)
		switch words[0] {
		case "covers":
			s.covers = append(s.covers, words[1:]...)
		case "profiles":
			s.profiles = words[1:]
		default:
			if commands[words[0]] == nil && repeats[words[0]] == nil {
				return nil, fmt.Errorf("line %d: unknown command %q", i+1, words[0])
			}
			s.steps = append(s.steps, step{line: i + 1, words: words, text: strings.TrimSpace(rest), profile: profile})
		}
	}
	for i, st := range s.steps {
		if st.mark == "" && repeats[st.words[0]] != nil && (i+2 >= len(s.steps) || s.steps[i+1].mark == "" || s.steps[i+2].mark != "<") {
			return nil, fmt.Errorf("line %d: %s wants a request and an answer", st.line, st.words[0])
		}
	}
	return s, nil
}

// looks tells whether the script looks at the upstream before it asks or reads again.
func (s *script) looks(from int, profile string) bool {
	for _, st := range s.steps[from:] {
		if st.mark != "" && len(st.of(profile)) > 0 {
			return st.mark == "|"
		}
	}
	return false
}

// unescape replaces \r, \n, \t, \xNN and \\.
func unescape(s string) (string, error) {
	var b strings.Builder
	for len(s) > 0 {
		if s[0] != '\\' {
			b.WriteByte(s[0])
			s = s[1:]
			continue
		}
		r, multibyte, tail, err := strconv.UnquoteChar(s, 0)
		if err != nil {
			return "", fmt.Errorf("%q: %w", s, err)
		}
		if multibyte {
			b.WriteRune(r)
		} else {
			b.WriteByte(byte(r))
		}
		s = tail
	}
	return b.String(), nil
}

// TestReadScript: a script that is not understood says where, and runs nothing.
func TestReadScript(t *testing.T) {
	for text, want := range map[string]string{
		"start\n\n> GET /\n< 200\n":          "",
		"strict < 200\nnotary < 401\n":       "",
		"\nstrat\n":                          `line 2: unknown command "strat"`,
		"until\n< 200\n":                     "line 1: until wants a request and an answer",
		"start\nagain 503\n> GET /\n| any\n": "line 2: again wants a request and an answer",
	} {
		_, err := readScript([]byte(text))
		if got := fmt.Sprint(err); err == nil && want != "" || err != nil && got != want {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
