package report

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

// show writes a report with everything in it.
func show(s Style) string {
	var out bytes.Buffer
	w := New(&out, s)
	w.Title("Evidence in a file")
	w.Check(Pass, "genuine", "the maker vouches for it")
	w.Check(Fail, "debug", "a debug build, whose memory its host can read, and much more to say about it", "wanted: a production build")
	w.Fix("run a production build, or set debug: true for this build, which nobody in their right mind does")
	w.Check(Warn, "a label that is long", "below it")
	w.Heading("What runs")
	w.Row("MRENCLAVE", strings.Repeat("ab", 32))
	w.Row("nothing")
	w.List("what helps", []string{"one thing, said in so many words that they do not fit into a line of a terminal", "another"})
	w.List("nothing", nil)
	w.Table([]string{"", "signed by", "until"}, [][]string{{"root", "Intel SGX Root CA", "2049-12-31"}, {"a list", "the root", "2026-03-31"}})
	w.Text("A paragraph … that says something.")
	w.Copy("curl -k https://127.0.0.1/" + strings.Repeat("x", 80))
	w.Verdict(Fail, "not genuine")
	return out.String()
}

func TestReport(t *testing.T) {
	want := `Evidence in a file
  ✓ genuine     the maker vouches for it
  ✗ debug       a debug build, whose memory its host can read, and much more to
                say about it
                wanted: a production build
                → run a production build, or set debug: true for this build,
                  which nobody in their right mind does
  ! a label that is long
                below it

What runs
    MRENCLAVE   ` + strings.Repeat("ab", 32) + `
    nothing
    what helps  1. one thing, said in so many words that they do not fit into a
                   line of a terminal
                2. another
            signed by          until
    root    Intel SGX Root CA  2049-12-31
    a list  the root           2026-03-31
  A paragraph … that says something.
curl -k https://127.0.0.1/` + strings.Repeat("x", 80) + `

✗ not genuine
`
	if got := show(Style{Unicode: true}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReportFitsTheTerminal(t *testing.T) {
	for line := range strings.Lines(show(Style{Unicode: true})) {
		line = strings.TrimRight(line, "\n")
		if n := utf8.RuneCountInString(line); n > Width && !strings.HasPrefix(line, "curl") {
			t.Errorf("got %d columns, want at most %d: %s", n, Width, line)
		}
		if strings.TrimRight(line, " ") != line {
			t.Errorf("got spaces at the end of %q", line)
		}
	}
}

func TestReportWithoutUnicode(t *testing.T) {
	got := show(Style{})
	if strings.ContainsFunc(got, func(c rune) bool { return c > '~' }) {
		t.Errorf("got more than ASCII:\n%s", got)
	}
	for _, want := range []string{"  ok genuine     the", "  no debug       a", "  !  a label", "\nno not genuine", "                 -> run"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
}

func TestReportInColour(t *testing.T) {
	got := show(Style{Unicode: true, Color: true})
	for _, want := range []string{"\x1b[1mWhat runs\x1b[0m", "\x1b[32m✓ \x1b[0mgenuine", "\x1b[31m✗ \x1b[0mdebug", "\x1b[33m! \x1b[0m"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%q", want, got)
		}
	}
	plain := got
	for _, code := range []string{"0", "1", "2", "31", "32", "33"} {
		plain = strings.ReplaceAll(plain, "\x1b["+code+"m", "")
	}
	if want := show(Style{Unicode: true}); plain != want {
		t.Errorf("colour changes more than colours: got\n%s\nwant\n%s", plain, want)
	}
}

// TestClean shows that nothing from outside moves the cursor, hides or turns the text around.
func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"alice":               "alice",
		"Zoë ✓ 日本":            "Zoë ✓ 日本",
		"a\x1b[2Jb":           `a\x1b[2Jb`,
		"a\r\nb\t":            `a\r\nb\t`,
		"a\u202eb":            `a\u202eb`,
		"a\xffb":              `a\xffb`,
		"zero\u200bwidth\x00": `zero\u200bwidth\x00`,
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q): got %q, want %q", in, got, want)
		}
	}
	var out bytes.Buffer
	w := New(&out, Style{})
	w.Title("\x1b")
	w.Row("\x1b", "\x1b")
	w.Check(Fail, "\x1b", "\x1b")
	w.Fix("\x1b")
	w.Text("\x1b")
	w.Verdict(Pass, "\x1b")
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("got a raw escape: %q", &out)
	}
}

func TestDetect(t *testing.T) {
	for _, test := range []struct {
		name string
		env  map[string]string
		want bool // Unicode
	}{
		{"nothing is known", nil, true},
		{"UTF-8", map[string]string{"LANG": "de_DE.UTF-8"}, true},
		{"utf8", map[string]string{"LC_CTYPE": "C.utf8", "LANG": "C"}, true},
		{"C", map[string]string{"LANG": "C"}, false},
		{"the strongest counts", map[string]string{"LC_ALL": "POSIX", "LANG": "C.UTF-8"}, false},
	} {
		got := Detect(&bytes.Buffer{}, func(name string) string { return test.env[name] })
		if got.Unicode != test.want || got.Color {
			t.Errorf("%s: got %+v, want marks %v and no colour", test.name, got, test.want)
		}
	}
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if Detect(file, os.Getenv).Color {
		t.Error("got colour for a file, want it for terminals alone")
	}
	terminal, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0) // a character device, as terminals are
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	for _, env := range []map[string]string{{"NO_COLOR": "1"}, {"TERM": "dumb"}} {
		if Detect(terminal, func(name string) string { return env[name] }).Color {
			t.Errorf("got colour with %v, want none", env)
		}
	}
}

type broken struct{ writes int }

func (b *broken) Write([]byte) (int, error) {
	b.writes++
	return 0, errors.New("no space left")
}

func TestErrorEndsTheReport(t *testing.T) {
	var b broken
	w := New(&b, Style{})
	w.Title("a")
	w.Title("b")
	if w.Err() == nil || b.writes != 1 {
		t.Errorf("got the error %v after %d writes, want the first one's", w.Err(), b.writes)
	}
}
