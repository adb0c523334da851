package config_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/config"
)

var update = flag.Bool("update", false, "write what is described to testdata")

// TestGenerations: every generation's file loads as it stands, and what it would
// enforce is said in words that are kept in testdata.
func TestGenerations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			c, err := config.Load(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := c.Describe(&got); err != nil {
				t.Fatal(err)
			}
			golden := path[:len(path)-len(".yaml")] + ".golden"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got.String() != string(want) {
				t.Errorf("%v\ngot\n%s\nwant\n%s", err, got.String(), want)
			}
		})
	}
}
