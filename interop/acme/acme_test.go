package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/between"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

const shown = "the certificate of a public CA is shown"

// The broker has a certificate of a public CA beside its attested one, and clients of both kinds come through.
// A man who has one for the same name, just as valid, deceives those who ask for no evidence, and no others.
func TestPublicCertificate(t *testing.T) {
	p := newPebble(t, 0)
	d := p.newDoor()
	b := startBroker(t, p, d)
	network.Lead(name, b.address)
	network.Lead(other, b.address)

	// Until there is one, the attested certificate serves those who can check it.
	if c, err := b.shows(name); err != nil || !isAttested(c) {
		t.Errorf("before: %v, want the attested certificate", err)
	}
	if token, err := b.exchange("--policy", b.path("policy.yaml")); err != nil || token == "" {
		t.Errorf("before: %v", err)
	}
	if _, err := b.exchange("--ca", b.path("ca.pem")); err == nil {
		t.Error("before: a client that knows no evidence accepts it")
	}
	if _, err := b.shows(name, "acme-tls/1"); err == nil {
		t.Error("a proof is shown that nobody has asked for")
	}

	p.lead(d, b.address)
	b.wait(shown, 1)
	for _, n := range []string{name, other} {
		if c, err := b.shows(n); err != nil || isAttested(c) {
			t.Errorf("%s: %v, want Pebble's certificate", n, err)
		}
	}
	for _, n := range []string{"evil.example.com", ""} { // nothing is ordered for what a client says
		if c, err := b.shows(n); err != nil || !isAttested(c) {
			t.Errorf("%q: %v, want the attested certificate", n, err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(p.root))
	for _, url := range []string{issuer, "https://" + other} {
		web := fetch.ClientTLS(&tls.Config{RootCAs: roots})
		c := exchange.Client{URL: url + "/token", HTTP: web}
		if answer, err := c.Exchange(t.Context(), &exchange.Request{SubjectToken: b.idToken}); err != nil || answer.AccessToken == "" {
			t.Errorf("a client that knows no evidence, at %s: %v", url, err)
		}
		web.CloseIdleConnections()
	}
	if token, err := b.exchange("--policy", b.path("policy.yaml")); err != nil || token == "" {
		t.Errorf("a client with a policy, through the attestation document: %v", err)
	}
	if got := d.orders.Load(); got < 1 || got > 2 { // Pebble refuses some good nonces, and is asked again
		t.Errorf("there were %d orders, want one", got)
	}

	m := standWithCertificate(t, p, b)
	network.Lead(name, m.Address)
	token, err := b.exchange("--policy", b.path("policy.yaml"))
	if err == nil || token != "" || !strings.Contains(err.Error(), "lists no attested certificate of its key") {
		t.Errorf("through the man: got %d bytes, %v", len(token), err)
	}
	if m.Knows(b.idToken) {
		t.Error("the man has read a part of the id token")
	}
	for _, request := range m.Requests() {
		if !strings.HasPrefix(request, "GET "+attest.WellKnownAttestation+" ") {
			t.Errorf("the man has read %q", request)
		}
	}
	if token, err := b.exchange("--ca", b.path("ca.pem")); err != nil || token == "" || !strings.Contains(m.Read(), b.idToken) {
		t.Errorf("through the man, without a policy: %v; he should have read the id token, or this test shows nothing", err)
	}
}

// standWithCertificate puts a man in the broker's place who has a certificate of the same CA for its name: who owns the
// way to a name gets one. He uses autocert, whose own listener proves it.
func standWithCertificate(t *testing.T, p *pebble, b *broker) *between.Man {
	t.Helper()
	d := p.newDoor()
	d.located = true // autocert can't do without
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM([]byte(d.cert))
	manager := &autocert.Manager{
		Prompt: autocert.AcceptTOS, HostPolicy: autocert.HostWhitelist(name),
		Client: &acme.Client{DirectoryURL: d.directory, HTTPClient: fetch.Client(trust)},
	}
	m := between.Stand(t, between.Place{
		Name: name, Server: b.address,
		TLS: &tls.Config{GetCertificate: manager.GetCertificate, NextProtos: []string{"http/1.1", acme.ALPNProto}},
	})
	p.lead(d, m.Address)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		c, err := (&tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}}).DialContext(ctx, "tcp", m.Address)
		if err == nil {
			c.Close()
			return m
		}
		if ctx.Err() != nil {
			t.Fatalf("the man gets no certificate: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// A certificate is renewed before it ends, for the same key, so that no client with a policy is ever at a loss.
func TestRenewal(t *testing.T) {
	p := newPebble(t, 24) // seconds
	d := p.newDoor()
	b := startBroker(t, p, d)
	network.Lead(name, b.address)
	p.lead(d, b.address)
	b.wait(shown, 1)
	first, err := b.shows(name)
	if err != nil {
		t.Fatal(err)
	}
	b.wait(shown, 2)
	second, err := b.shows(name)
	if err != nil {
		t.Fatal(err)
	}
	if !second.NotAfter.After(first.NotAfter) || string(second.RawSubjectPublicKeyInfo) != string(first.RawSubjectPublicKeyInfo) {
		t.Errorf("got certificates until %v and %v, of the same key %v", first.NotAfter, second.NotAfter, string(second.RawSubjectPublicKeyInfo) == string(first.RawSubjectPublicKeyInfo))
	}
	if token, err := b.exchange("--policy", b.path("policy.yaml")); err != nil || token == "" {
		t.Error(err)
	}
}

// Who is refused goes without, says why once, and serves.
func TestRefusedByTheCA(t *testing.T) {
	p := newPebble(t, 0)
	d := p.newDoor()
	b := startBroker(t, p, d)
	network.Lead(name, b.address)
	p.lead(d, "127.0.0.1:1") // where the names lead, says the CA, nobody answers
	line := b.wait("no certificate of a public CA can be had now; the attested certificate is shown in its place", 1)
	if !strings.Contains(line, name) && !strings.Contains(line, other) {
		t.Errorf("got %s, want the name in it", line)
	}
	if token, err := b.exchange("--policy", b.path("policy.yaml")); err != nil || token == "" {
		t.Error(err)
	}
	web := fetch.AnyServer()
	defer web.CloseIdleConnections()
	resp, err := web.Get("https://" + b.address + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("readyz: got %s, want ready: the attested certificate serves", resp.Status)
	}
}
