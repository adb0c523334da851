package blackbox

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/confidential-token-broker/ctb/internal/built"
)

const program = "cmd/ctb-gateway"

// executable is the program's file.
var executable string

func TestMain(m *testing.M) {
	if os.Getenv(holder) != "" {
		os.Exit(holdAll())
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "ctb-gateway")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	executable = filepath.Join(dir, "ctb-gateway")
	if err := built.Programs(dir, raced, program); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	flag.Parse()
	// These tests wait more than they work.
	if err := flag.Set("test.parallel", "8"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// TestProgramIsFollowed: the results of this package are forgotten when the program's sources change.
func TestProgramIsFollowed(t *testing.T) { built.Follow(t, raced, program) }
