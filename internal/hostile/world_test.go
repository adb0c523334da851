package hostile

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/internal/devidp"
	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// issuer is the "iss" of the access tokens here, whose key is attested.
const issuer = "https://broker.example.com"

// world is what is good: keys, evidence, files and servers, fresh for every run.
type world struct {
	t   *testing.T // the test that everything lives as long as
	now time.Time
	dir string // of the files

	seed     []byte // of the development root
	platform *simulated.Platform
	policy   *attest.Policy
	key      *devidp.Key       // signs access tokens
	stranger *devidp.Key       // nobody trusts it
	cert     *x509.Certificate // attests key
	jwks     []byte            // publishes key with its evidence
	idp      *ctbtest.IdP      // signs id tokens

	files, plain *publisher // serve documents over HTTPS and, as loopback may, HTTP
	tls          tls.Certificate
	trust        *x509.CertPool          // for files and for the gateway
	broker       func(*testing.T) string // the address of a running ctb-broker in the compatibility profile
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Now(), dir: folder(t), idp: ctbtest.NewIdP(t, nil)}
	w.key, w.stranger = made(devidp.NewKey(jose.ES256)), made(devidp.NewKey(jose.ES256))
	w.seed = []byte(rand.Text() + rand.Text())
	w.platform = w.hardware(func(*simulated.Config) {})
	w.cert = w.certify(w.platform, w.key, w.binding(attest.UseSignature))
	w.jwks = set(jwk(w.key, w.key.ID, w.cert.Raw))
	w.tls = selfSigned()
	w.trust = x509.NewCertPool()
	w.trust.AddCert(w.tls.Leaf)
	w.files, w.plain = publish(t, &w.tls), publish(t, nil)

	w.write("policy.yaml", []byte(w.policyText()))
	w.policy = made(attest.ParsePolicy([]byte(w.policyText())))
	w.write("root.pem", w.platform.RootPEM())
	w.write("collateral.json", w.platform.Collateral().Marshal())
	w.write("jwks.json", w.jwks)
	w.write("cert.der", w.cert.Raw)
	w.write("tls.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.tls.Certificate[0]}))
	w.write("tls.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: made(x509.MarshalPKCS8PrivateKey(w.tls.PrivateKey))}))
	w.write("rules.json", []byte(w.rulesText(w.keysOverHTTP())))
	w.write("broker.yaml", []byte(w.brokerText()))
	w.broker = w.startBroker()
	return w
}

// startBroker runs ctb-broker in the compatibility profile. It takes a while to
// make its RSA key: the function that is returned waits for its address.
func (w *world) startBroker() func(t *testing.T) string {
	b := start(w.t, "ctb-broker", "-config", w.path("broker.yaml"))
	return func(t *testing.T) string {
		address, ok := b.address(t, "the broker serves")
		if !ok {
			t.Fatalf("ctb-broker does not start: %s", b.logged())
		}
		return address
	}
}

func made[T any](v T, err error) T {
	if err != nil {
		panic(err) // nothing from outside is in it
	}
	return v
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(name string, data []byte) {
	if err := os.WriteFile(w.path(name), data, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// folder is one for a test. Its name, which messages repeat, says nothing of
// the case, unlike that of testing's.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "w")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// temp writes a file for one visit to a door.
func temp(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(folder(t), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// beside writes a file for one visit, with others of the world beside it.
func (w *world) beside(t *testing.T, name string, data []byte, others ...string) string {
	t.Helper()
	path := temp(t, name, data)
	for _, o := range others {
		if err := os.Symlink(w.path(o), filepath.Join(filepath.Dir(path), o)); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func (w *world) policyText() string {
	return fmt.Sprintf("builds:\n  - tee: sgx\n    mrenclave: %x\nissuer: %s\nrules: [\"sha256:%s\"]\nsimulated_root: root.pem\n",
		simulated.DevMRENCLAVE, issuer, hex.EncodeToString(rulesDigest[:]))
}

// rulesText is a rule file with one rule, and perhaps further keys of it.
func (w *world) rulesText(more string) string {
	return fmt.Sprintf(`{"configs": [{"idp": %q, "client_id": %q,
  "server_api": [%q], "scope": "read:reports", "expiration": 3600, "name": "readers"%s}]}`,
		w.idp.URL, ctbtest.ClientID, ctbtest.Audience, more)
}

// keysOverHTTP lets a program that trusts no test's CA read the keys of the identity provider.
func (w *world) keysOverHTTP() string {
	return fmt.Sprintf(`, "jwk_endpoint": %q`, w.plain.serve("/idp.json", w.idp.JWKS()))
}

func (w *world) brokerText() string {
	return "issuer: https://127.0.0.1\nlisten: 127.0.0.1:0\ntee: simulated\nrules: rules.json\naudit: {file: audit.jsonl}\ncompatibility: original\n"
}

// gatewayText is a ctb-gateway for the attested key, whose key set is at url.
func (w *world) gatewayText(url string) string {
	return fmt.Sprintf(`listen: 127.0.0.1:0
tls: {certificate: tls.pem, key: tls.key}
upstream: %s
authorization:
  jwt:
    broker: {url: %q, policy: policy.yaml, collateral: collateral.json}
    ca_path: tls.pem
    issuer: %s
    audience: %s
`, w.upstream(), url, issuer, ctbtest.Audience)
}

// upstream is a service behind a gateway; it has one page.
func (w *world) upstream() string {
	w.plain.serve("/page", []byte("hello"))
	return w.plain.url
}

var gatewayFiles = []string{"tls.pem", "tls.key", "policy.yaml", "collateral.json", "root.pem", "jwks.json"}

// Evidence.

var rulesDigest = [32]byte{0xab, 0xcd}

func (w *world) binding(use string) attest.Binding {
	return attest.Binding{
		Use: use, Issuer: issuer, RulesDigest: rulesDigest, Names: []string{"127.0.0.1"},
		Issued: w.now.Add(-time.Hour), Expires: w.now.Add(24 * time.Hour),
	}
}

func (w *world) certify(q attest.Quoter, key *devidp.Key, b attest.Binding) *x509.Certificate {
	return made(attest.Certify(context.Background(), q, key.Private, b))
}

// hardware is a platform under the development root, with a change.
func (w *world) hardware(change func(*simulated.Config)) *simulated.Platform {
	c := simulated.Config{Seed: w.seed, Now: w.now}
	change(&c)
	return made(simulated.New(c))
}

// verifiers trust the simulated platform.
func (w *world) verifiers(c *dcap.Collateral) []attest.Verifier {
	return []attest.Verifier{&dcap.Verifier{Root: w.platform.Root(), Collateral: c}}
}

func (w *world) attested() attest.Config {
	return attest.Config{Policy: w.policy, Platforms: w.verifiers(w.platform.Collateral()), Client: w.client(w.trust)}
}

// Key sets.

func jwk(key *devidp.Key, kid string, chain ...[]byte) string {
	return string(made(jose.MarshalJWK(jose.JWK{KeyID: kid, Algorithm: key.Algorithm, Key: key.Private.Public(), Certificate: chain})))
}

func set(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

// Servers.

// publisher serves documents, each at a path of its own.
type publisher struct {
	url string
	mu  sync.Mutex
	all map[string]http.Handler
}

func publish(t *testing.T, certificate *tls.Certificate) *publisher {
	p := &publisher{all: map[string]http.Handler{}}
	s := httptest.NewUnstartedServer(http.HandlerFunc(p.answer))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // clients that give up are no news
	if certificate != nil {
		s.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}}
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	p.url = s.URL
	return p
}

func (p *publisher) answer(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	h, ok := p.all[r.URL.Path]
	p.mu.Unlock()
	if !ok {
		h = http.NotFoundHandler()
	}
	h.ServeHTTP(w, r)
}

// handle lets a handler answer at a path, and returns its URL.
func (p *publisher) handle(path string, h http.Handler) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[path] = h
	return p.url + path
}

// serve publishes a document and returns its URL.
func (p *publisher) serve(path string, document []byte) string {
	return p.handle(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(document)
	}))
}

// once publishes a document for one visit.
func (p *publisher) once(document []byte) string { return p.serve("/"+rand.Text()+".json", document) }

func selfSigned() tls.Certificate {
	key := made(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der := made(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: made(x509.ParseCertificate(der))}
}

// client trusts these roots; nil means whatever is there, for servers whose evidence is not the matter.
func (w *world) client(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout:   patience,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, InsecureSkipVerify: roots == nil}, DisableKeepAlives: true, DisableCompression: true},
	}
}

// fetcher is the client that the library makes by itself, with the world's CA.
func (w *world) fetcher() *http.Client { return fetch.Client(w.trust) }

// ask sends a request. The answer's text begins with status and body, so "401 …".
func ask(t *testing.T, c *http.Client, r *http.Request) answer {
	t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		return answer{text: "no answer: " + err.Error()}
	}
	return read(t, resp)
}

func read(t *testing.T, resp *http.Response) answer {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Errorf("the answer broke off: %v", err)
	}
	// Code and description follow the status at once, whatever the form of the body.
	var says struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(body, &says) // a body that is none has neither
	return answer{resp.StatusCode == http.StatusOK, fmt.Sprintf("%d %s: %s\n%s", resp.StatusCode, says.Code, says.Description, body)}
}

// bearer is a request with a token.
func bearer(t *testing.T, url, token string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// gateway runs ctb-gateway with a configuration file and sends it the token.
// The answer is why it does not start, or its HTTP answer and its log.
func (w *world) gateway(t *testing.T, config, token string) answer {
	t.Helper()
	s := start(t, "ctb-gateway", "-config", config)
	address, ok := s.address(t, `"msg":"listening"`)
	if !ok {
		return answer{text: s.logged()}
	}
	a := ask(t, w.client(w.trust), bearer(t, "https://"+address+"/page", token))
	a.text += "\n" + s.stop()
	return a
}
