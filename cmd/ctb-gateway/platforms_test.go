package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/nitro/nitrotest"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/broker"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/cmd/internal/platforms"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/rules"
)

// machine is a simulated machine of some maker.
type machine interface {
	attest.Quoter
	Root() *x509.Certificate
	RootPEM() []byte
}

// TestBrokerOnOtherHardware: the gateway lets a token through whose key lives in a broker on AMD's hardware or in an AWS Nitro
// Enclave, over TLS that the hardware vouches for as well; and not under a policy for another build.
func TestBrokerOnOtherHardware(t *testing.T) {
	nitro, err := nitrotest.New(nitrotest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	amd, err := snptest.New(snptest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	measurement := snptest.Measurement()
	const tcb = "min_tcb: {bootloader: 3, tee: 0, snp: 8, microcode: 115}"
	for name, c := range map[string]struct {
		machine
		build, other string
	}{
		"nitro": {nitro, fmt.Sprintf("{tee: nitro, pcr0: %x}", nitrotest.DevPCRs()[0]), fmt.Sprintf("{tee: nitro, pcr0: %x}", nitrotest.DevPCRs()[1])},
		"sev-snp": {amd, fmt.Sprintf("{tee: sev-snp, measurement: %x, %s}", measurement, tcb),
			fmt.Sprintf("{tee: sev-snp, measurement: %x, %s}", nitrotest.DevPCRs()[1], tcb)},
	} {
		t.Run(name, func(t *testing.T) {
			b := startBrokerOn(t, c.machine)
			policy := filepath.Join(t.TempDir(), "policy.yaml")
			replace(t, filepath.Join(filepath.Dir(policy), "root.pem"), c.RootPEM())
			write := func(build string) {
				replace(t, policy, fmt.Appendf(nil, "simulated_root: root.pem\nbuilds: [%s]\nissuer: %s\n", build, b.url))
			}
			write(c.build)
			token := b.exchange(t, policy)
			if got := b.gateway(t, policy, token); got != http.StatusOK {
				t.Errorf("got %d, want 200", got)
			}
			write(c.other)
			if got := b.gateway(t, policy, token); got != http.StatusServiceUnavailable {
				t.Errorf("under a policy for another build: got %d, want 503", got)
			}
		})
	}
}

// runningBroker is a broker on some machine.
type runningBroker struct {
	url string
	idp *ctbtest.IdP
}

func startBrokerOn(t *testing.T, m attest.Quoter) *runningBroker {
	t.Helper()
	b := &runningBroker{idp: ctbtest.NewIdP(t, nil)}
	id, err := json.Marshal(map[string]any{"configs": []any{map[string]any{
		"idp": b.idp.URL, "client_id": ctbtest.ClientID, "server_api": []string{ctbtest.Audience}, "scope": "read:reports", "expiration": 3600,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	var inside *broker.Broker
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { inside.ServeHTTP(w, r) }))
	b.url = "https://" + server.Listener.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	inside, err = broker.New(ctx, broker.Config{Issuer: b.url, Rules: set, Quoter: m, Audit: new(noAudit), Client: b.idp.Client(), Simulated: true})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { inside.Run(ctx) })
	server.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		// httptest's server has a certificate of its own, which this one goes before.
		return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return inside.TLSCertificate() }}, nil
	}}
	server.StartTLS()
	t.Cleanup(func() { server.Close(); cancel(); running.Wait() })
	return b
}

// exchange gets an access token, over TLS that the policy accepts.
func (b *runningBroker) exchange(t *testing.T, policyPath string) string {
	t.Helper()
	policy, verifiers, err := platforms.Load(policyPath, evidence.Source{})
	if err != nil {
		t.Fatal(err)
	}
	trust, err := attest.TLSConfig(attest.Config{URL: b.url, Policy: policy, Platforms: verifiers})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: trust}
	defer transport.CloseIdleConnections()
	c := exchange.Client{URL: b.url + "/token", HTTP: &http.Client{Transport: transport}}
	got, err := c.Exchange(t.Context(), &exchange.Request{SubjectToken: b.idp.Login(ctbtest.Subject)})
	if err != nil {
		t.Fatal(err)
	}
	return got.AccessToken
}

// gateway starts one with the policy and asks it with the token.
func (b *runningBroker) gateway(t *testing.T, policy, token string) int {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer upstream.Close()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	replace(t, path, fmt.Appendf(nil, `
listen: 127.0.0.1:0
upstream: %s
authorization:
  jwt:
    broker: {url: %q, policy: %q}
    audience: %q
    issuer: %q
`, upstream.URL, b.url, policy, ctbtest.Audience, b.url))
	return startGateway(t, path).status(http.DefaultClient, "http", token)
}

// noAudit keeps nothing.
type noAudit struct{}

func (noAudit) Record(context.Context, *broker.Event) error { return nil }
