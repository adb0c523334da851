package middleman

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/cmd/internal/platforms"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/between"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// door is a client that is told to accept one build alone. It returns an access token, or what it says.
type door struct {
	name string
	ask  func(t *testing.T, s *scene) (token string, err error)
}

// doors are the clients that carry an id token to the broker.
func doors() []door {
	return []door{
		{"ctb exchange --policy", func(t *testing.T, s *scene) (string, error) {
			out, errs, err := s.call(s.idToken, "exchange", "--broker", issuer, "--policy", s.path("policy.yaml"))
			if err != nil {
				return "", fmt.Errorf("%w: %s", err, errs)
			}
			return strings.TrimSpace(out), nil
		}},
		{"exchange.Client", func(t *testing.T, s *scene) (string, error) {
			policy, verifiers, err := platforms.Load(s.path("policy.yaml"), evidence.Source{})
			if err != nil {
				t.Fatal(err)
			}
			trust, err := attest.TLSConfig(attest.Config{URL: issuer, Policy: policy, Platforms: verifiers})
			if err != nil {
				t.Fatal(err)
			}
			return s.exchange(trust)
		}},
	}
}

// exchange asks with a client that knows the broker by this.
func (s *scene) exchange(trust *tls.Config) (string, error) {
	web := fetch.ClientTLS(trust)
	defer web.CloseIdleConnections()
	answer, err := (&exchange.Client{URL: issuer + "/token", HTTP: web}).Exchange(s.t.Context(), &exchange.Request{SubjectToken: s.idToken})
	if err != nil {
		return "", err
	}
	return answer.AccessToken, nil
}

// No client with a policy gives an id token, or any byte of it, to whoever is not the TEE; and it says why.
func TestNobodyBetweenSeesTheIDToken(t *testing.T) {
	s := newScene(t)
	for _, d := range doors() {
		network.Lead(name, s.address)
		if token, err := d.ask(t, s); err != nil || token == "" {
			t.Fatalf("%s, with nobody between: %v", d.name, err)
		}
		for _, k := range kinds() {
			t.Run(d.name+"/"+k.name, func(t *testing.T) {
				m := k.make(t, s)
				network.Lead(name, m.Address)
				token, err := d.ask(t, s)
				if err == nil || token != "" {
					t.Errorf("it took %d bytes from him for a token, %v", len(token), err)
				}
				learnedNothing(t, m, s.idToken)
				if err != nil && !says(err.Error(), k.says) {
					t.Errorf("it says %v, want %q in it", err, k.says)
				}
			})
		}
	}
}

// learnedNothing: he may have read questions for the attestation document, which is public, and nothing else.
func learnedNothing(t *testing.T, m *between.Man, secrets ...string) {
	t.Helper()
	if slices.ContainsFunc(secrets, m.Knows) {
		t.Error("he read a part of a token")
	}
	for _, request := range m.Requests() {
		if !strings.HasPrefix(request, "GET "+attest.WellKnownAttestation+" ") {
			t.Errorf("he read %q, want questions for the attestation document at most", request)
		}
	}
}

// says tells whether the text has all the words.
func says(text string, words []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

// The same men get the token from clients that ask for no evidence: what the test before sees could be seen.
func TestWhoAsksForNoEvidenceIsDeceived(t *testing.T) {
	s := newScene(t)
	for _, k := range kinds() {
		if !k.cons {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			for who, ask := range map[string]func() (string, error){
				"ctb exchange --ca": func() (string, error) {
					out, errs, err := s.call(s.idToken, "exchange", "--broker", issuer, "--ca", s.path("ca.pem"))
					if err != nil {
						err = fmt.Errorf("%w: %s", err, errs)
					}
					return strings.TrimSpace(out), err
				},
				"exchange.Client": func() (string, error) { return s.exchange(&tls.Config{RootCAs: s.web, MinVersion: tls.VersionTLS12}) },
			} {
				m := k.make(t, s)
				network.Lead(name, m.Address)
				token, err := ask()
				if err != nil || strings.Count(token, ".") != 2 {
					t.Errorf("%s: got %d bytes, %v, want a token", who, len(token), err)
				}
				if !strings.Contains(m.Read(), s.idToken) {
					t.Errorf("%s: he has not read the id token", who)
				}
			}
		})
	}
}

// The gateway takes no keys from whoever is not the TEE: while such a man is there, no token can be
// judged, which is 503 and no fault of the token, and he reads nothing. Without the demand for attested TLS he would read
// what is asked for; that the keys are attested by themselves is then what is left.
func TestGatewayTakesNoKeysFromAMan(t *testing.T) {
	s := newScene(t)
	network.Lead(name, s.address)
	token, err := doors()[1].ask(t, s)
	if err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer upstream.Close()
	gateway := func(config, more string) *process {
		s.put(config, fmt.Sprintf("listen: 127.0.0.1:0\nupstream: %s\nauthorization:\n  jwt:\n    broker: {url: %q, policy: policy.yaml}\n    issuer: %s\n    audience: %q\n%s",
			upstream.URL, issuer, issuer, audience, more))
		return s.start("ctb-gateway", "-config", s.path(config))
	}
	status := func(p *process) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.address(`"msg":"listening"`)+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := status(gateway("honest.yaml", "")); got != http.StatusOK {
		t.Fatalf("with nobody between: got %d, want 200", got)
	}
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			m := k.make(t, s)
			network.Lead(name, m.Address)
			p := gateway("attested.yaml", "")
			if got := status(p); got != http.StatusServiceUnavailable {
				t.Errorf("got %d, want 503", got)
			}
			if line := p.wait("keys cannot be had or trusted now"); !says(line, k.says) {
				t.Errorf("it says %s, want %q in it", line, k.says)
			}
			learnedNothing(t, m, s.idToken, token)
			if !k.cons {
				return
			}
			status(gateway("public.yaml", "    ca_path: ca.pem\n")) // 200, since the keys are attested by themselves, unless he withholds the staple
			if !strings.Contains(m.Read(), "GET /.well-known/jwks.json") {
				t.Errorf("by the CA alone he has read nothing")
			}
		})
	}
}

// A key from the host's files has no evidence, and a client with a policy says so; others are served.
func TestKeyOfAFileIsNotAttested(t *testing.T) {
	s := newScene(t)
	key := newKey(t)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s.put("tls.pem", pemOf(s.ca.certify(t, key.Public())))
	s.put("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	s.put("files.yaml", "issuer: "+issuer+"\nlisten: 127.0.0.1:0\ntee: simulated\nsimulated: {seed_file: seed}\nrules: rules.json\n"+
		"tls: {certificate: tls.pem, key: key.pem}\naudit: {file: files.jsonl}\n")
	p := s.start("ctb-broker", "-config", s.path("files.yaml"))
	network.Lead(name, p.address("the broker serves"))
	p.wait("tls.key comes from the host, who can then read every id token on its way")
	for _, d := range doors() {
		if token, err := d.ask(t, s); err == nil || token != "" || !says(err.Error(), []string{"carries no evidence", "lists no attested certificate of its key"}) {
			t.Errorf("%s: got %d bytes, %v", d.name, len(token), err)
		}
	}
	if token, err := s.exchange(&tls.Config{RootCAs: s.web, MinVersion: tls.VersionTLS12}); err != nil || token == "" {
		t.Errorf("by the CA alone: %v", err)
	}
}
