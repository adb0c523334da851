// Command testsum reads the output of `go test -json` and prints what a reader
// of a CI log wants: a line for each package, the output of every test that
// failed, the reason of every test that was skipped, and in the last line how
// many tests passed and failed. It exits 1 if anything failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of `go test -json` (see `go doc test2json`), and of the
// build output that `go test -json` mixes in (see `go help buildjson`).
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// summary counts tests. Subtests, examples and fuzz seeds count as tests.
type summary struct {
	passed, failed int
	skipped        []string
	output         map[string][]string // of tests that are not decided yet
	failedIn       map[string]int      // failed tests of each package
}

func main() {
	s := summary{output: map[string][]string{}, failedIn: map[string]int{}}
	if err := s.read(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
		os.Exit(2)
	}
	for _, line := range s.skipped {
		fmt.Println("skipped:", line)
	}
	fmt.Printf("%d passed, %d failed\n", s.passed, s.failed)
	if s.failed > 0 || s.passed == 0 {
		os.Exit(1)
	}
}

func (s *summary) read(r io.Reader, w io.Writer) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(w, lines.Text()) // the go command's own words, not a test's
			continue
		}
		s.add(e, w)
	}
	return lines.Err()
}

func (s *summary) add(e event, w io.Writer) {
	name := e.Package + " " + e.Test
	switch {
	case e.Action == "build-output":
		fmt.Fprint(w, e.Output)
	case e.Action == "output":
		s.output[name] = append(s.output[name], e.Output)
	case e.Test == "":
		s.closePackage(e, name, w)
	case e.Action == "pass":
		s.passed++
		delete(s.output, name)
	case e.Action == "skip":
		s.skipped = append(s.skipped, name+": "+reason(s.output[name]))
		delete(s.output, name)
	case e.Action == "fail":
		s.failed++
		s.failedIn[e.Package]++
		fmt.Fprint(w, strings.Join(s.output[name], ""))
		delete(s.output, name)
	}
}

// closePackage prints a package's verdict. A package that failed without a
// failing test (it did not build, it crashed, it raced outside a test) counts as one failure.
func (s *summary) closePackage(e event, name string, w io.Writer) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(w, "ok    %s %.1fs\n", e.Package, e.Elapsed)
	case "fail":
		if s.failedIn[e.Package] == 0 {
			s.failed++
		}
		for key, output := range s.output { // of tests that a crash cut short too
			if strings.HasPrefix(key, e.Package+" ") {
				fmt.Fprint(w, strings.Join(output, ""))
			}
		}
		fmt.Fprintf(w, "FAIL  %s %.1fs\n", e.Package, e.Elapsed)
	case "skip": // no test files
	default:
		return
	}
	delete(s.output, name)
}

// reason is what t.Skip said: the indented lines of a test's output.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		if strings.HasPrefix(line, "    ") && !strings.HasPrefix(strings.TrimSpace(line), "---") {
			said = append(said, strings.TrimSpace(line))
		}
	}
	return strings.Join(said, " ")
}
