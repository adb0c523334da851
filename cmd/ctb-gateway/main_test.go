package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets scripts and tests run the real program as a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ctb-gateway": main})
}

// TestScripts runs the program as an operator does, up to the point where it would listen.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}
