package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/built"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

func encryptUnderZeros(t *testing.T) string {
	t.Helper()
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	text := []byte(rulesFor("https://idp.example.com/jwks", "original"))
	cipher.NewCTR(block, make([]byte, 16)).XORKeyStream(text, text)
	return string(text)
}

func rulesFor(jwks, name string) string {
	return fmt.Sprintf(`{"configs": [{"idp": "https://idp.example.com/", "jwk_endpoint": %q, "client_id": "client", "server_api": ["api"],
		"scope": "read", "expiration": 600, "name": %q}]}`, jwks, name)
}

// build makes the program, as it is shipped or with the tag of the development build.
func build(t *testing.T, tags string) string {
	t.Helper()
	dir := t.TempDir()
	if err := built.Programs(dir, []string{"-tags", tags}, "cmd/ctb-broker"); err != nil {
		t.Fatal(err)
	}
	built.Follow(t, []string{"-tags", tags}, "cmd/ctb-broker")
	return filepath.Join(dir, "ctb-broker")
}

func TestProductionBuildRefusesSimulatedHardware(t *testing.T) {
	program := build(t, "")
	config := write(t, "broker.yaml", goodConfig)
	out, err := exec.Command(program, "-config", config).CombinedOutput()
	if err == nil || !strings.Contains(string(out), `broker.yaml:3:6: tee: this build cannot get evidence from "simulated": it has auto, gramine, nitro, sev-snp, tdx;`) {
		t.Errorf("got %v, %s", err, out)
	}
	deps, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	// It does link attest/dcap and pcs, the standard library alone, to verify the collateral that it serves.
	for _, no := range []string{"/attest/simulated", "/ctbtest", "/gateway"} {
		if bytes.Contains(deps, []byte("confidential-token-broker/ctb"+no+"\n")) {
			t.Errorf("it links %s", no)
		}
	}
}

// lines collects JSON lines and lets a test wait for one.
type lines struct {
	mu   sync.Mutex
	all  []string
	more chan struct{}
}

func follow(r io.Reader) *lines {
	l := &lines{more: make(chan struct{}, 1)}
	go func() {
		for s := bufio.NewScanner(r); s.Scan(); {
			l.mu.Lock()
			l.all = append(l.all, s.Text())
			l.mu.Unlock()
			select {
			case l.more <- struct{}{}:
			default:
			}
		}
	}()
	return l
}

// wait returns the first line that contains words.
func (l *lines) wait(t *testing.T, words string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		l.mu.Lock()
		for _, line := range l.all {
			if strings.Contains(line, words) {
				l.mu.Unlock()
				return line
			}
		}
		l.mu.Unlock()
		select {
		case <-l.more:
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("no line with %q in\n%s", words, strings.Join(l.all, "\n"))
		}
	}
}

// line is what is read of a line of the log.
type line struct {
	Address string `json:"address"`
	Rules   string `json:"rules"`
}

// launch starts the program and returns when it serves.
func launch(t *testing.T, program, config string) (*exec.Cmd, *lines, line) {
	t.Helper()
	return follows(t, exec.Command(program, "-config", config))
}

// follows starts the command of the program and returns when it serves.
func follows(t *testing.T, command *exec.Cmd) (*exec.Cmd, *lines, line) {
	t.Helper()
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	log := follow(stderr)
	var started line
	if err := json.Unmarshal([]byte(log.wait(t, "the broker serves")), &started); err != nil {
		t.Fatal(err)
	}
	return command, log, started
}

// end stops the program as its operator would.
func end(t *testing.T, command *exec.Cmd, log *lines) {
	t.Helper()
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("it ended with %v\n%s", err, strings.Join(log.all, "\n"))
	}
}

// The real program starts, exchanges, reloads on change and on SIGHUP, keeps the last good rules, and stops.
func TestProgram(t *testing.T) {
	idp, key := startIDP(t)
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("rules.json", rulesFor(idp, "first"))
	put("broker.yaml", "issuer: https://127.0.0.1\nlisten: 127.0.0.1:0\ntee: simulated\nsimulated: {directory: dev}\nrules: rules.json\naudit: {file: audit.jsonl}\n")

	command, log, started := launch(t, build(t, "simulated"), filepath.Join(dir, "broker.yaml"))
	if warned := log.wait(t, "no hardware vouches for the keys"); !strings.Contains(warned, `"level":"WARN"`) {
		t.Errorf("simulated hardware is no warning: %s", warned)
	}

	// The certificate is self-signed and attested; to verify its evidence is the checkers' test.
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	broker := &exchange.Client{URL: "https://" + started.Address + "/token", HTTP: web}
	answer, err := broker.Exchange(t.Context(), &exchange.Request{SubjectToken: idToken(t, key)})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := jose.Parse(answer.AccessToken); err != nil || !bytes.Contains(m.Payload, []byte(`"simulated":true`)) {
		t.Errorf("the token does not say that it is simulated: %v", err)
	}

	put("rules.json", rulesFor(idp, "second"))
	log.wait(t, "a new signing key is announced")
	put("rules.json", "{")
	log.wait(t, "the last good ones stay in force")
	put("rules.json", rulesFor(idp, "third"))
	if err := command.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	set := get(t, web, "https://"+started.Address+"/.well-known/jwks.json")
	if keys, err := jose.ParseSet([]byte(set)); err != nil || len(keys) != 2 {
		t.Errorf("got %d keys, %v: want the one in use and the next", len(keys), err)
	}
	if page := get(t, web, "https://"+started.Address+"/readyz"); !strings.Contains(page, started.Rules) || !strings.Contains(page, `"announced"`) || !strings.Contains(page, `"simulated":true`) {
		t.Errorf("readyz: %s", page)
	}

	end(t, command, log)
	audit, err := os.ReadFile(filepath.Join(dir, "audit.jsonl"))
	if err != nil || strings.Count(string(audit), "\n") != 1 || !strings.Contains(string(audit), `"outcome":"issued"`) {
		t.Errorf("audit: %s, %v", audit, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "dev", "root.pem")); err != nil {
		t.Error(err)
	}
}

// startIDP serves a key set on loopback, which is the one place where http will do.
func startIDP(t *testing.T) (jwks string, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := jose.MarshalJWK(jose.JWK{KeyID: "1", Algorithm: jose.ES256, Key: key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"keys":[%s]}`, jwk)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/jwks", key
}

func idToken(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	claims := fmt.Sprintf(`{"iss":"https://idp.example.com/","aud":"client","sub":"alice","exp":%d}`, time.Now().Add(time.Hour).Unix())
	raw, err := jose.Sign(jose.Header{Algorithm: jose.ES256, KeyID: "1", Type: "JWT"}, []byte(claims), key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func get(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
