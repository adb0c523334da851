package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestExamples runs the examples of the help in a shell, as pasted at the root of the
// repository: all but those that need files or servers which the reader has to bring.
func TestExamples(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("the examples are lines of a shell")
	}
	installCTB(t)
	dir := t.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "cmd"), filepath.Join(dir, "cmd")); err != nil {
		t.Fatal(err)
	}
	if code, out := runHere(t, "", append(freePorts, "demo", "--dir", filepath.Join(dir, "demo-files"))...); code != exitOK {
		t.Fatalf("demo: got exit code %d: %s", code, out)
	}
	policy, err := os.ReadFile(filepath.Join(dir, "demo-files", "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	broker := regexp.MustCompile(`https://127\.0\.0\.1:\d+`).FindString(string(policy))
	others := regexp.MustCompile(`^ctb (demo|exchange)|(idp|broker)\.example\.com|--(pcs|kds) |config\.enc|quote\.bin`)
	ran := 0
	for _, cmd := range commands(newRoot(streams{})) {
		for _, line := range examples(cmd.Example) {
			if others.MatchString(line) {
				continue
			}
			want := exitOK
			if strings.Contains(line, "inspect cmd/ctb/testdata/original/jwks.json") {
				want = exitNo // as its comment says: the collateral is missing
			}
			ran++
			sh := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(line, "https://127.0.0.1:8080", broker))
			sh.Dir = dir
			out, err := sh.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := sh.ProcessState.ExitCode(); got != want {
				t.Errorf("%s\ngot exit code %d, want %d: %s", line, got, want, out)
			}
		}
	}
	if ran < 9 {
		t.Errorf("ran %d examples, want most of them", ran)
	}
}

// examples are the command lines of an example, each as one line.
func examples(text string) []string {
	var lines []string
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", "")) {
		line = strings.Join(strings.Fields(line), " ")
		if strings.HasPrefix(line, "ctb ") {
			lines = append(lines, line)
		}
	}
	return lines
}
