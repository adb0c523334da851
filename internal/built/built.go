// Package built makes the real programs for tests that run them as processes.
//
// It owns how they are built, and that a test's kept result is not believed when they
// have changed. How they are started and stopped is each test's.
package built

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/confidential-token-broker/ctb/"

// Programs builds the programs of this module, such as "cmd/ctb", into the folder dir. flags are of go build.
func Programs(dir string, flags []string, programs ...string) error {
	args := append(append([]string{"build"}, flags...), "-o", dir+"/")
	if out, err := exec.Command("go", append(args, paths(programs)...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// Follow opens every file of this module that the programs are built from. The go command
// keeps a test's result until a file changes that the test has opened, but only
// what is opened while tests run counts: call it in a test, not in TestMain.
func Follow(t *testing.T, flags []string, programs ...string) {
	t.Helper()
	const format = `{{if and .Module (not .Standard)}}{{if .Module.Main}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`
	args := append(append([]string{"list"}, flags...), "-deps", "-f", format)
	out, err := exec.Command("go", append(args, paths(programs)...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	names := strings.Fields(string(out))
	if len(names) == 0 {
		t.Fatal("the programs are built from no file")
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
}

func paths(programs []string) []string {
	full := make([]string, len(programs))
	for i, p := range programs {
		full[i] = module + p
	}
	return full
}
