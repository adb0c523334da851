package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/confidential-token-broker/ctb/ctbtest"
)

// configureBroker writes a configuration for tokens of an attested broker.
func configureBroker(t *testing.T, b *ctbtest.Broker, profile string) (config, policy string) {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(upstream.Close)
	policy, collateral := b.Files()
	config = filepath.Join(t.TempDir(), "gateway.yaml")
	replace(t, config, fmt.Appendf(nil, `
listen: 127.0.0.1:0
upstream: %s
authorization:
  jwt:
    broker: {url: %q, policy: %q, collateral: %q}
    audience: %q
    scopes: ["read:reports"]
    %s
`, upstream.URL, b.URL, policy, collateral, ctbtest.Audience, profile))
	return config, policy
}

// TestBroker is the main job with the real program: an id token becomes an
// access token, and the gateway lets it through because the hardware vouches
// for the key, over TLS that the hardware vouches for as well.
func TestBroker(t *testing.T) {
	b := ctbtest.NewBroker(t, nil)
	config, policy := configureBroker(t, b, "issuer: "+b.URL)
	p := startGateway(t, config)
	p.wait("keys are at hand")
	token := b.Exchange(b.IdP.Login(ctbtest.Subject))
	if got := p.status(http.DefaultClient, "http", token); got != http.StatusOK {
		t.Fatalf("got %d, want 200\n%s", got, p.output())
	}
	if got := p.status(http.DefaultClient, "http", ctbtest.NewBroker(t, nil).Token(nil)); got != http.StatusUnauthorized {
		t.Errorf("another broker's token: got %d, want 401", got)
	}

	// A policy that names another build: the same token is good no more, and
	// that is not the token's fault.
	text, err := os.ReadFile(policy)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(text, []byte("mrenclave: ")) + len("mrenclave: ")
	copy(text[at:at+8], "00000000")
	replace(t, policy, text)
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.wait(`"msg":"reloaded"`)
	if got := p.status(http.DefaultClient, "http", token); got != http.StatusServiceUnavailable {
		t.Errorf("under a policy for another build: got %d, want 503", got)
	}
	p.wait("mrenclave")
}

// TestBrokerAway: the gateway starts without its broker, and says so at once;
// somebody else at the broker's address is no better than nobody.
func TestBrokerAway(t *testing.T) {
	b, other := ctbtest.NewBroker(t, nil), ctbtest.NewBroker(t, nil)
	nobody, _ := configureBroker(t, b, "issuer: "+b.URL)
	somebody, _ := configureBroker(t, b, "issuer: "+b.URL)
	text, err := os.ReadFile(somebody)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, somebody, bytes.Replace(text, []byte(`url: "`+b.URL), []byte(`url: "`+other.URL), 1))
	b.Stop()
	for name, config := range map[string]string{"nobody": nobody, "somebody else": somebody} {
		p := startGateway(t, config)
		p.wait("keys cannot be had or trusted now")
		if got := p.status(http.DefaultClient, "http", ctbtest.NewIssuer(t).Token(ctbtest.Claims{"iss": b.URL})); got != http.StatusServiceUnavailable {
			t.Errorf("%s: got %d, want 503", name, got)
		}
	}
}

// TestOriginalBroker: the profile of what people run already.
func TestOriginalBroker(t *testing.T) {
	b := ctbtest.NewBroker(t, &ctbtest.BrokerConfig{Original: true})
	config, _ := configureBroker(t, b, "issuer: enclave authorization\n    type: JWT")
	p := startGateway(t, config)
	body, err := json.Marshal(map[string]string{"id_token": b.IdP.Token(nil)})
	if err != nil {
		t.Fatal(err)
	}
	res, err := b.Client().Post(b.URL+"/stsToken", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer map[string]string
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if got := p.status(http.DefaultClient, "http", answer["Access Token"]); got != http.StatusOK {
		t.Errorf("got %d, want 200\n%s", got, p.output())
	}
}
