package deploy

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMeasureScript extends a register as the hardware would by what the script writes, and
// compares it with what `ctb measure` foretells.
func TestMeasureScript(t *testing.T) {
	if _, err := exec.LookPath("basenc"); err != nil {
		t.Skip("there is no basenc (coreutils 8.31) here")
	}
	dir := t.TempDir()
	program, register := filepath.Join(dir, "a program"), filepath.Join(dir, "rtmr3")
	if err := os.WriteFile(program, bytes.Repeat([]byte("program"), 1000), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(register, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	measure := exec.Command(filepath.Join(root, "deploy/guest/measure-rtmr3"), program)
	measure.Env = append(os.Environ(), "RTMR3="+register)
	if said, err := measure.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	written, err := os.ReadFile(register)
	if err != nil || len(written) != sha512.Size384 {
		t.Fatalf("it wrote %d bytes, %v, want 48", len(written), err)
	}
	value := sha512.Sum384(append(make([]byte, sha512.Size384), written...))

	out, err := exec.Command("go", "run", "-C", root, "./cmd/ctb", "measure", program, "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var foretold struct{ TDX struct{ RTMR3 string } }
	if err := json.Unmarshal(out, &foretold); err != nil {
		t.Fatal(err)
	}
	if foretold.TDX.RTMR3 != hex.EncodeToString(value[:]) {
		t.Errorf("ctb measure foretells %s, the script makes it %x", foretold.TDX.RTMR3, value)
	}
	for _, args := range [][]string{{}, {filepath.Join(dir, "absent")}} {
		measure := exec.Command(filepath.Join(root, "deploy/guest/measure-rtmr3"), args...)
		measure.Env = append(os.Environ(), "RTMR3="+register)
		if err := measure.Run(); err == nil {
			t.Errorf("%q: it does not fail", args)
		}
	}
	if again, err := os.ReadFile(register); err != nil || !bytes.Equal(again, written) {
		t.Errorf("a call that failed changed the register: %v", err)
	}
}

// TestUnits has systemd read the units, and say how much they could do.
func TestUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("there is no systemd-analyze here")
	}
	units, err := filepath.Glob(filepath.Join(root, "deploy/*/*.service"))
	if err != nil || len(units) != 3 {
		t.Fatalf("got the units %q, %v, want three", units, err)
	}
	// The programs that they name are there, in a copy of each.
	dir := t.TempDir()
	var copies []string
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		for _, program := range []string{"/usr/bin/ctb-broker -config", "/usr/bin/ctb-gateway", "/usr/libexec/ctb/measure-rtmr3"} {
			text = bytes.ReplaceAll(text, []byte("ExecStart="+program), []byte("ExecStart=/bin/true"))
		}
		to := filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(to, text, 0o644); err != nil {
			t.Fatal(err)
		}
		copies = append(copies, to)
	}
	said, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, copies...)...).CombinedOutput()
	for line := range strings.Lines(string(said)) {
		if strings.Contains(line, dir) || strings.Contains(line, "ctb-") {
			t.Errorf("systemd says %s", line)
		}
	}
	if err != nil && !t.Failed() {
		t.Logf("of other units: %s", said)
	}
}
