package attest_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
)

// authority is a certificate authority that everybody but us trusts.
var authority = newAuthority()

type ca struct {
	key  crypto.Signer
	cert *x509.Certificate
}

func newAuthority() *ca {
	key := keys.p384()
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "public CA"}, NotBefore: day(-365), NotAfter: day(3650),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return &ca{key, made(x509.ParseCertificate(made(x509.CreateCertificate(rand.Reader, t, t, key.Public(), key))))}
}

// issue makes a certificate for a key, valid from day 0 to day 90.
func (a *ca) issue(key crypto.Signer, change func(*x509.Certificate)) *tls.Certificate {
	t := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: day(0), NotAfter: day(90),
		DNSNames: []string{"broker.example.com"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	apply(change, t)
	der := made(x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key))
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
}

// publicBroker shows a certificate of the authority, and lists attested ones of the key in its document.
type publicBroker struct {
	*broker
	hardware *fakeTEE
	now      *clock
	shown    atomic.Pointer[tls.Certificate]
}

func newPublicBroker(t *testing.T) *publicBroker {
	b := &publicBroker{broker: newBroker(t), hardware: newTEE(), now: newClock(day(1))}
	handler := b.Server.Config.Handler
	b.Server = httptest.NewUnstartedServer(handler)
	b.Server.TLS = &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return b.shown.Load(), nil },
		// Without a name in the hello (for an address) httptest's own certificate would be used.
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return &tls.Config{Certificates: []tls.Certificate{*b.shown.Load()}}, nil
		},
	}
	b.Server.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that refuse the certificate
	b.StartTLS()
	t.Cleanup(b.Close)
	return b
}

// forTLS attests a key of the broker.
func (b *publicBroker) forTLS(t testing.TB, key crypto.Signer, change func(*attest.Binding)) *x509.Certificate {
	bound := binding()
	bound.Use, bound.Issuer, bound.Names = attest.UseTLS, b.URL, []string{"broker.example.com", "127.0.0.1"}
	apply(change, &bound)
	return certify(t, b.hardware, key, bound)
}

// list makes the document list these certificates.
func (b *publicBroker) list(certs ...*x509.Certificate) {
	doc := &attest.Attestation{Issuer: b.URL, Keys: []attest.AttestedKey{}}
	for _, c := range certs {
		doc.Keys = append(doc.Keys, attest.AttestedKey{KeyID: kidOf(c), Use: attest.UseTLS, Certificates: [][]byte{c.Raw}})
	}
	b.serveDocument(answerJSON(made(doc.Marshal())))
}

func (b *publicBroker) serveDocument(h http.HandlerFunc) { b.staple.Store(&h) }

func (b *publicBroker) config() attest.Config {
	return attest.Config{URL: b.URL, Policy: anyPolicy(), Platforms: platforms(b.hardware), Now: b.now.now}
}

// connect makes a connection of its own by this trust.
func (b *publicBroker) connect(trust *tls.Config) error {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}}
	resp, err := client.Get(b.URL + "/")
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func TestTLSConfigPublicCertificate(t *testing.T) {
	const unlisted = "lists no attested certificate of its key (SHA-256 of the SubjectPublicKeyInfo "
	key, other := newP256(t), newP256(t)
	for name, test := range map[string]struct {
		shown  func(*x509.Certificate)
		listed func(b *publicBroker)
		config func(*attest.Config)
		want   string // empty: accepted
	}{
		"as it should be":          {},
		"another certificate, too": {listed: func(b *publicBroker) { b.list(b.forTLS(t, other, nil), b.forTLS(t, key, nil)) }},
		"renewed":                  {listed: func(b *publicBroker) { b.list(b.forTLS(t, key, expired), b.forTLS(t, key, nil)) }},
		"of no authority":          {shown: func(c *x509.Certificate) { c.Subject.CommonName = "anybody" }},
		"no document":              {listed: func(b *publicBroker) { b.serveDocument(http.NotFound) }, want: "the broker serves no attestation document"},
		"a withheld document":      {listed: func(b *publicBroker) { b.serveDocument(answer(503, "text/plain", nil)) }, want: "got status 503"},
		"a web page":               {listed: func(b *publicBroker) { b.serveDocument(answer(200, "text/html", []byte("<html>"))) }, want: "web page"},
		"an empty document":        {listed: func(b *publicBroker) { b.list() }, want: unlisted},
		"another key":              {listed: func(b *publicBroker) { b.list(b.forTLS(t, other, nil)) }, want: unlisted},
		"a signing key": {
			listed: func(b *publicBroker) {
				b.list(b.forTLS(t, key, func(b *attest.Binding) { b.Use = attest.UseSignature }))
			},
			want: "use: got sig, want tls",
		},
		"listed as a signing key": {
			listed: func(b *publicBroker) {
				b.serveDocument(answerJSON(made(document(b.forTLS(t, key, nil), []byte(`{}`)).Marshal())))
			},
			want: unlisted,
		},
		"a document of junk": {
			listed: func(b *publicBroker) {
				b.serveDocument(answerJSON([]byte(`{"issuer":"i","keys":[{"kid":"k","use":"tls","x5c":["AA=="]}]}`)))
			},
			want: unlisted,
		},
		"the public certificate": {
			listed: func(b *publicBroker) { b.list(made(x509.ParseCertificate(b.shown.Load().Certificate[0]))) },
			want:   "lists its key: no evidence by the scheme dice",
		},
		"evidence for another name": {
			listed: func(b *publicBroker) {
				b.list(b.forTLS(t, key, func(b *attest.Binding) { b.Names = []string{"other.example.com"} }))
			},
			want: "lists its key: x509: cannot validate certificate for 127.0.0.1",
		},
		"evidence of another broker": {
			listed: func(b *publicBroker) {
				b.list(b.forTLS(t, key, func(b *attest.Binding) { b.Issuer = "https://other.example.com" }))
			},
			want: "issuer: got https://other.example.com",
		},
		"evidence that is over":     {listed: func(b *publicBroker) { b.list(b.forTLS(t, key, expired)) }, want: "lists its key: the key expired at"},
		"a forged certificate":      {listed: func(b *publicBroker) { b.list(copied(t, b.forTLS(t, key, nil), other)) }, want: "not signed by its own key"},
		"another build":             {config: func(c *attest.Config) { c.Policy.Builds[0].Measurements["mrenclave"] = make([]byte, 32) }, want: "builds[0].mrenclave"},
		"collateral is over":        {config: func(c *attest.Config) { c.EvidenceNow = newClock(day(31)).now }, want: "collateral is not valid"},
		"shown for another name":    {shown: func(c *x509.Certificate) { c.IPAddresses = nil }, want: "127.0.0.1"},
		"shown after its time":      {shown: func(c *x509.Certificate) { c.NotAfter = day(1).Add(-61 * time.Second) }, want: "which carries no evidence, is valid from"},
		"shown before its time":     {shown: func(c *x509.Certificate) { c.NotBefore = day(1).Add(61 * time.Second) }, want: "which carries no evidence, is valid from"},
		"shown within the leeway":   {shown: func(c *x509.Certificate) { c.NotAfter = day(1).Add(-time.Minute) }},
		"with evidence of no worth": {shown: func(c *x509.Certificate) { c.ExtraExtensions = []extension{{Id: oidCMW, Value: []byte{4, 0}}} }, want: "evidence: wrapper: EOF"},
		"keys of no issuer": {
			config: func(c *attest.Config) { c.Issuer, c.URL = c.URL, c.URL+"/keys.json" },
			want:   "the URL names no issuer whose attestation document",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newPublicBroker(t)
			b.shown.Store(authority.issue(key, test.shown))
			b.list(b.forTLS(t, key, nil))
			if test.listed != nil {
				test.listed(b)
			}
			c := b.config()
			apply(test.config, &c)
			err := b.connect(made(attest.TLSConfig(c)))
			if test.want != "" {
				wantError(t, err, test.want)
				wantError(t, err, "attested TLS: ")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// expired makes a binding one of the day before.
func expired(b *attest.Binding) { b.Issued, b.Expires = day(-1), day(0) }

// copied is a certificate of the same content and key that somebody else has signed.
func copied(t testing.TB, cert *x509.Certificate, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	c := *cert
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(oidDICE) {
			c.ExtraExtensions = append(c.ExtraExtensions, ext)
		}
	}
	parent := &x509.Certificate{Subject: cert.Subject, SerialNumber: big.NewInt(1)}
	return made(x509.ParseCertificate(made(x509.CreateCertificate(rand.Reader, &c, parent, cert.PublicKey, signer))))
}

// A man in the middle has a certificate of a public authority for the broker's name, and hands on the broker's own document.
func TestTLSConfigManInTheMiddle(t *testing.T) {
	b := newPublicBroker(t)
	b.list(b.forTLS(t, newP256(t), nil))
	theirs := newP256(t)
	b.shown.Store(authority.issue(theirs, nil))
	wantError(t, b.connect(made(attest.TLSConfig(b.config()))), "lists no attested certificate of its key")

	// Genuine evidence of another enclave, which makes what certificates he wants, is of another build.
	elsewhere := newTEE()
	elsewhere.report.Measurements = map[string][]byte{"mrenclave": make([]byte, 32)}
	c := b.config()
	c.Platforms = platforms(elsewhere)
	b.list(b.forTLS(t, theirs, nil))
	err := b.connect(made(attest.TLSConfig(c)))
	var refused *attest.RefusalError
	if !errors.As(err, &refused) || refused.Refusals[0].Key != "builds[0].mrenclave" {
		t.Errorf("got %v", err)
	}
}

// The document is asked for at most once in 30 s, whatever certificates are shown.
func TestTLSConfigAsksForTheDocumentOnce(t *testing.T) {
	b := newPublicBroker(t)
	first, second := newP256(t), newP256(t)
	b.shown.Store(authority.issue(first, nil))
	b.list(b.forTLS(t, first, nil))
	trust := made(attest.TLSConfig(b.config()))
	asked := func(want int32) {
		t.Helper()
		if n := b.asked.Load(); n != want {
			t.Errorf("asked %d times, want %d", n, want)
		}
	}
	for range 5 {
		if err := b.connect(trust); err != nil {
			t.Fatal(err)
		}
	}
	asked(1)

	// A new key, as after a restart, is not known yet; within the budget it is asked for, once.
	b.shown.Store(authority.issue(second, nil))
	b.list(b.forTLS(t, second, nil))
	for range 5 {
		wantError(t, b.connect(trust), "lists no attested certificate of its key")
	}
	asked(1)
	b.now.advance(31 * time.Second)
	for range 5 {
		if err := b.connect(trust); err != nil {
			t.Fatal(err)
		}
	}
	asked(2)

	// Somebody else's key is asked about within the same budget.
	b.shown.Store(authority.issue(newP256(t), nil))
	for range 4 {
		b.now.advance(10 * time.Second)
		wantError(t, b.connect(trust), "lists no attested certificate of its key")
	}
	asked(3)

	// What is known serves while the document is withheld.
	b.shown.Store(authority.issue(second, nil))
	b.serveDocument(answer(503, "text/plain", nil))
	b.now.advance(time.Hour)
	if err := b.connect(trust); err != nil {
		t.Error(err)
	}
	b.shown.Store(authority.issue(first, nil))
	b.now.advance(time.Hour)
	wantError(t, b.connect(trust), "a newer document can't be had: GET "+b.URL+attest.WellKnownAttestation+": got status 503")
}

// counting is hardware whose verifier counts what it is asked.
type counting struct {
	*fakeTEE
	verified atomic.Int32
}

func (c *counting) Verify(ctx context.Context, e *attest.Evidence, at time.Time) (*attest.Report, error) {
	c.verified.Add(1)
	return c.fakeTEE.Verify(ctx, e, at)
}

// Evidence of any platform vouches for a connection, in the certificate that is shown and in one that is listed.
func TestTLSConfigOtherPlatforms(t *testing.T) {
	b := newPublicBroker(t)
	b.hardware = newOther("nitro", nitroDocument)
	key := newP256(t)
	cert := b.forTLS(t, key, nil)
	b.shown.Store(&tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key})
	if err := b.connect(made(attest.TLSConfig(b.config()))); err != nil {
		t.Errorf("shown: %v", err)
	}
	b.shown.Store(authority.issue(key, nil))
	b.list(cert)
	if err := b.connect(made(attest.TLSConfig(b.config()))); err != nil {
		t.Errorf("listed: %v", err)
	}
}

// A list of many certificates costs no more than one of few.
func TestTLSConfigManyListed(t *testing.T) {
	b := newPublicBroker(t)
	key := newP256(t)
	b.shown.Store(authority.issue(key, nil))
	counted := &counting{fakeTEE: b.hardware}
	c := b.config()
	c.Platforms = []attest.Verifier{counted}
	c.Policy.Builds[0].Measurements["mrenclave"] = make([]byte, 32)
	var certs []*x509.Certificate
	for range 20 {
		certs = append(certs, b.forTLS(t, key, nil))
	}
	b.list(certs...)
	wantError(t, b.connect(made(attest.TLSConfig(c))), "builds[0].mrenclave")
	if n := counted.verified.Load(); n > 3 {
		t.Errorf("verified %d pieces of evidence for one connection", n)
	}
}

// A resumed session is judged again.
func TestTLSConfigPublicCertificateResumed(t *testing.T) {
	b := newPublicBroker(t)
	key := newP256(t)
	b.shown.Store(authority.issue(key, nil))
	b.list(b.forTLS(t, key, nil))
	trust := made(attest.TLSConfig(b.config()))
	trust.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	trust.Time = func() time.Time { return day(1) }
	for range 2 {
		if err := b.connect(trust); err != nil {
			t.Fatal(err)
		}
	}
	b.now.set(day(3))
	wantError(t, b.connect(trust), "the key expired at")
}

// A key set knows a server with a public certificate in the same way.
func TestKeySetOverPublicCertificate(t *testing.T) {
	b := newPublicBroker(t)
	key := newP256(t)
	b.shown.Store(authority.issue(key, nil))
	b.list(b.forTLS(t, key, nil))
	bound := binding()
	bound.Issuer = b.URL
	cert := certify(t, b.hardware, newP256(t), bound)
	b.publish(jwk(t, cert))
	set := made(attest.NewKeySet(b.config()))
	if _, err := set.Key(t.Context(), kidOf(cert)); err != nil {
		t.Error(err)
	}
	b.list()
	_, err := made(attest.NewKeySet(b.config())).Key(t.Context(), kidOf(cert))
	wantError(t, err, "lists no attested certificate of its key")
	if errors.Is(err, ctb.ErrUnknownKey) {
		t.Errorf("got %v: a server that is not known must not look like a bad token", err)
	}
}
