package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const after = " S 1 2 3 0 -1 4194560 5 6 7 8 250 50 9 10 20 0 4 0 100 1000000 500"
	for name, stat := range map[string]string{
		"a plain name":         "4711 (nginx)" + after,
		"spaces in the name":   "4711 (nginx: worker process)" + after,
		"a name that misleads": "4711 (a) R 9 9 9 9 9 9 9 9 9 9 99 99 (b)" + after,
		"a newline at the end": "4711 (nginx)" + after + "\n",
	} {
		if got, err := parseStat(stat); err != nil || got != 3*time.Second {
			t.Errorf("%s: got %v, %v, want 3s", name, got, err)
		}
	}
	for name, stat := range map[string]string{
		"nothing":         "",
		"no name":         "4711 nginx" + after,
		"cut short":       "4711 (nginx) S 1 2 3 0 -1 4194560 5 6 7 8 250",
		"no number":       "4711 (nginx)" + strings.Replace(after, "250", "two", 1),
		"a negative time": "4711 (nginx)" + strings.Replace(after, "250", "-250", 1),
		"a time too long": "4711 (nginx)" + strings.Replace(after, "250", "18446744073709551615", 1),
	} {
		if got, err := parseStat(stat); err == nil {
			t.Errorf("%s: got %v, want an error", name, got)
		}
	}
}

// TestProcess starts a program that listens nowhere, and ends it.
func TestProcess(t *testing.T) {
	for _, name := range []string{"sleep", "true"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(err)
		}
	}
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip(err)
	}
	addresses, err := freeAddresses(2)
	if err != nil {
		t.Fatal(err)
	}
	if addresses[0] == addresses[1] {
		t.Errorf("got %s twice", addresses[0])
	}

	p, err := start(t.Context(), "sleep", "60")
	if err != nil {
		t.Fatal(err)
	}
	if used, err := p.cpu(); err != nil || used > time.Second {
		t.Errorf("cpu of a program that sleeps: got %v, %v", used, err)
	}
	p.stop()
	p.stop() // again, as the end of a run does after an error
	if _, err := p.cpu(); err == nil {
		t.Error("cpu of a program that has ended: got no error")
	}

	p, err = start(t.Context(), "true")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	if err := p.ready(t.Context(), addresses[0]); err == nil || !strings.Contains(err.Error(), "true ended before it listened") {
		t.Errorf("ready: got %v, want that it ended", err)
	}
}
