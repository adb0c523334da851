package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/config"
	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/live"
	"github.com/confidential-token-broker/ctb/ctbtest"
)

// configureBroker writes a configuration for tokens of an attested broker whose collateral is in a file.
func configureBroker(t *testing.T, b *ctbtest.Broker, profile string) (config, policy string) {
	t.Helper()
	_, collateral := b.Files()
	return configureCollateral(t, b, profile, fmt.Sprintf("%q", collateral))
}

// configureCollateral is configureBroker with this value of the key collateral.
func configureCollateral(t *testing.T, b *ctbtest.Broker, profile, collateral string) (config, policy string) {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(upstream.Close)
	policy, _ = b.Files()
	config = filepath.Join(t.TempDir(), "gateway.yaml")
	replace(t, config, fmt.Appendf(nil, `
listen: 127.0.0.1:0
upstream: %s
authorization:
  jwt:
    broker: {url: %q, policy: %q, collateral: %s}
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
	p.wait("policy.yaml: simulated_root: simulated evidence is accepted, which protects nothing")
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
	mark := len(p.output())
	replace(t, policy, text)
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.wait(`"msg":"reloaded"`)
	p.waitSince(mark, "simulated evidence is accepted") // a policy that was read anew may have become weaker
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

// aged makes a collateral service that issued its documents a minute ago, so
// that they are valid at the instant at which a request began.
func aged(service *simulated.PCS) *simulated.PCS {
	service.Now = func() time.Time { return time.Now().Add(-time.Minute) }
	return service
}

// TestBrokerCollateral: the staple does without any configuration; what is configured does without a staple.
func TestBrokerCollateral(t *testing.T) {
	stapled, unstapled := ctbtest.NewBroker(t, nil), ctbtest.NewBroker(t, &ctbtest.BrokerConfig{Unstapled: true, TEE: "tdx"})
	service := aged(simulated.NewPCS(unstapled.Hardware()))
	up := httptest.NewTLSServer(service)
	t.Cleanup(up.Close)
	down := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(down.Close)
	_, file := unstapled.Files()
	ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: up.Certificate().Raw}))) // which all test servers have
	for _, c := range []struct {
		name       string
		broker     *ctbtest.Broker
		collateral string
		want       int
	}{
		{"stapled", stapled, "null", http.StatusOK},
		{"nowhere", unstapled, "null", http.StatusServiceUnavailable},
		{"a file", unstapled, fmt.Sprintf("{file: %q}", file), http.StatusOK},
		{"a service", unstapled, fmt.Sprintf("{pcs: %q, ca_path: %q, cache: kept}", up.URL, ca), http.StatusOK},
		{"a service that has none, and a file", unstapled, fmt.Sprintf("{pcs: %q, ca_path: %q, file: %q}", down.URL, ca, file), http.StatusOK},
		{"a service that has none", unstapled, fmt.Sprintf("{pcs: %q, ca_path: %q}", down.URL, ca), http.StatusServiceUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, _ := configureCollateral(t, c.broker, "issuer: "+c.broker.URL, c.collateral)
			p := startGateway(t, config)
			if got := p.status(http.DefaultClient, "http", c.broker.Token(nil)); got != c.want {
				t.Errorf("got %d, want %d\n%s", got, c.want, p.output())
			}
			if strings.Contains(c.collateral, down.URL) {
				p.wait("collateral service or its cache fails")
			}
		})
	}
	if n := service.Requests(""); n != 4 { // TCB info, QE identity and two revocation lists, for TLS and signing keys together
		t.Errorf("the service got %d requests, want one for each document", n)
	}
}

// TestCollateralServiceIsTold: an operator learns of a service that fails, and that it is well again, once of each.
func TestCollateralServiceIsTold(t *testing.T) {
	b := ctbtest.NewBroker(t, &ctbtest.BrokerConfig{Unstapled: true})
	service := aged(simulated.NewPCS(b.Hardware()))
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	path, _ := configureCollateral(t, b, "issuer: "+b.URL, fmt.Sprintf("{pcs: %q}", server.URL))
	var lines bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&lines, nil))
	var told collateralLog
	open := func() *heldKeys {
		c, err := config.Load(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := openKeys(c, c.Issuers[0], new(live.Set), nil)
		if err != nil {
			t.Fatal(err)
		}
		return keys.value.Get()
	}
	// Each step has keys of its own, as after a reload, so that none waits for a back-off.
	for _, step := range []struct {
		name  string
		fault simulated.PCSFault
		want  string // in the log; empty: nothing is told
	}{
		{"fails", simulated.PCSUnauthorized, "status 401"},
		{"still fails", simulated.PCSUnauthorized, ""},
		{"works", "", "collateral service is well again"},
		{"still works", "", ""},
	} {
		service.Fail(step.fault)
		keys := open()
		told.tell(log, keys.collateral) // nobody has asked it yet
		if lines.Len() > 0 {
			t.Errorf("%s: before it was asked: %s", step.name, lines.String())
		}
		_ = keys.source.Refresh(t.Context(), 0)
		told.tell(log, keys.collateral)
		told.tell(log, keys.collateral)
		if got := lines.String(); strings.Count(got, "\n") != min(1, len(step.want)) || !strings.Contains(got, step.want) {
			t.Errorf("%s: got %q, want one line with %q", step.name, got, step.want)
		}
		lines.Reset()
	}
}

// TestBrokerCollateralIsReadAgain: a file that is replaced is used at once.
func TestBrokerCollateralIsReadAgain(t *testing.T) {
	b, other := ctbtest.NewBroker(t, &ctbtest.BrokerConfig{Unstapled: true}), ctbtest.NewBroker(t, nil)
	_, good := b.Files()
	file := write(t, "collateral.json", string(other.Hardware().Collateral().Marshal()))
	config, _ := configureCollateral(t, b, "issuer: "+b.URL, fmt.Sprintf("{file: %q}", file))
	p := startGateway(t, config)
	token := b.Token(nil)
	if got := p.status(http.DefaultClient, "http", token); got != http.StatusServiceUnavailable {
		t.Errorf("by the collateral of another root: got %d, want 503", got)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, file, text)
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.wait(`"msg":"reloaded"`)
	if got := p.status(http.DefaultClient, "http", token); got != http.StatusOK {
		t.Errorf("got %d, want 200\n%s", got, p.output())
	}
}
