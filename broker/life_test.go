package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// refused tells how an exchange is refused.
func (f *fixture) refused(t *testing.T, p *idp) string {
	t.Helper()
	_, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: p.token(t, f.clock.now())})
	if err == nil {
		t.Fatal("a token is given")
	}
	return codeOf(err)
}

func TestStartWithoutEvidence(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	var broken *hardware
	f := newFixture(t, func(c *Config) {
		broken = newHardware(t)
		broken.broken.Store(true)
		c.Quoter = broken
	}, p)
	if got := f.refused(t, p); got != exchange.TemporarilyUnavailable {
		t.Errorf("got %q", got)
	}
	resp, text := f.post(t, "/token", formType, form(p.token(t, noon)).Encode())
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %s %s", resp.Status, text)
	}
	if resp, text := f.get(t, "/.well-known/jwks.json"); resp.StatusCode != 200 || text != `{"keys":[]}` {
		t.Errorf("got %s %s", resp.Status, text)
	}
	if a := f.attestation(t); len(a.Keys) != 0 || a.Collateral != nil {
		t.Errorf("got %+v", a)
	}
	if resp, text := f.get(t, "/readyz"); resp.StatusCode != 503 || !strings.Contains(text, "no evidence can be had") || strings.Contains(text, "kid") {
		t.Errorf("got %s %s", resp.Status, text)
	}
	// The certificate is for nobody who checks.
	bare, err := f.TLSCertificate()
	if err != nil || len(attest.Schemes(bare.Leaf)) != 0 || bare.Leaf.VerifyHostname("broker.example.com") != nil {
		t.Errorf("got %v, %v", bare, err)
	}
	if again, _ := f.TLSCertificate(); again != bare {
		t.Error("each handshake makes a certificate")
	}
	// New rules need nobody's patience now.
	next := parseRules(t, ruleFile("-new", p))
	if err := f.SetRules(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	broken.broken.Store(false)
	f.at(t, 5*time.Second)
	f.verify(t, f.exchangeFor(t, p))
	if h := f.health(); h.Rules != next.DigestString() || h.Announced != nil {
		t.Errorf("got %+v", h)
	}
	f.clock.add(5 * time.Second)
	if c, err := f.TLSCertificate(); err != nil || len(attest.Schemes(c.Leaf)) != 1 {
		t.Errorf("the certificate has no evidence still: %v", err)
	}
	if f.health().Status != healthReady {
		t.Errorf("got %+v", f.health())
	}
}

// By itself, and soon.
func TestRunRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHardware(t)
		h.broken.Store(true)
		set := parseRules(t, []byte(`{"configs":[{"idp":"https://idp.example.com/","jwk_endpoint":"https://127.0.0.1:1/","client_id":"c","server_api":["a"],"scope":"s","expiration":60}]}`))
		offline := &http.Client{Transport: offline{}}
		b, err := New(t.Context(), Config{Issuer: brokerURL, Rules: set, Quoter: h, Audit: silent(), Client: offline})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.TLSCertificate(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { b.Run(ctx); close(ended) }()
		time.Sleep(20 * time.Minute)
		if b.health().Status != healthUnready {
			t.Errorf("got %+v", b.health())
		}
		h.broken.Store(false)
		time.Sleep(maxRetryAfter + time.Second)
		if b.ring.current.Load().key == nil || !b.tls.own.Load().attested {
			t.Errorf("got %+v", b.health())
		}
		cancel()
		<-ended
	})
}

// offline is a network that is down.
type offline struct{}

func (offline) RoundTrip(*http.Request) (*http.Response, error) { return nil, http.ErrHandlerTimeout }

// ending is hardware whose evidence ends.
type ending struct {
	*hardware
	clock *clock
	lasts time.Duration
}

func (e *ending) Quote(ctx context.Context, data [64]byte) (*attest.Evidence, error) {
	evidence, err := e.hardware.Quote(ctx, data)
	if err != nil {
		return nil, err
	}
	with := *evidence
	with.NotAfter = e.clock.now().Add(e.lasts)
	return &with, nil
}

// newEnding is a broker whose evidence ends after three hours.
func newEnding(t *testing.T, change func(*Config), p *idp) (*fixture, *ending) {
	e := &ending{hardware: newHardware(t), clock: newClock(noon), lasts: 3 * time.Hour}
	f := newFixture(t, func(c *Config) {
		c.Quoter, c.Now = e, e.clock.now
		if change != nil {
			change(c)
		}
	}, p)
	f.clock, f.hardware = e.clock, e.hardware
	return f, e
}

// certificates are those of the key set, by key.
func (f *fixture) certificates(t *testing.T) map[string]*x509.Certificate {
	t.Helper()
	set, err := jose.ParseSet(f.ring.published.Load().body)
	if err != nil {
		t.Fatal(err)
	}
	certs := map[string]*x509.Certificate{}
	for _, k := range set {
		if certs[k.KeyID], err = x509.ParseCertificate(k.Certificate[0]); err != nil {
			t.Fatal(err)
		}
	}
	return certs
}

func TestEvidenceIsRenewedBeforeItEnds(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	day := func(c *Config) {
		c.Rules = parseRules(t, []byte(strings.Replace(string(ruleFile("", p)), `"expiration":3600`, `"expiration":86400`, 1)))
	}
	f, _ := newEnding(t, day, p)
	first := f.ring.current.Load().key.id
	cert := f.certificates(t)[first]
	f.at(t, 2*time.Hour-time.Second)
	if again := f.certificates(t)[first]; !again.Equal(cert) {
		t.Error("it is renewed too early")
	}
	f.at(t, 2*time.Hour)
	renewed := f.certificates(t)[first]
	if len(f.published(t)) != 1 || renewed.Equal(cert) || !renewed.NotBefore.After(cert.NotBefore) {
		t.Errorf("got %v, want a new certificate for the same key", renewed)
	}
	if b := appraise(t, renewed).Binding; b.RulesDigest != f.ring.wanted.Digest() {
		t.Errorf("bound: %+v", b)
	}
	if a := f.attestation(t); string(a.Keys[0].Certificates[0]) != string(renewed.Raw) {
		t.Error("the attestation document has the old certificate")
	}
	old := f.exchangeFor(t, p)
	// For days: in use, announced, in use again, and the retired as long as their tokens live.
	for h := 3; h < 60; h++ {
		f.at(t, time.Duration(h)*time.Hour)
		f.at(t, time.Duration(h)*time.Hour+announceFor)
		for _, k := range f.ring.all(f.ring.current.Load()) {
			if !k.evidence.usable(f.clock.now()) {
				t.Fatalf("after %d hours, the evidence of a published key has ended", h)
			}
		}
		f.exchangeFor(t, p)
		if h < 26 {
			f.verify(t, old)
		}
	}
	if f.health().Status != healthReady || f.ring.current.Load().key.id == first {
		t.Errorf("got %+v", f.health())
	}
}

func TestEvidenceCannotBeRenewed(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f, _ := newEnding(t, nil, p)
	key := f.ring.current.Load().key.id
	f.hardware.broken.Store(true)
	f.at(t, 2*time.Hour)
	f.verify(t, f.exchangeFor(t, p))
	if h := f.health(); h.Status != healthDegraded || !strings.Contains(h.Reasons[0], "can't be renewed; the key in use may sign until 2026-03-01T15:00:00Z") {
		t.Errorf("got %+v", h)
	}
	f.at(t, 3*time.Hour)
	f.exchangeFor(t, p)
	f.at(t, 3*time.Hour+time.Second)
	if got := f.refused(t, p); got != exchange.TemporarilyUnavailable || f.health().Status != healthUnready {
		t.Errorf("got %q, %+v: no checker could verify what is signed now", got, f.health())
	}
	if len(f.published(t)) != 1 {
		t.Error("the key is published no more")
	}
	f.hardware.broken.Store(false)
	f.at(t, 3*time.Hour+2*time.Minute)
	f.verify(t, f.exchangeFor(t, p))
	if got := f.ring.current.Load().key.id; got != key || f.health().Status != healthReady {
		t.Errorf("got the key %s, %+v", got, f.health())
	}
}

// Evidence that ended before it came is none: a clock is wrong, and to ask again at once would help nobody.
func TestEvidenceOfThePast(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f, e := newEnding(t, nil, p)
	e.lasts = -time.Second
	f.at(t, 2*time.Hour)
	quotes := f.hardware.quotes.Load()
	f.at(t, 2*time.Hour)
	if err := f.ring.renewal.err; err == nil || !strings.Contains(err.Error(), "is this clock right?") || f.hardware.quotes.Load() != quotes {
		t.Errorf("got %v, and %d quotes more", err, f.hardware.quotes.Load()-quotes)
	}
}

// The compatibility profile has two quotes for a key, and renews both.
func TestOriginalEvidenceIsRenewed(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f, _ := newEnding(t, func(c *Config) { c.Original = true }, p)
	key := f.ring.current.Load().key.id
	quotes := f.hardware.quotes.Load()
	f.at(t, 2*time.Hour)
	if got := attest.Schemes(f.certificates(t)[key]); len(got) != 2 || f.hardware.quotes.Load() != quotes+2 {
		t.Errorf("got evidence by %v, %d quotes", got, f.hardware.quotes.Load()-quotes)
	}
}

// A key that another replaces before its evidence ends needs no other.
func TestRenewalNearRotation(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f, e := newEnding(t, nil, p)
	f.at(t, 2*time.Hour-time.Second)
	if err := f.SetRules(t.Context(), parseRules(t, ruleFile("-new", p))); err != nil {
		t.Fatal(err)
	}
	quotes := e.quotes.Load()
	f.at(t, 2*time.Hour)
	if e.quotes.Load() != quotes {
		t.Error("the evidence of a key is renewed that is retired in two minutes, and has signed nothing")
	}
	last := f.exchangeFor(t, p)
	f.at(t, 2*time.Hour+announceFor)
	f.at(t, 2*time.Hour+50*time.Minute)
	f.verify(t, last)
	f.at(t, 3*time.Hour) // the retired key has a token of an hour, and evidence of no more
	if len(f.published(t)) != 2 {
		t.Fatalf("got %v", f.published(t))
	}
	for _, k := range f.ring.retired {
		if k.evidence.ends.Before(k.goneAt()) {
			t.Error("the retired key's evidence ends before its token")
		}
	}
}

// tlsCertificate is the attested one of a key in the document.
func (f *fixture) tlsCertificate(t *testing.T, key any) *x509.Certificate {
	t.Helper()
	for _, k := range f.attestation(t).Keys {
		cert, err := x509.ParseCertificate(k.Certificates[0])
		if err != nil {
			t.Fatal(err)
		}
		if k.Use == attest.UseTLS && jose.SameKey(cert.PublicKey, key) {
			return cert
		}
	}
	return nil
}

func TestPublicTLSKeyIsAttested(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f, _ := newEnding(t, nil, p)
	if _, err := f.TLSCertificate(); err != nil {
		t.Fatal(err)
	}
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	names := []string{"broker.example.com", "sts.example.com"}
	if err := f.AttestTLSKey(key, names); err != nil {
		t.Fatal(err)
	}
	cert := f.tlsCertificate(t, key.Public())
	if cert == nil || cert.VerifyHostname("sts.example.com") != nil || appraise(t, cert).Binding.Use != attest.UseTLS {
		t.Fatalf("got %v", cert)
	}
	quotes := f.hardware.quotes.Load()
	if err := f.AttestTLSKey(key, []string{"sts.example.com", "broker.example.com"}); err != nil || f.hardware.quotes.Load() != quotes {
		t.Errorf("the same again makes a quote: %v", err)
	}
	// Renewed, and following the rules, like the other.
	f.clock.add(2 * time.Hour)
	f.tls.advance(t.Context())
	renewed := f.tlsCertificate(t, key.Public())
	if renewed.Equal(cert) {
		t.Error("its evidence is not renewed")
	}
	next := parseRules(t, ruleFile("-new", p))
	if err := f.SetRules(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	f.clock.add(announceFor)
	f.ring.advance(t.Context())
	f.tls.advance(t.Context())
	for _, k := range f.attestation(t).Keys {
		cert, _ := x509.ParseCertificate(k.Certificates[0])
		if k.Use == attest.UseTLS && attestedDigest(t, cert) != next.Digest() {
			t.Errorf("the TLS key %s names the old rules", k.KeyID)
		}
	}
	// Replaced, and taken away.
	other, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err := f.AttestTLSKey(other, nil); err != nil {
		t.Fatal(err)
	}
	if c := f.tlsCertificate(t, other.Public()); c == nil || c.VerifyHostname("broker.example.com") != nil || f.tlsCertificate(t, key.Public()) != nil {
		t.Error("the old key stays, or the new one is not there")
	}
	if err := f.AttestTLSKey(nil, nil); err != nil || len(named(f.attestation(t), attest.UseTLS)) != 1 {
		t.Errorf("got %v, want the key gone", err)
	}
}

func attestedDigest(t *testing.T, cert *x509.Certificate) [32]byte {
	t.Helper()
	return appraise(t, cert).Binding.RulesDigest
}

func TestPublicTLSKeyWithoutEvidence(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	f.hardware.broken.Store(true)
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := f.AttestTLSKey(key, nil); err != nil {
		t.Errorf("that there is no evidence now is no error: %v", err)
	}
	if h := f.health(); h.Status != healthDegraded || !strings.Contains(h.Reasons[0], "TLS key") {
		t.Errorf("got %+v", h)
	}
	f.hardware.broken.Store(false)
	f.clock.add(time.Minute)
	f.tls.advance(t.Context())
	if f.tlsCertificate(t, key.Public()) == nil || f.health().Status != healthReady {
		t.Errorf("got %+v", f.health())
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.AttestTLSKey(weak, nil); err == nil || !strings.Contains(err.Error(), "1024 bits") {
		t.Errorf("got %v", err)
	}
	if err := f.AttestTLSKey(key, []string{"a b"}); err == nil || !strings.Contains(err.Error(), `got "a b"`) {
		t.Errorf("got %v", err)
	}
}
