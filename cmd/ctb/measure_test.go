package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMeasureFile compares the register with the extension written out.
func TestMeasureFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	program := bytes.Repeat([]byte("a program\n"), 100_000)
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if code := run(t.Context(), []string{"measure", path, "--json"}, nil, &out, &out); code != exitOK {
		t.Fatalf("got exit code %d: %s", code, &out)
	}
	var m measured
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	digest := sha512.Sum384(program)
	register := sha512.Sum384(append(make([]byte, 48), digest[:]...))
	if m.Bytes != int64(len(program)) || m.SHA256 != fmt.Sprintf("%x", sha256.Sum256(program)) || m.TDX == nil || m.TDX.RTMR3 != fmt.Sprintf("%x", register) || m.SGX != nil {
		t.Errorf("got %+v", m)
	}
}

func TestMeasureRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "broker.sig")
	if err := os.WriteFile(path, make([]byte, 1808), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, says string
		code       int
	}{
		{path, "SIGSTRUCT: the two headers", exitNo},
		{dir, "is no file", exitUsage},
		{filepath.Join(dir, "absent"), "no such file", exitUsage},
		{os.DevNull, "is no file", exitUsage},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), []string{"measure", c.path}, nil, &out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: got exit code %d, %s, want %d, … %s", c.path, code, &out, c.code, c.says)
		}
	}
}
