package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/confidential-token-broker/ctb/ctbtest"
)

// configure writes a configuration for tokens of the issuer, and its keys beside it.
func configure(t *testing.T, iss *ctbtest.Issuer, more string) (config, jwks string) {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "Access Token parsed successfully")
	}))
	t.Cleanup(upstream.Close)
	dir := t.TempDir()
	jwks = filepath.Join(dir, "jwks.json")
	replace(t, jwks, iss.JWKS())
	config = filepath.Join(dir, "gateway.yaml")
	replace(t, config, fmt.Appendf(nil, `
listen: 127.0.0.1:0
upstream: %s
authorization:
  jwt: {jwks_path: jwks.json, issuer: %q, audience: %q, scopes: ["read:reports"]}
%s`, upstream.URL, iss.URL, ctbtest.Audience, more))
	return config, jwks
}

// write writes a file into a folder of its own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	replace(t, path, []byte(text))
	return path
}

// replace writes a file as careful programs do: beside it, and then in its place.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestServe(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	config, jwks := configure(t, iss, "")
	p := startGateway(t, config)
	token := iss.Token(ctbtest.Claims{"scope": "read:reports", "jti": "t-1"})

	for _, tt := range []struct {
		name, token string
		want        int
	}{
		{"good", token, 200},
		{"none", "", 401},
		{"forged", ctbtest.NewIssuer(t).Token(ctbtest.Claims{"scope": "read:reports"}), 401},
		{"without the scope", iss.Token(nil), 403},
	} {
		if got := p.status(http.DefaultClient, "http", tt.token); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
	p.wait(`"jti":"t-1"`)
	p.wait(`"refused":"missing claim 'scope'"`)

	// A key file caught half written changes nothing.
	replace(t, jwks, iss.JWKS()[:40])
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.wait("reload failed")
	if got := p.status(http.DefaultClient, "http", token); got != 200 {
		t.Errorf("after a bad reload: got %d, want 200", got)
	}

	// Other keys take the place of the old ones, without a signal, and tokens of
	// those are refused, though they were seen before.
	next := ctbtest.NewIssuer(t)
	replace(t, jwks, next.JWKS())
	p.wait(`"msg":"reloaded"`)
	if got := p.status(http.DefaultClient, "http", token); got != 401 {
		t.Errorf("token of a key that is gone: got %d, want 401", got)
	}
	if got := p.status(http.DefaultClient, "http", next.Token(ctbtest.Claims{"scope": "read:reports"})); got != 200 {
		t.Errorf("token of the new key: got %d, want 200", got)
	}

	p.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-p.exited; err != nil {
		t.Errorf("SIGTERM: %v, want exit 0\n%s", err, p.output())
	}
	if strings.Contains(p.output(), token) {
		t.Error("the log has a token in it")
	}
}

func TestServeTLS(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	config, _ := configure(t, iss, "tls: {certificate: gw.crt, key: gw.key}\n")
	roots := writeCertificate(t, filepath.Dir(config))
	p := startGateway(t, config)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	if got := p.status(client, "https", iss.Token(ctbtest.Claims{"scope": "read:reports"})); got != 200 {
		t.Errorf("got %d, want 200", got)
	}
	if got := p.status(http.DefaultClient, "http", ""); got != 400 {
		t.Errorf("plain HTTP: got %d, want 400", got)
	}

	// A new certificate is used for the next connection.
	roots = writeCertificate(t, filepath.Dir(config))
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.wait(`"what":"tls certificate"`)
	client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	if got := p.status(client, "https", ""); got != 401 {
		t.Errorf("after a new certificate: got %d, want 401", got)
	}
}

// writeCertificate writes a fresh certificate and key, and returns what trusts it.
func writeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	cert := selfSigned(t)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, filepath.Join(dir, "gw.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))
	replace(t, filepath.Join(dir, "gw.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	return pool
}
