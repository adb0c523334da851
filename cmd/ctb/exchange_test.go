package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
)

// TestExchangePlatforms: the id token goes to a broker on other hardware than Intel's too, if the policy accepts
// that, and not a byte of it to one in another build.
func TestExchangePlatforms(t *testing.T) {
	_, amd, aws := developments(t)
	for name, test := range map[string]struct {
		hardware    development
		measurement string
	}{"SEV-SNP": {amd, "measurement"}, "Nitro": {aws, "pcr0"}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			root, policy := filepath.Join(dir, "root.pem"), filepath.Join(dir, "policy.yaml")
			if err := os.WriteFile(root, test.hardware.RootPEM(), 0o600); err != nil {
				t.Fatal(err)
			}
			b := newTokenBroker(t, test.hardware)
			if code, out := runHere(t, "", "policy", "new", b.url+attest.WellKnownAttestation, "--root", root, "--accept", "simulated_root", "-o", policy); code != exitOK {
				t.Fatalf("policy new: got exit code %d: %s", code, out)
			}
			code, out := runHere(t, "id.tok.en", "exchange", "--broker", b.url, "--policy", policy)
			if code != exitOK || strings.TrimSpace(out) != "the-token" || b.asked.Load() != 1 {
				t.Errorf("ours: got exit code %d after %d requests: %s", code, b.asked.Load(), out)
			}
			code, out = runHere(t, "id.tok.en", "exchange", "--broker", b.url+"/token", "--policy", policy)
			if code != exitOK || strings.TrimSpace(out) != "the-token" || b.asked.Load() != 2 {
				t.Errorf("by its token endpoint: got exit code %d after %d requests: %s", code, b.asked.Load(), out)
			}
			text, err := os.ReadFile(policy)
			if err != nil {
				t.Fatal(err)
			}
			other := regexp.MustCompile(`(?m)^( +`+test.measurement+`: "?)[0-9a-f]{4}`).ReplaceAll(text, []byte("${1}0bad"))
			if err := os.WriteFile(policy, other, 0o600); err != nil {
				t.Fatal(err)
			}
			code, out = runHere(t, "id.tok.en", "exchange", "--broker", b.url, "--policy", policy)
			if code != exitNo || !strings.Contains(out, "✗ "+test.measurement) || !strings.Contains(out, "the id token was not sent") || b.asked.Load() != 2 {
				t.Errorf("another build: got exit code %d after %d requests: %s", code, b.asked.Load(), out)
			}
		})
	}
}

// tokenBroker gives a token to everybody, behind an attested TLS key.
type tokenBroker struct {
	url   string
	asked atomic.Int32 // for tokens
}

func newTokenBroker(t *testing.T, hardware attest.Quoter) *tokenBroker {
	t.Helper()
	b := new(tokenBroker)
	mux := http.NewServeMux()
	mux.HandleFunc("/token", func(w http.ResponseWriter, _ *http.Request) {
		b.asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"access_token":"the-token","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":60}`))
	})
	server := httptest.NewUnstartedServer(mux)
	b.url = "https://" + server.Listener.Addr().String()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	binding := attest.Binding{
		Use: attest.UseTLS, Issuer: b.url, RulesDigest: [32]byte{1}, Names: []string{"127.0.0.1"},
		Issued: time.Now().Add(-time.Hour), Expires: time.Now().Add(time.Hour),
	}
	cert, err := attest.Certify(t.Context(), hardware, key, binding)
	if err != nil {
		t.Fatal(err)
	}
	doc := attest.Attestation{Issuer: b.url, Keys: []attest.AttestedKey{{KeyID: "tls", Use: attest.UseTLS, Certificates: [][]byte{cert.Raw}}}}
	if e, err := hardware.Quote(t.Context(), [64]byte{}); err != nil {
		t.Fatal(err)
	} else if e.Collateral != nil {
		doc.Collateral = map[string]json.RawMessage{e.Platform: e.Collateral}
	}
	text, err := doc.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc(attest.WellKnownAttestation, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(text)
	})
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return b
}

// TestPlainHTTP: a URL that forgot its s is answered by TLS servers with a 400, which says nothing.
func TestPlainHTTP(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	code, out := runHere(t, "", "inspect", strings.Replace(server.URL, "https:", "http:", 1))
	if code != exitNo || !strings.Contains(out, "got status 400") || !strings.Contains(out, "a server of https answers http so: begin the URL with https://") {
		t.Errorf("got exit code %d: %s", code, out)
	}
}
