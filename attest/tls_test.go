package attest_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
)

// serveTLS serves HTTPS with a certificate and its key.
func serveTLS(t *testing.T, cert *x509.Certificate, key crypto.Signer) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("ok")) }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that refuse the certificate
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestTLSConfig(t *testing.T) {
	tee := newTEE()
	debug := newTEE()
	debug.report.Debug = true
	forTLS := func(change func(*attest.Binding)) attest.Binding {
		b := binding()
		b.Use, b.Names = attest.UseTLS, []string{"broker.example.com", "127.0.0.1"}
		apply(change, &b)
		return b
	}
	tests := map[string]struct {
		binding func(*attest.Binding)
		config  func(*attest.Config)
		host    string // that is dialled, empty for the address
		tee     *fakeTEE
		want    string // in the error; empty if the peer is accepted
	}{
		"by address":      {},
		"by name":         {host: "broker.example.com"},
		"another name":    {host: "other.example.com", want: "not other.example.com"},
		"another address": {binding: func(b *attest.Binding) { b.Names = []string{"broker.example.com", "127.0.0.2"} }, want: "not 127.0.0.1"},
		"no names":        {binding: func(b *attest.Binding) { b.Names = nil }, want: "127.0.0.1"},
		"a signing key":   {binding: func(b *attest.Binding) { b.Use = attest.UseSignature }, want: `use: got sig, want tls`},
		"another issuer":  {binding: func(b *attest.Binding) { b.Issuer = "https://other.example.com" }, want: "issuer: got https://other.example.com"},
		"issuer of the policy": {
			config: func(c *attest.Config) { c.Policy.Issuer = "https://pinned.example.com" },
			want:   "issuer: got https://127.0.0.1",
		},
		"debug build":           {tee: debug, want: "builds[0].debug"},
		"expired":               {binding: func(b *attest.Binding) { b.Issued, b.Expires = day(0), day(1).Add(-61*time.Second) }, want: "expired at"},
		"expired within leeway": {binding: func(b *attest.Binding) { b.Issued, b.Expires = day(0), day(1).Add(-60*time.Second) }},
		"collateral ended":      {config: func(c *attest.Config) { c.EvidenceNow = func() time.Time { return day(31) } }, want: "collateral is not valid"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			key := newP256(t)
			// The issuer's URL has the port, so the listener comes first.
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			brokerURL := "https://" + l.Addr().String()
			cert := certify(t, tee, key, forTLS(func(b *attest.Binding) { b.Issuer = brokerURL; apply(test.binding, b) }))
			s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.NotFoundHandler(), ErrorLog: log.New(io.Discard, "", 0)}, TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}}
			s.StartTLS()
			defer s.Close()
			if test.tee == nil {
				test.tee = tee
			}
			c := attest.Config{URL: brokerURL, Policy: anyPolicy(), Platforms: platforms(test.tee), Now: newClock(day(1)).now}
			apply(test.config, &c)
			config, err := attest.TLSConfig(c)
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{
				TLSClientConfig: config,
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
				},
			}}
			defer client.CloseIdleConnections()
			target := brokerURL
			if test.host != "" {
				target = "https://" + test.host
			}
			resp, err := client.Get(target)
			if err == nil {
				resp.Body.Close()
			}
			if test.want != "" {
				wantError(t, err, test.want)
				wantError(t, err, "attested TLS: ")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// A peer with a certificate of an authority but no evidence is nobody.
func TestTLSConfigRefusesAuthorities(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	config := made(attest.TLSConfig(attest.Config{URL: s.URL, Policy: anyPolicy(), Platforms: platforms(newTEE()), Now: newClock(day(1)).now}))
	config.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	_, err := client.Get(s.URL)
	wantError(t, err, "the certificate carries no evidence; "+s.URL+attest.WellKnownAttestation+": the broker serves no attestation document")
}

// Someone who copies an attested certificate does not have its key.
func TestTLSConfigRefusesCopiedCertificate(t *testing.T) {
	b := binding()
	b.Use, b.Names = attest.UseTLS, []string{"127.0.0.1"}
	cert := certify(t, newTEE(), newP256(t), b)
	s := serveTLS(t, cert, newP256(t))
	p := anyPolicy()
	p.Issuer = issuer
	config := made(attest.TLSConfig(attest.Config{URL: s.URL, Policy: p, Platforms: platforms(newTEE()), Now: newClock(day(1)).now}))
	_, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: config}}).Get(s.URL)
	if err == nil {
		t.Fatal("accepted a peer without the certificate's key")
	}
}

// A resumed session is judged again: what was accepted yesterday may have expired.
func TestTLSConfigJudgesResumedSessions(t *testing.T) {
	tee, now, key := newTEE(), newClock(day(1)), newP256(t)
	b := binding()
	b.Use, b.Names = attest.UseTLS, []string{"127.0.0.1"}
	s := serveTLS(t, certify(t, tee, key, b), key)
	p := anyPolicy()
	p.Issuer = issuer
	config := made(attest.TLSConfig(attest.Config{URL: s.URL, Policy: p, Platforms: platforms(tee), Now: now.now}))
	if config.ClientSessionCache != nil || config.MinVersion != tls.VersionTLS13 {
		t.Errorf("got session cache %v and TLS %x", config.ClientSessionCache, config.MinVersion)
	}
	config.ClientSessionCache = tls.NewLRUClientSessionCache(8) // as a careless caller would
	config.Time = func() time.Time { return day(1) }            // crypto/tls resumes no session of an expired certificate
	get := func() (resumed bool, err error) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		resp, err := client.Get(s.URL)
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		return resp.TLS.DidResume, nil
	}
	if _, err := get(); err != nil {
		t.Fatal(err)
	}
	if resumed, err := get(); err != nil || !resumed {
		t.Fatalf("got resumed %v, error %v; want a resumed session", resumed, err)
	}
	now.set(day(3))
	_, err := get()
	wantError(t, err, "expired at")
}

func TestTLSConfigRefusesConfig(t *testing.T) {
	good := attest.Config{URL: issuer, Policy: anyPolicy(), Platforms: platforms(newTEE())}
	for name, test := range map[string]struct {
		change func(*attest.Config)
		want   string
	}{
		"no policy":        {func(c *attest.Config) { c.Policy = nil }, "no policy"},
		"no platforms":     {func(c *attest.Config) { c.Platforms = nil }, "no platform verifier"},
		"original scheme":  {func(c *attest.Config) { p := anyPolicy(); p.Scheme = attest.Original; c.Policy = p }, "binds no TLS keys"},
		"plain http":       {func(c *attest.Config) { c.URL = "http://broker.example.com" }, "want an https URL"},
		"no URL":           {func(c *attest.Config) { c.URL = "" }, "want an https URL"},
		"URL of no issuer": {func(c *attest.Config) { c.URL = "https://cdn.example.com/keys.json" }, "names no issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			test.change(&c)
			_, err := attest.TLSConfig(c)
			wantError(t, err, test.want)
		})
	}
}
