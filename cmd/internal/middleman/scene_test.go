package middleman

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
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
	"github.com/confidential-token-broker/ctb/internal/built"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

const (
	name     = "broker.example.com"
	issuer   = "https://" + name
	idp      = "https://idp.example.com/"
	client   = "client"
	audience = "https://api.example.com"

	patience = 30 * time.Second // bounds everything that is waited for
)

// network leads to the broker or to a man, programs is the folder of the real programs. The tag lets ctb-broker run on simulated hardware.
var (
	network  *between.Network
	programs string
	all      = []string{"cmd/ctb", "cmd/ctb-broker", "cmd/ctb-gateway"}
	tags     = []string{"-tags", "simulated"}
)

func TestMain(m *testing.M) { os.Exit(prepare(m)) }

func prepare(m *testing.M) int {
	dir, err := os.MkdirTemp("", "middleman")
	if err == nil {
		defer os.RemoveAll(dir)
		programs = dir
		err = built.Programs(dir, tags, all...) // before there is no way out any more
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

// TestProgramsAreFollowed: the results of this package are forgotten when the programs' sources change.
func TestProgramsAreFollowed(t *testing.T) { built.Follow(t, tags, all...) }

// scene is a running broker with its identity provider, and what its clients have.
type scene struct {
	t        *testing.T
	dir      string
	seed     []byte // of the development root, under which others have hardware too
	hardware *simulated.Platform
	address  string            // where the broker listens
	shown    *x509.Certificate // its own certificate
	idToken  string

	ca  *authority
	web *x509.CertPool // which everybody trusts
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, dir: t.TempDir(), seed: bytes.Repeat([]byte("seed"), 8), ca: newAuthority(t)}
	var err error
	if s.hardware, err = simulated.New(simulated.Config{Seed: s.seed}); err != nil {
		t.Fatal(err)
	}
	s.web = x509.NewCertPool()
	s.web.AddCert(s.ca.cert)
	var jwks string
	jwks, s.idToken = startIdP(t)
	s.put("seed", string(s.seed))
	s.put("root.pem", pemOf(s.hardware.Root()))
	s.put("ca.pem", pemOf(s.ca.cert))
	s.put("rules.json", fmt.Sprintf(`{"configs": [{"idp": %q, "jwk_endpoint": %q, "client_id": %q, "server_api": [%q], "scope": "read", "expiration": 600}]}`,
		idp, jwks, client, audience))
	s.put("policy.yaml", fmt.Sprintf("builds:\n  - tee: sgx\n    mrenclave: %x\nissuer: %s\nsimulated_root: root.pem\n", simulated.DevMRENCLAVE, issuer))
	s.put("broker.yaml", "issuer: "+issuer+"\nlisten: 127.0.0.1:0\ntee: simulated\nsimulated: {seed_file: seed}\nrules: rules.json\nstate_dir: state\naudit: {file: audit.jsonl}\n")
	broker := s.start("ctb-broker", "-config", s.path("broker.yaml"))
	s.address = broker.address("the broker serves")
	s.shown = s.handshake().PeerCertificates[0]
	return s
}

func (s *scene) path(name string) string { return filepath.Join(s.dir, name) }

func (s *scene) put(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// handshake looks at the broker as anybody can.
func (s *scene) handshake() tls.ConnectionState {
	s.t.Helper()
	c, err := tls.Dial("tcp", s.address, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState()
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// authority is a CA that everybody trusts, and that gives certificates to whoever holds a name.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a CA that everybody trusts"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = a.sign(t, template, template, a.key.Public())
	return a
}

// certify gives a valid certificate for the broker's name.
func (a *authority) certify(t *testing.T, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	return a.sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, key)
}

func (a *authority) sign(t *testing.T, template, parent *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// certifyAttested makes an attested certificate on hardware, with all that the broker's own says.
func (s *scene) certifyAttested(q attest.Quoter, key crypto.Signer, rules [32]byte) *x509.Certificate {
	s.t.Helper()
	cert, err := attest.Certify(s.t.Context(), q, key, attest.Binding{
		Use: attest.UseTLS, Issuer: issuer, RulesDigest: rules, Names: []string{name},
		Issued: time.Now().Add(-time.Minute), Expires: time.Now().Add(time.Hour),
	}, attest.DICE)
	if err != nil {
		s.t.Fatal(err)
	}
	return cert
}

// startIdP serves the keys of an identity provider on loopback, and logs a user in.
func startIdP(t *testing.T) (jwks, idToken string) {
	t.Helper()
	key := newKey(t)
	jwk, err := jose.MarshalJWK(jose.JWK{KeyID: "1", Algorithm: jose.ES256, Key: key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"keys":[%s]}`, jwk)
	}))
	t.Cleanup(s.Close)
	claims := fmt.Sprintf(`{"iss":%q,"aud":%q,"sub":"alice","exp":%d}`, idp, client, time.Now().Add(time.Hour).Unix())
	idToken, err = jose.Sign(jose.Header{Algorithm: jose.ES256, KeyID: "1", Type: "JWT"}, []byte(claims), key)
	if err != nil {
		t.Fatal(err)
	}
	return s.URL + "/jwks", idToken
}

// process is a program that runs until the test ends.
type process struct {
	t  *testing.T
	mu sync.Mutex
	b  strings.Builder
}

func (s *scene) start(program string, args ...string) *process {
	s.t.Helper()
	p := &process{t: s.t}
	command := exec.Command(filepath.Join(programs, program), args...)
	stderr, err := command.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		s.t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.mu.Lock()
			p.b.WriteString(lines.Text() + "\n")
			p.mu.Unlock()
		}
	}()
	s.t.Cleanup(func() {
		_ = command.Process.Kill()
		<-read
		_ = command.Wait()
	})
	return p
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// wait returns the first line of the log with the words.
func (p *process) wait(words string) string {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for line := range strings.Lines(p.log()) {
			if strings.Contains(line, words) {
				return line
			}
		}
	}
	p.t.Fatalf("no line with %q in\n%s", words, p.log())
	return ""
}

// address is what the line with the words says of it.
func (p *process) address(words string) string {
	p.t.Helper()
	var line struct{ Address string }
	if err := json.Unmarshal([]byte(p.wait(words)), &line); err != nil {
		p.t.Fatal(err)
	}
	return line.Address
}

// call runs ctb to its end.
func (s *scene) call(stdin string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(programs, "ctb"), args...)
	var out, errs bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = io.Reader(strings.NewReader(stdin)), &out, &errs
	err = command.Run()
	return out.String(), errs.String(), err
}
