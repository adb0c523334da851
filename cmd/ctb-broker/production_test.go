//go:build linux

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/exchange"
)

// The program as it is shipped finds Gramine where Gramine is, gets evidence for its keys there, and gives
// tokens that are verified by it, to a client that knows it by its evidence alone.
func TestProductionProgramUnderGramine(t *testing.T) {
	dev := t.TempDir()
	// A name space of its own has a /dev with Gramine's files and nothing else.
	inside := func(args ...string) *exec.Cmd {
		command := exec.Command("/bin/sh", append([]string{"-c", `mount --bind "$0" /dev && exec "$@"`, dev}, args...)...)
		command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		return command
	}
	if said, err := inside("true").CombinedOutput(); err != nil {
		t.Skipf("no folder can take the place of /dev here: %v %s", err, said)
	}
	hardware, _ := hardwareOf(t, simulated.Config{})
	made := serveGramine(t, filepath.Join(dev, "attestation"), hardware)

	idp, key := startIDP(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"rules.json":  rulesFor(idp, "first"),
		"broker.yaml": "issuer: https://127.0.0.1\nlisten: 127.0.0.1:0\nrules: rules.json\naudit: {file: audit.jsonl}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command, log, started := follows(t, inside(build(t, ""), "-config", filepath.Join(dir, "broker.yaml")))
	if line := log.wait(t, "evidence comes from"); !strings.Contains(line, `"evidence comes from an SGX enclave under Gramine (/dev/attestation)","tee":"gramine"`) {
		t.Errorf("got %s", line)
	}
	checker := attest.Config{
		URL:       "https://" + started.Address,
		Platforms: []attest.Verifier{&dcap.Verifier{Root: hardware.Root(), Collateral: hardware.Collateral()}},
		Policy: &attest.Policy{
			Builds:        []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": simulated.DevMRENCLAVE[:]}}},
			SimulatedRoot: "root.pem", Issuer: "https://127.0.0.1",
		},
	}
	broker := &exchange.Client{URL: checker.URL + "/token", HTTP: attestedClient(t, checker)}
	answer, err := broker.Exchange(t.Context(), &exchange.Request{SubjectToken: idToken(t, key)})
	if err != nil {
		t.Fatal(err)
	}
	if err := verifies(t, checker, answer.AccessToken); err != nil {
		t.Error(err)
	}
	if n := made.Load(); n != 2 {
		t.Errorf("%d quotes were made, want one for the signing key and one for TLS", n)
	}
	end(t, command, log)
}

// serveGramine makes a folder that behaves as Gramine's does for one who asks at a time, until the test ends. It counts quotes.
func serveGramine(t *testing.T, dir string, hardware *simulated.Platform) *atomic.Int32 {
	t.Helper()
	quote, data := filepath.Join(dir, "quote"), filepath.Join(dir, "user_report_data")
	err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "attestation_type"), []byte("dcap"), 0o600),
		syscall.Mkfifo(quote, 0o600), syscall.Mkfifo(data, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	state, err := os.OpenFile(data, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	made, stopped := new(atomic.Int32), make(chan struct{})
	var over atomic.Bool
	go func() {
		defer close(stopped)
		for {
			w, err := os.OpenFile(quote, os.O_WRONLY, 0) // waits for a reader, who keeps the pipe that he has opened
			if err != nil || over.Load() {
				w.Close()
				return
			}
			err = errors.Join(syscall.Mkfifo(quote+".next", 0o600), os.Rename(quote+".next", quote))
			var asked [64]byte
			if n, readErr := state.Read(asked[:]); readErr != nil || n != len(asked) || err != nil {
				t.Errorf("report data: got %d bytes, %v, %v", n, readErr, err)
			}
			if e, err := hardware.Quote(t.Context(), asked); err != nil {
				t.Error(err)
			} else if _, err := w.Write(e.Quote); err != nil {
				t.Error(err)
			}
			made.Add(1)
			w.Close()
		}
	}()
	t.Cleanup(func() {
		over.Store(true)
		if r, err := os.OpenFile(quote, os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil { // the reader that it waits for
			<-stopped
			r.Close()
		}
		state.Close()
	})
	return made
}
