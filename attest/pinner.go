package attest

import (
	"bytes"
	"fmt"
	"strings"
)

// pinner writes a policy file line by line. Strings come from outside, so a
// value is quoted whole and a comment is reduced to what can't end it.
type pinner struct {
	report  *Report
	env     *environment // of the report's TEE
	binding *Binding
	config  PinConfig
	text    bytes.Buffer
}

const noteWidth = 110 // columns of a comment

// line writes one line and never two, whatever is in it.
func (w *pinner) line(s string) { w.text.WriteString(strings.TrimRight(printable(s), " ") + "\n") }

// note writes a comment of as many lines as it needs.
func (w *pinner) note(indent int, format string, args ...any) {
	prefix := strings.Repeat(" ", indent) + "#"
	text := printable(fmt.Sprintf(format, args...))
	lead := text[:len(text)-len(strings.TrimLeft(text, " "))]
	row := prefix + " " + lead
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			row += word
		case len(row)+1+len(word) > noteWidth:
			w.line(row)
			row = prefix + " " + lead + word
		default:
			row += " " + word
		}
	}
	w.line(row)
}

// set writes a key with its value, which is YAML already, or both as a comment.
func (w *pinner) set(indent int, active bool, key, value string) {
	row := strings.Repeat(" ", indent)
	if !active {
		row += "# "
	}
	w.line(row + key + ": " + value)
}

// printable replaces what a comment or a terminal could take for something
// else: control characters, line and paragraph separators, text that runs backwards.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// quoteYAML writes a double-quoted scalar (YAML 1.2 section 7.3.1) in ASCII.
// Such a scalar ends nowhere but at its closing quote, whatever is in it.
func quoteYAML(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func quoteList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quoteYAML(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
