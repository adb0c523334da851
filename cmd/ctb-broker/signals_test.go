package main

import (
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/exchange"
)

// The real program outlives the signals that end others: SIGHUP while it starts, and
// SIGPIPE when nobody reads the audit any more. With the audit in a file, SIGHUP opens it again.
func TestProgramOutlivesSignals(t *testing.T) {
	program := build(t, "simulated")
	idp, key := startIDP(t)
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // self-signed and attested
	for _, c := range []struct {
		name, audit string
		then        func(t *testing.T, p *running)
	}{
		{"the audit's reader goes", "", func(t *testing.T, p *running) {
			p.stdout.Close()
			for range 2 { // the second would find nobody, had the first ended the program
				_, err := p.broker.Exchange(t.Context(), &exchange.Request{SubjectToken: idToken(t, key)})
				var refusal *exchange.Error
				if !errors.As(err, &refusal) || refusal.Code != exchange.TemporarilyUnavailable {
					t.Errorf("got %v, want %s", err, exchange.TemporarilyUnavailable)
				}
			}
		}},
		{"the audit's file is moved away", "audit: {file: audit.jsonl}\n", func(t *testing.T, p *running) {
			file := filepath.Join(p.dir, "audit.jsonl")
			exchangeOne := func() {
				t.Helper()
				if _, err := p.broker.Exchange(t.Context(), &exchange.Request{SubjectToken: idToken(t, key)}); err != nil {
					t.Fatal(err)
				}
			}
			exchangeOne()
			if err := os.Rename(file, file+".1"); err != nil {
				t.Fatal(err)
			}
			if err := p.command.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			waitFor(t, file)
			exchangeOne()
			for _, path := range []string{file, file + ".1"} {
				if text, err := os.ReadFile(path); err != nil || strings.Count(string(text), `"outcome":"issued"`) != 1 {
					t.Errorf("%s: %v, %s, want one token in each", path, err, text)
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := startProgram(t, program, rulesFor(idp, "first"), c.audit, web)
			c.then(t, p)
			if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := p.command.Wait(); err != nil {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

// A program that waits for its host, who never does what it waits for, can be stopped all the same.
func TestSecondSignalEndsTheProgram(t *testing.T) {
	config := filepath.Join(t.TempDir(), "broker.yaml")
	if err := syscall.Mkfifo(config, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(build(t, "simulated"), "-config", config)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer command.Process.Kill()                       // no harm where it has ended
	writer, err := os.OpenFile(config, os.O_WRONLY, 0) // returns when the program reads, which takes its signals by then
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	ended := make(chan struct{})
	go func() { command.Wait(); close(ended) }()
	late := time.After(time.Minute)
	for {
		command.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
			return
		case <-late:
			t.Fatal("it does not end")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// running is a program that runs.
type running struct {
	dir     string
	command *exec.Cmd
	stdout  io.ReadCloser
	broker  *exchange.Client
}

// startProgram starts the program, with a SIGHUP as early as can be: while it waits for its configuration.
func startProgram(t *testing.T, program, rules, audit string, web *http.Client) *running {
	t.Helper()
	p := &running{dir: t.TempDir()}
	config := filepath.Join(p.dir, "broker.yaml")
	if err := os.WriteFile(filepath.Join(p.dir, "rules.json"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(config, 0o600); err != nil {
		t.Fatal(err)
	}
	p.command = exec.Command(program, "-config", config)
	stderr, err := p.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdout, err = p.command.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.command.Process.Kill() })
	pipe, err := os.OpenFile(config, os.O_WRONLY, 0) // returns when the program reads
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // for a signal that kills to do so
	if _, err := pipe.WriteString("issuer: https://127.0.0.1\nlisten: 127.0.0.1:0\ntee: simulated\nrules: rules.json\n" + audit); err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	var started struct {
		Address string `json:"address"`
	}
	if err := json.Unmarshal([]byte(follow(stderr).wait(t, "the broker serves")), &started); err != nil {
		t.Fatal(err)
	}
	if got := streamsOf(t, started.Address); got != streams {
		t.Errorf("it takes %d requests at a time on one connection, want %d", got, streams)
	}
	p.broker = &exchange.Client{URL: "https://" + started.Address + "/token", HTTP: web}
	return p
}

// streamsOf returns how many requests at a time a server takes on one HTTP/2 connection:
// SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 section 6.5.2) of its first frame.
func streamsOf(t *testing.T, address string) uint32 {
	t.Helper()
	c, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		t.Fatal(err)
	}
	header := make([]byte, 9)
	if _, err := io.ReadFull(c, header); err != nil || header[3] != 4 {
		t.Fatalf("got the frame %x, %v, want SETTINGS", header, err)
	}
	settings := make([]byte, int(header[1])<<8|int(header[2]))
	if _, err := io.ReadFull(c, settings); err != nil {
		t.Fatal(err)
	}
	for ; len(settings) >= 6; settings = settings[6:] {
		if binary.BigEndian.Uint16(settings) == 3 {
			return binary.BigEndian.Uint32(settings[2:])
		}
	}
	t.Fatal("the server sets no limit")
	return 0
}

// waitFor waits until there is a file.
func waitFor(t *testing.T, path string) {
	t.Helper()
	for range 3000 {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("there is no %s", path)
}

// A token that was signed before a restart can be verified after it, by what the state directory kept.
func TestProgramKeepsItsKeysAcrossRestarts(t *testing.T) {
	idp, key := startIDP(t)
	dir := t.TempDir()
	seed := strings.Repeat("s", minSeed)
	for name, text := range map[string]string{
		"seed": seed, "rules.json": rulesFor(idp, "first"),
		"broker.yaml": "issuer: https://127.0.0.1\nlisten: 127.0.0.1:0\ntee: simulated\nsimulated: {seed_file: seed}\nstate_dir: state\nrules: rules.json\naudit: {file: audit.jsonl}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := build(t, "simulated")
	p, _ := hardwareOf(t, simulated.Config{Seed: []byte(seed)})
	checker := attest.Config{Platforms: []attest.Verifier{&dcap.Verifier{Root: p.Root()}}, Policy: &attest.Policy{
		Builds:        []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": simulated.DevMRENCLAVE[:]}}},
		SimulatedRoot: "root.pem", Issuer: "https://127.0.0.1",
	}}
	command, _, started := launch(t, program, filepath.Join(dir, "broker.yaml"))
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // self-signed and attested
	broker := &exchange.Client{URL: "https://" + started.Address + "/token", HTTP: web}
	answer, err := broker.Exchange(t.Context(), &exchange.Request{SubjectToken: idToken(t, key)})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(command.Process.Kill(), waitKilled(command)); err != nil { // it can't tidy up
		t.Fatal(err)
	}

	command, log, started := launch(t, program, filepath.Join(dir, "broker.yaml"))
	checker.URL = "https://" + started.Address
	if err := verifies(t, checker, answer.AccessToken); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	end(t, command, log)

	// Without the directory it is as the warning says.
	if err := os.RemoveAll(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	command, log, started = launch(t, program, filepath.Join(dir, "broker.yaml"))
	checker.URL = "https://" + started.Address
	if err := verifies(t, checker, answer.AccessToken); err == nil {
		t.Error("it verifies though the directory is gone: this test shows nothing")
	}
	end(t, command, log)
}

// waitKilled waits for a process that was killed.
func waitKilled(command *exec.Cmd) error {
	var exit *exec.ExitError
	if err := command.Wait(); !errors.As(err, &exit) {
		return err
	}
	return nil
}

// verifies asks a checker of the keys at the address about a token.
func verifies(t *testing.T, c attest.Config, token string) error {
	t.Helper()
	c.Client = attestedClient(t, c)
	keys, err := attest.NewKeySet(c)
	if err != nil {
		t.Fatal(err)
	}
	v, err := ctb.NewVerifier(ctb.Config{Issuer: c.Policy.Issuer, Audience: "api", Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	_, err = v.Verify(t.Context(), token)
	return err
}

// attestedClient knows the server by its evidence.
func attestedClient(t *testing.T, c attest.Config) *http.Client {
	t.Helper()
	trust, err := attest.TLSConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}
}
