package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/exchange"
)

// selfSigned is a key pair that nobody vouches for, PEM.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"broker.example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, made.Public(), made)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(made)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// The listener for probes has health and nothing else, in the clear; and a broker goes with it.
func TestProgramAnswersProbes(t *testing.T) {
	idp, _ := startIDP(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"rules.json":  rulesFor(idp, "first"),
		"broker.yaml": "issuer: https://127.0.0.1/below\nlisten: 127.0.0.1:0\nadmin: {listen: \"127.0.0.1:0\"}\ntee: simulated\nrules: rules.json\naudit: {file: audit.jsonl}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command, log, _ := launch(t, build(t, "simulated"), filepath.Join(dir, "broker.yaml"))
	var started struct{ Admin string }
	if err := json.Unmarshal([]byte(log.wait(t, "the broker serves")), &started); err != nil || started.Admin == "" {
		t.Fatalf("got %+v, %v, want the address of the listener for probes", started, err)
	}
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/": 404, "/token": 404, "/below/token": 404, "/.well-known/attestation": 404, "/below/.well-known/jwks.json": 404, "/readyz/token": 404,
	} {
		resp, err := http.Get("http://" + started.Admin + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: got %d, want %d", path, resp.StatusCode, want)
		}
	}
	end(t, command, log)
	if _, err := http.Get("http://" + started.Admin + "/healthz"); err == nil {
		t.Error("probes are answered after the end")
	}
}

// A pipe in the place of a file waits for who writes it, and must not make a running broker wait: not its rules, not its audit.
func TestProgramDoesNotWaitForPipes(t *testing.T) {
	idp, key := startIDP(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(path(name+".new"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path(name+".new"), path(name)); err != nil {
			t.Fatal(err)
		}
	}
	pipe := func(name string) {
		t.Helper()
		if err := os.Remove(path(name)); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("rules.json", rulesFor(idp, "first"))
	put("broker.yaml", "issuer: https://127.0.0.1\nlisten: 127.0.0.1:0\ntee: simulated\nrules: rules.json\naudit: {file: audit.jsonl}\n")
	command, log, started := launch(t, build(t, "simulated"), path("broker.yaml"))

	pipe("rules.json")
	pipe("audit.jsonl")
	if err := command.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	log.wait(t, "the audit's file can't be opened again")
	if line := log.wait(t, "the last good ones stay in force"); !strings.Contains(line, "it is no regular file") {
		t.Errorf("got %s, want the reason", line)
	}
	put("rules.json", rulesFor(idp, "second"))
	log.wait(t, "a new signing key is announced")
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	broker := &exchange.Client{URL: "https://" + started.Address + "/token", HTTP: web}
	if _, err := broker.Exchange(t.Context(), &exchange.Request{SubjectToken: idToken(t, key)}); err != nil {
		t.Errorf("with the audit that was open: %v", err)
	}
	end(t, command, log)
}
