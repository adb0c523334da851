// Package report writes what a command found for people to read: titles,
// headings, aligned rows, and checks with their verdicts.
//
// It owns the look alone: columns, marks, colour, line breaks, and that nothing
// which came from outside can move the cursor of a terminal. It judges nothing.
package report

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Width is the number of columns that text is broken at. A word that is
// longer stays whole, so that it can be copied.
const Width = 80

// labels is the width of the column of labels: with the marks before it, 64 hex
// digits end at [Width].
const labels = 12

// A Verdict is the outcome of one check.
type Verdict int

// The verdicts.
const (
	Pass Verdict = iota // it is as it should be
	Fail                // it is not
	Warn                // it was not checked, or deserves a look
)

// Style is what the reader's terminal can show.
type Style struct {
	Color   bool // ANSI colours
	Unicode bool // marks such as ✓; otherwise words
}

// Detect tells the style for w. Colour is for terminals, unless NO_COLOR is set
// (no-color.org) or TERM is dumb. A locale that names another encoding than
// UTF-8 gets words instead of marks.
func Detect(w io.Writer, getenv func(string) string) Style {
	s := Style{Unicode: true}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			s.Unicode = strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
			break
		}
	}
	if getenv("NO_COLOR") != "" || getenv("TERM") == "dumb" {
		return s
	}
	s.Color = IsTerminal(w)
	return s
}

// IsTerminal tells whether a stream is a terminal, or looks like one.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Writer writes a report. The first error of the writer below it ends it
// silently; Err tells.
type Writer struct {
	w     io.Writer
	style Style
	begun bool
	err   error
}

// New returns a writer on w.
func New(w io.Writer, s Style) *Writer { return &Writer{w: w, style: s} }

// Err returns the first error of the writer below.
func (r *Writer) Err() error { return r.err }

// Title begins a report, or the part of it that is about one subject.
func (r *Writer) Title(text string) {
	r.gap()
	r.put(r.paint(bold, Clean(text)))
}

// Heading begins a group of rows, after an empty line.
func (r *Writer) Heading(text string) {
	r.gap()
	r.put(r.paint(bold, Clean(text)))
}

// Row writes a fact. Further values go below the first, in its column.
func (r *Writer) Row(label string, values ...string) {
	r.row(r.blankMark(), "", label, values)
}

// Check writes the verdict of a check and what it found.
func (r *Writer) Check(v Verdict, label string, details ...string) {
	r.row(r.mark(v), colors[v], label, details)
}

// Fix writes, below a check, what would make it pass.
func (r *Writer) Fix(text string) {
	arrow := "→ "
	if !r.style.Unicode {
		arrow = "-> "
	}
	indent := strings.Repeat(" ", r.column())
	for i, line := range wrap(r.plain(Clean(text)), Width-r.column()-utf8.RuneCountInString(arrow)) {
		if i > 0 {
			arrow = strings.Repeat(" ", utf8.RuneCountInString(arrow))
		}
		r.put(indent + r.paint(dim, arrow+line))
	}
}

// List writes numbered items, each with its lines below one another.
func (r *Writer) List(label string, items []string) {
	var lines []string
	for i, item := range items {
		number := fmt.Sprintf("%d. ", i+1)
		for _, line := range wrap(r.plain(Clean(item)), Width-r.column()-len(number)) {
			lines = append(lines, number+line)
			number = strings.Repeat(" ", len(number))
		}
	}
	for i, line := range lines {
		head := strings.Repeat(" ", r.column())
		if i == 0 {
			head = fmt.Sprintf("  %s%-*s", r.blankMark(), labels, Clean(label))
		}
		r.put(head + line)
	}
}

// Table writes rows of cells in columns, below their names. A cell is never broken.
func (r *Writer) Table(names []string, rows [][]string) {
	width := make([]int, len(names))
	for _, row := range append([][]string{names}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(Clean(cell)))
		}
	}
	line := func(row []string) string {
		var b strings.Builder
		for i, cell := range row {
			cell = Clean(cell)
			b.WriteString(cell + strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2))
		}
		return "  " + r.blankMark() + strings.TrimRight(b.String(), " ")
	}
	r.put(r.paint(dim, line(names)))
	for _, row := range rows {
		r.put(line(row))
	}
}

// Text writes a paragraph, indented like rows.
func (r *Writer) Text(text string) {
	for _, line := range wrap(r.plain(Clean(text)), Width-2) {
		r.put("  " + line)
	}
}

// Copy writes a line exactly as it is, for the reader to copy. The caller answers for its content.
func (r *Writer) Copy(line string) { r.put(line) }

// Verdict writes the last line, which says it all.
func (r *Writer) Verdict(v Verdict, text string) {
	r.gap()
	prefix := r.mark(v)
	lines := wrap(r.plain(Clean(text)), Width-utf8.RuneCountInString(prefix))
	for i, line := range lines {
		if i > 0 {
			prefix = strings.Repeat(" ", utf8.RuneCountInString(prefix))
		}
		r.put(r.paint(colors[v], prefix+line))
	}
}

func (r *Writer) row(mark, color, label string, values []string) {
	label, column := Clean(label), r.column()
	pad := labels - utf8.RuneCountInString(label)
	head := "  " + r.paint(color, mark) + label + strings.Repeat(" ", max(0, pad))
	if pad <= 0 || len(values) == 0 { // a label that fills its column has a line of its own
		r.put(strings.TrimRight(head, " "))
		head = strings.Repeat(" ", column)
	}
	for _, v := range values {
		for _, line := range wrap(r.plain(Clean(v)), Width-column) {
			r.put(head + line)
			head = strings.Repeat(" ", column)
		}
	}
}

// column is where values begin.
func (r *Writer) column() int { return 2 + len(r.blankMark()) + labels }

func (r *Writer) blankMark() string {
	if r.style.Unicode {
		return "  "
	}
	return "   "
}

func (r *Writer) mark(v Verdict) string {
	if r.style.Unicode {
		return [...]string{"✓ ", "✗ ", "! "}[v]
	}
	return [...]string{"ok ", "no ", "!  "}[v]
}

// plain replaces the few characters beyond ASCII that our own texts use.
func (r *Writer) plain(s string) string {
	if r.style.Unicode {
		return s
	}
	return strings.NewReplacer("…", "...", "→", "->", "‖", "||", "✓", "ok", "✗", "no").Replace(s)
}

func (r *Writer) gap() {
	if r.begun {
		r.put("")
	}
}

func (r *Writer) put(line string) {
	r.begun = true
	if r.err == nil {
		_, r.err = fmt.Fprintln(r.w, line)
	}
}

// ANSI SGR parameters.
const (
	bold = "1"
	dim  = "2"
)

var colors = [...]string{Pass: "32", Fail: "31", Warn: "33"}

func (r *Writer) paint(code, s string) string {
	if !r.style.Color || code == "" || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Clean makes text from outside safe to print: whatever is not printable, such as
// the escape sequences of a terminal or marks that reverse the direction of
// writing, is shown as its escape.
func Clean(s string) string {
	safe := func(c rune) bool { return unicode.IsPrint(c) && c != utf8.RuneError }
	if !strings.ContainsFunc(s, func(c rune) bool { return !safe(c) }) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		c, n := utf8.DecodeRuneInString(s)
		if safe(c) {
			b.WriteString(s[:n])
		} else {
			q := strconv.Quote(s[:n])
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	return b.String()
}

// wrap breaks text at spaces into lines of at most width columns.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}
