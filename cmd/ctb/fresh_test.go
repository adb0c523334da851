package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// freshBroker answers nonces as brokers do, or not quite.
type freshBroker struct {
	hardware attest.Quoter
	url      string
	doc      attest.Attestation        // without its statement
	claims   func(*attest.FreshClaims) // changes what is claimed; nil changes nothing
	answer   func(*attest.Attestation) // changes what is answered; nil changes nothing
	instead  func(http.ResponseWriter) // answers in its place; nil does not
	hashes   [][32]byte                // of its keys
}

func newFreshBroker(t *testing.T, hardware attest.Quoter) *freshBroker {
	t.Helper()
	b := &freshBroker{hardware: hardware}
	server := httptest.NewTLSServer(b)
	t.Cleanup(server.Close)
	b.url = server.URL
	e, err := hardware.Quote(t.Context(), [64]byte{})
	if err != nil {
		t.Fatal(err)
	}
	b.doc = attest.Attestation{Issuer: b.url}
	if e.Collateral != nil {
		b.doc.Collateral = map[string]json.RawMessage{e.Platform: e.Collateral}
	}
	binding := simulatedBy
	binding.Issuer, binding.Issued, binding.Expires = b.url, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for _, use := range []string{attest.UseSignature, attest.UseTLS} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		binding.Use = use
		cert, err := attest.Certify(t.Context(), hardware, key, binding)
		if err != nil {
			t.Fatal(err)
		}
		kid, err := jose.Thumbprint(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		b.doc.Keys = append(b.doc.Keys, attest.AttestedKey{KeyID: kid, Use: use, Certificates: [][]byte{cert.Raw}})
		b.hashes = append(b.hashes, attest.KeyHash(cert))
	}
	return b
}

func (b *freshBroker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.instead != nil {
		b.instead(w)
		return
	}
	nonce, err := base64.RawURLEncoding.DecodeString(r.URL.Query().Get("nonce"))
	if err != nil || r.URL.Path != attest.WellKnownAttestation {
		http.NotFound(w, r)
		return
	}
	c := attest.FreshClaims{Issuer: b.url, RulesDigest: simulatedBy.RulesDigest, Time: time.Now(), Keys: b.hashes, Nonces: [][]byte{nonce}}
	if b.claims != nil {
		b.claims(&c)
	}
	doc := b.doc
	if doc.Fresh, err = attest.NewFresh(context.WithoutCancel(r.Context()), b.hardware, c); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if b.answer != nil {
		b.answer(&doc)
	}
	text, err := doc.Marshal()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
}

// TestFresh asks brokers of all kinds of hardware for evidence of now.
func TestFresh(t *testing.T) {
	intel, amd, aws := developments(t)
	for name, hardware := range map[string]development{"Intel SGX": intel, "AMD SEV-SNP": amd, "AWS Nitro Enclave": aws} {
		t.Run(name, func(t *testing.T) {
			b := newFreshBroker(t, hardware)
			root := filepath.Join(t.TempDir(), "root.pem")
			if err := os.WriteFile(root, hardware.RootPEM(), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, url := range []string{b.url, b.url + "/", b.url + "/.well-known/jwks.json", b.url + "/.well-known/attestation"} {
				code, out := runHere(t, "", "inspect", url, "--fresh", "--root", root)
				for _, want := range []string{name, "✓ nonce ", "✓ made ", "sig: signs access tokens", "tls: the server's end", "rules       sha256:abcd", "genuine and fresh, but a default policy refuses it"} {
					if code != exitOK || !strings.Contains(out, want) || strings.Count(out, "✓ has the key") != 2 {
						t.Errorf("%s: got exit code %d, want 0 and %q in it: %s", url, code, want, out)
					}
				}
			}
			code, out := runHere(t, "", "inspect", b.url, "--fresh", "--root", root, "--json")
			var x finding
			if _, text, found := strings.Cut(out, "\n"); !found || json.Unmarshal([]byte(text), &x) != nil || code != exitOK || !x.Genuine {
				t.Fatalf("got exit code %d, want a genuine finding: %s", code, out)
			}
			if f := x.Fresh; f == nil || len(f.Keys) != 2 || !f.Keys[0].Covered || f.Issuer != b.url || len(f.Nonce) != 43 || x.Binding != nil {
				t.Errorf("got %+v", x.Fresh)
			}
		})
	}
}

// TestFreshRefused: what is not fresh, not of this broker, or no evidence is told as what it is.
func TestFreshRefused(t *testing.T) {
	hardware, err := simulated.New(simulated.Config{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	root, policy := filepath.Join(dir, "root.pem"), filepath.Join(dir, "policy.yaml")
	status := func(code int, retry string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			if retry != "" {
				w.Header().Set("Retry-After", retry)
			}
			w.WriteHeader(code)
		}
	}
	says := func(contentType, body string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", contentType)
			w.Write([]byte(body))
		}
	}
	for name, test := range map[string]struct {
		claims  func(*attest.FreshClaims)
		answer  func(*attest.Attestation)
		instead func(http.ResponseWriter)
		args    []string
		code    int
		want    string
	}{
		"by the policy":      {args: []string{"--policy", policy}, want: "✓ genuine and fresh, and accepted by the policy"},
		"other rules":        {claims: func(c *attest.FreshClaims) { c.RulesDigest[0]++ }, args: []string{"--policy", policy}, code: exitNo, want: "✗ rules "},
		"another nonce":      {claims: func(c *attest.FreshClaims) { c.Nonces = [][]byte{make([]byte, 32)} }, code: exitNo, want: "does not answer this nonce"},
		"of an hour ago":     {claims: func(c *attest.FreshClaims) { c.Time = c.Time.Add(-time.Hour) }, code: exitNo, want: "want a statement of the last 1m0s"},
		"of another broker":  {claims: func(c *attest.FreshClaims) { c.Issuer = "https://other.example.com" }, code: exitNo, want: "✗ issuer      https://other.example.com"},
		"keys not covered":   {claims: func(c *attest.FreshClaims) { c.Keys = c.Keys[:1] }, want: "! not covered"},
		"no key covered":     {claims: func(c *attest.FreshClaims) { c.Keys = [][32]byte{{1}} }, want: "covers none of the keys"},
		"a forged quote":     {answer: func(a *attest.Attestation) { a.Fresh.Quote[100] ^= 1 }, code: exitNo, want: "✗ not genuine"},
		"a key's evidence":   {answer: func(a *attest.Attestation) { a.Fresh.Claims = []byte("\xa1\x6bpubkey-hash\x40") }, code: exitNo, want: "✗ not genuine"},
		"an older version":   {answer: func(a *attest.Attestation) { a.Fresh = nil }, code: exitNo, want: "of a version that makes no fresh evidence"},
		"no such page":       {instead: status(http.StatusNotFound, ""), code: exitNo, want: "makes no fresh evidence, or is none"},
		"nonces not taken":   {instead: status(http.StatusBadRequest, ""), code: exitNo, want: "makes no fresh evidence, or is none"},
		"too often":          {instead: status(http.StatusTooManyRequests, "7"), code: exitNo, want: "it asks to wait 7 s"},
		"no evidence now":    {instead: status(http.StatusServiceUnavailable, "30"), code: exitNo, want: "no evidence to give at the moment"},
		"a web page":         {instead: says("text/html", "<html>"), code: exitNo, want: "web page"},
		"junk":               {instead: says("application/json", `{"issuer":1}`), code: exitNo, want: "attestation document"},
		"escapes":            {instead: says("application/json", "{\"issuer\":\"\x1b]0;owned\"}"), code: exitNo, want: "attestation document"},
		"another root":       {args: []string{"--root", ""}, code: exitUsage, want: "the value is empty"},
		"under Intel's root": {args: []string{"without --root"}, code: exitNo, want: "untrusted root"},
		"with an instant":    {args: []string{"--at", "2026-03-01T12:00:00Z"}, code: exitUsage, want: "fresh evidence is of now"},
		"with a scheme":      {args: []string{"--scheme", "dice"}, code: exitUsage, want: "--fresh and --scheme are both given"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newFreshBroker(t, hardware)
			b.claims, b.answer, b.instead = test.claims, test.answer, test.instead
			if err := writeFiles(dir, map[string][]byte{"root.pem": hardware.RootPEM(), "policy.yaml": policyFor(b.url)}); err != nil {
				t.Fatal(err)
			}
			args := []string{"inspect", b.url, "--fresh", "--root", root}
			if len(test.args) == 1 {
				args = args[:3]
			} else {
				args = append(args, test.args...)
			}
			code, out := runHere(t, "", args...)
			if code != test.code || !strings.Contains(despace(out), despace(test.want)) || strings.Contains(out, "\x1b") {
				t.Errorf("got exit code %d, want %d with %q: %s", code, test.code, test.want, out)
			}
		})
	}
	if code, out := runHere(t, "", "inspect", "testdata/original/jwks.json", "--fresh"); code != exitUsage || !strings.Contains(out, "is no URL") {
		t.Errorf("a file: got exit code %d, want 2: %s", code, out)
	}
}

// policyFor is a policy of the broker at a URL.
func policyFor(url string) []byte {
	return fmt.Appendf(nil, "builds: [{tee: sgx, mrenclave: %x}]\nissuer: %s\nrules: [\"sha256:%x\"]\nsimulated_root: root.pem\n",
		simulated.DevMRENCLAVE, url, simulatedBy.RulesDigest)
}
