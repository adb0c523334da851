package blackbox

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestScripts runs every script under each of its profiles.
func TestScripts(t *testing.T) {
	t.Parallel()
	for name, s := range scripts(t) {
		for _, profile := range s.profiles {
			t.Run(name+"/"+profile, func(t *testing.T) {
				t.Parallel()
				newWorld(t, s, profile).play(s)
			})
		}
	}
}

// scripts are all of them, by name.
func scripts(t *testing.T) map[string]*script {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata: got %d scripts, %v", len(files), err)
	}
	found := map[string]*script{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s, err := readScript(data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		found[strings.TrimSuffix(filepath.Base(file), ".txtar")] = s
	}
	return found
}

// testNames are the tests of this package.
func testNames(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(data), -1) {
			names = append(names, m[1])
		}
	}
	return names
}
