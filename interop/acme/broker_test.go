package acme

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/internal/between"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

const (
	name     = "broker.example.com"
	other    = "sts.example.com"
	issuer   = "https://" + name
	idp      = "https://idp.example.com/"
	patience = time.Minute // bounds everything that is waited for
)

// network leads public names to the broker or to a man, programs is the folder of the real programs.
var (
	network  *between.Network
	programs string
)

func TestMain(m *testing.M) { os.Exit(prepare(m)) }

func prepare(m *testing.M) int {
	dir, err := os.MkdirTemp("", "acme")
	if err == nil {
		defer os.RemoveAll(dir)
		programs = dir
		var out []byte
		// The tag lets ctb-broker run on simulated hardware.
		if out, err = exec.Command("go", "build", "-C", "../..", "-tags", "simulated", "-o", dir+"/", "./cmd/ctb", "./cmd/ctb-broker").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err == nil {
		network, err = between.Join()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// broker is the real program, with the files that it and its clients have.
type broker struct {
	t       *testing.T
	dir     string
	address string
	idToken string

	mu  sync.Mutex
	log []string
}

// startBroker starts one that orders certificates at the door, of both names.
func startBroker(t *testing.T, p *pebble, d *door) *broker {
	t.Helper()
	b := &broker{t: t, dir: t.TempDir()}
	var jwks string
	jwks, b.idToken = startIdP(t)
	seed := bytes.Repeat([]byte("seed"), 8)
	hardware, err := simulated.New(simulated.Config{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"seed": string(seed), "door.pem": d.cert, "ca.pem": p.root,
		"root.pem":    string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hardware.Root().Raw})),
		"policy.yaml": fmt.Sprintf("builds:\n  - tee: sgx\n    mrenclave: %x\nissuer: %s\nsimulated_root: root.pem\n", simulated.DevMRENCLAVE, issuer),
		"rules.json":  fmt.Sprintf(`{"configs": [{"idp": %q, "jwk_endpoint": %q, "client_id": "client", "server_api": ["api"], "scope": "read", "expiration": 600}]}`, idp, jwks),
		"broker.yaml": fmt.Sprintf("issuer: %s\nlisten: 127.0.0.1:0\ntee: simulated\nsimulated: {seed_file: seed}\nrules: rules.json\nstate_dir: state\naudit: {file: audit.jsonl}\n"+
			"tls:\n  names: [%s]\n  acme: {accept_terms: true, directory: %q, contact: ops@example.com, ca_path: door.pem}\n", issuer, other, d.directory),
	} {
		write(t, b.path(file), text)
	}
	b.start()
	return b
}

func (b *broker) path(name string) string { return filepath.Join(b.dir, name) }

func (b *broker) start() {
	b.t.Helper()
	command := exec.Command(filepath.Join(programs, "ctb-broker"), "-config", b.path("broker.yaml"))
	stderr, err := command.StderrPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			b.mu.Lock()
			b.log = append(b.log, lines.Text())
			b.mu.Unlock()
		}
	}()
	b.t.Cleanup(func() {
		_ = command.Process.Kill()
		<-read
		_ = command.Wait()
	})
	var line struct{ Address string }
	if err := json.Unmarshal([]byte(b.wait("the broker serves", 1)), &line); err != nil {
		b.t.Fatal(err)
	}
	b.address = line.Address
}

// wait returns the nth line of the log with the words.
func (b *broker) wait(words string, n int) string {
	b.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		b.mu.Lock()
		seen := 0
		for _, line := range b.log {
			if strings.Contains(line, words) {
				if seen++; seen == n {
					b.mu.Unlock()
					return line
				}
			}
		}
		b.mu.Unlock()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.t.Fatalf("no line %d with %q in\n%s", n, words, strings.Join(b.log, "\n"))
	return ""
}

// shows is the certificate that a client sees who asks for a name.
func (b *broker) shows(name string, protocols ...string) (*x509.Certificate, error) {
	c, err := tls.Dial("tcp", b.address, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: protocols})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

// isAttested tells whether a certificate carries evidence, as none of Pebble's does.
func isAttested(c *x509.Certificate) bool { return c != nil && len(attest.Schemes(c)) > 0 }

// exchange runs ctb.
func (b *broker) exchange(args ...string) (token string, err error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(programs, "ctb"), append([]string{"exchange", "--broker", issuer}, args...)...)
	var out, errs bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(b.idToken), &out, &errs
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, &errs)
	}
	return strings.TrimSpace(out.String()), nil
}

// startIdP serves the keys of an identity provider on loopback, and logs a user in.
func startIdP(t *testing.T) (jwks, idToken string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := jose.MarshalJWK(jose.JWK{KeyID: "1", Algorithm: jose.ES256, Key: key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"keys":[%s]}`, jwk)
	}))
	t.Cleanup(s.Close)
	claims := fmt.Sprintf(`{"iss":%q,"aud":"client","sub":"alice","exp":%d}`, idp, time.Now().Add(time.Hour).Unix())
	idToken, err = jose.Sign(jose.Header{Algorithm: jose.ES256, KeyID: "1", Type: "JWT"}, []byte(claims), key)
	if err != nil {
		t.Fatal(err)
	}
	return s.URL + "/jwks", idToken
}
