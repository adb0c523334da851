package main

import (
	"runtime"
	"testing"
)

func TestProcessor(t *testing.T) {
	for text, want := range map[string]string{
		"processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7763\nflags\t: fpu\n": "AMD EPYC 7763",
		"processor\t: 0\nBogoMIPS\t: 50.00\n":                                       runtime.GOARCH,
		"":                                                                          runtime.GOARCH,
	} {
		if got := processor(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
