package broker

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
)

func TestTLSKeyIsMadeInsideAndAttested(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, func(c *Config) { c.Names = []string{"127.0.0.1", "broker.internal"} }, p)
	cert, err := f.TLSCertificate()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := cert.PrivateKey.(*ecdsa.PrivateKey); !ok {
		t.Errorf("got a %T", cert.PrivateKey)
	}
	for _, name := range []string{"broker.example.com", "broker.internal", "127.0.0.1"} {
		if err := cert.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if b := appraise(t, cert.Leaf).Binding; b.Use != attest.UseTLS || b.Issuer != brokerURL || b.RulesDigest != f.ring.current.Load().rules.Digest() {
		t.Errorf("bound: %+v", b)
	}

	s := httptest.NewUnstartedServer(f)
	s.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.TLSCertificate() }}
	s.StartTLS()
	defer s.Close()
	s.TLS.Certificates = nil // httptest puts its own there
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Time: f.clock.now, ServerName: "broker.example.com"}}}
	resp, err := c.Get(s.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if !resp.TLS.PeerCertificates[0].Equal(cert.Leaf) || resp.TLS.Version != tls.VersionTLS13 {
		t.Error("another certificate, or another version")
	}
}

func TestTLSKeyFollowsRulesAndAge(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	get := func() *tls.Certificate {
		t.Helper()
		c, err := f.TLSCertificate()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := get()
	if get() != first {
		t.Error("each call makes a key")
	}
	if err := f.SetRules(t.Context(), parseRules(t, ruleFile("-new", p))); err != nil {
		t.Fatal(err)
	}
	if get() != first {
		t.Error("the key changed before the rules")
	}
	f.at(t, announceFor)
	second := get()
	if second == first {
		t.Error("the key still names the old rules")
	}
	f.clock.add(25 * time.Hour)
	third := get()
	if third == second {
		t.Error("the key does not grow old")
	}
	f.hardware.broken.Store(true)
	f.clock.add(25 * time.Hour)
	if get() != third {
		t.Error("without evidence, the key at hand does not serve")
	}
	f.clock.add(48 * time.Hour)
	bare := get()
	if bare == third || len(attest.Schemes(bare.Leaf)) != 0 {
		t.Error("a key serves beyond its evidence")
	}
	f.hardware.broken.Store(false)
	f.clock.add(maxRetryAfter)
	if c := get(); c == bare || len(attest.Schemes(c.Leaf)) != 1 {
		t.Error("no new key when evidence can be had again")
	}
}
