package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
)

// publicOf is a public certificate in the making, which nobody has attested and no CA has given.
func publicOf(t *testing.T, directory string, log *slog.Logger) *public {
	t.Helper()
	c := &config{Issuer: "https://Broker.example.com", TLS: tlsKeys{Names: []string{"sts.example.com", "broker.example.com"}, ACME: &certificate{Directory: directory, AcceptTerms: true}}}
	p, err := newPublic(c, func(crypto.Signer, []string) error { return nil }, func(*x509.Certificate) bool { return true }, log)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"broker.example.com", "sts.example.com"}; !slices.Equal(p.names, want) {
		t.Fatalf("got names %q, want %q", p.names, want)
	}
	return p
}

// leafOf is a certificate for a key, DER, that nobody else has signed.
func leafOf(t *testing.T, key *ecdsa.PrivateKey, end time.Time, names ...string) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-time.Hour), NotAfter: end, DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// What a handshake is answered with: the public certificate for its names alone, and a proof to nobody but the CA.
func TestHandshakes(t *testing.T) {
	p := publicOf(t, "https://ca.example.com/", slog.New(slog.DiscardHandler))
	own, proof := &tls.Certificate{}, &tls.Certificate{}
	pair := func(end time.Time) *tls.Certificate {
		c, err := p.pair([][]byte{leafOf(t, p.key, end, p.names...)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	good, ended := pair(time.Now().Add(time.Hour)), pair(time.Now().Add(time.Hour))
	ended.Leaf.NotAfter = time.Now().Add(-time.Second)
	for name, c := range map[string]struct {
		server    string
		protocols []string
		shown     *tls.Certificate
		proving   bool
		want      *tls.Certificate // nil: an error
	}{
		"before there is one":               {"broker.example.com", nil, nil, false, own},
		"a name of it":                      {"broker.example.com", []string{"h2"}, good, false, good},
		"a name of it, spelt otherwise":     {"STS.example.com", nil, good, false, good},
		"another name":                      {"evil.example.com", nil, good, false, own},
		"no name, as of who dials an IP":    {"", nil, good, false, own},
		"after it has ended":                {"broker.example.com", nil, ended, false, own},
		"the CA, which asks for a proof":    {"broker.example.com", []string{"acme-tls/1"}, good, true, proof},
		"a proof that nobody wants now":     {"broker.example.com", []string{"acme-tls/1"}, good, false, nil},
		"a proof of another name":           {"sts.example.com", []string{"acme-tls/1"}, good, true, nil},
		"a client that offers all it knows": {"broker.example.com", []string{"acme-tls/1", "h2"}, good, true, good},
	} {
		p.shown.Store(c.shown)
		if p.show("broker.example.com", nil); c.proving {
			p.show("broker.example.com", proof)
		}
		got, err := p.choose(&tls.ClientHelloInfo{ServerName: c.server, SupportedProtos: c.protocols}, func() (*tls.Certificate, error) { return own, nil })
		if got != c.want || (err == nil) != (c.want != nil) {
			t.Errorf("%s: got %p, %v, want %p", name, got, err, c.want)
		}
	}
}

// A CA's answer that is not what was asked for is not shown.
func TestCertificatesThatAreNotOurs(t *testing.T) {
	p := publicOf(t, "https://ca.example.com/", slog.New(slog.DiscardHandler))
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	for says, chain := range map[string][][]byte{
		"the CA's answer has none": nil,
		"malformed":                {[]byte("junk")},
		"of another key":           {leafOf(t, stranger, later, p.names...)},
		"not sts.example.com":      {leafOf(t, p.key, later, "broker.example.com")},
		"it ended at":              {leafOf(t, p.key, time.Now().Add(-time.Minute), p.names...)},
	} {
		if got, err := p.pair(chain); err == nil || got != nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want … %s", err, says)
		}
	}
}

// The CA is asked ever more rarely while it refuses, and never sooner than it says.
func TestPatienceWithTheCA(t *testing.T) {
	limited := fmt.Errorf("order: %w", &acme.Error{ProblemType: "urn:ietf:params:acme:error:rateLimited", Header: http.Header{"Retry-After": {"7200"}}})
	endless := &acme.Error{ProblemType: "urn:ietf:params:acme:error:rateLimited", Header: http.Header{"Retry-After": {"9999999"}}}
	for _, c := range []struct {
		failed int
		err    error
		want   time.Duration
	}{
		{1, errors.New("x"), time.Minute}, {2, errors.New("x"), 2 * time.Minute}, {9, errors.New("x"), 256 * time.Minute},
		{10, errors.New("x"), 6 * time.Hour}, {1 << 40, errors.New("x"), 6 * time.Hour},
		{1, limited, 2 * time.Hour}, {1, endless, 6 * time.Hour},
	} {
		if got := backoff(c.failed, c.err); got != c.want {
			t.Errorf("after %d failures, %v: got %v, want %v", c.failed, c.err, got, c.want)
		}
	}
	if repeat(1, nil, &http.Response{StatusCode: 500}) <= 0 || repeat(1, nil, &http.Response{StatusCode: 429}) != 0 || repeat(repeats+1, nil, nil) != 0 {
		t.Error("a request is repeated a few times, and not at all where there were too many")
	}
}

// A CA can be wrong in any way: that is an error, in bounded time and memory, and is told once while it stays the same.
func TestCAsThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		says  string
	}{
		"nothing there":  {http.NotFound, "404"},
		"a web page":     {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "invalid character"},
		"without end":    {func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte(" "), maxACME+1)) }, "too large"},
		"somewhere else": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "302"},
		"no directory":   {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }, "account: "},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.serve)
			defer server.Close()
			var log bytes.Buffer
			p := publicOf(t, server.URL, slog.New(slog.NewJSONHandler(&log, nil)))
			for range 2 {
				again, err := p.renew(t.Context())
				if err == nil || again != 0 || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, %v, want … %s", again, err, c.says)
				}
				p.tell(err)
			}
			if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "the attested certificate is shown in its place") {
				t.Errorf("logged %s, want one line", got)
			}
		})
	}
}

// Another kind of fault is told, the same one in other words is not, and neither is one that has passed.
func TestFaultsAreToldOnce(t *testing.T) {
	var log bytes.Buffer
	p := publicOf(t, "https://ca.example.com/", slog.New(slog.NewJSONHandler(&log, nil)))
	problem := func(kind, detail string) error {
		return fmt.Errorf("order: %w", &acme.Error{ProblemType: kind, Detail: detail})
	}
	refused := func(name string) error {
		return fmt.Errorf("%s: %w", name, &acme.AuthorizationError{Identifier: name, Errors: []error{&acme.Error{ProblemType: "connection"}}})
	}
	for i, c := range []struct {
		err  error
		told bool
	}{
		{problem("rateLimited", "until 1 o'clock"), true}, {problem("rateLimited", "until 2 o'clock"), false}, {problem("malformed", ""), true},
		{refused("broker.example.com"), true}, {refused("broker.example.com"), false}, {refused("sts.example.com"), true},
		{errors.New("account: Get dial 1"), true}, {errors.New("account: Get dial 2"), false}, {errors.New("order: no"), true},
		{nil, false}, {errors.New("order: no"), true}, {errors.New(strings.Repeat("x", 5000)), true},
	} {
		log.Reset()
		p.tell(c.err)
		if got := log.Len() > 0; got != c.told || log.Len() > 2000 {
			t.Errorf("%d, %.80v: told %v in %d bytes, want %v", i, c.err, got, log.Len(), c.told)
		}
	}
}

// No request is answered on a connection that was for a proof (RFC 8737 section 3).
func TestGuard(t *testing.T) {
	handler := guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for protocol, want := range map[string]int{"h2": http.StatusTeapot, "": http.StatusTeapot, "acme-tls/1": 0} {
		func() {
			w := httptest.NewRecorder()
			w.Code = 0
			defer func() {
				if r := recover(); (r != nil) != (want == 0) || w.Code != want {
					t.Errorf("%q: got %d, %v", protocol, w.Code, r)
				}
			}()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.TLS = &tls.ConnectionState{NegotiatedProtocol: protocol}
			handler.ServeHTTP(w, r)
		}()
	}
}

// A client with a policy would look in vain for the key of a certificate that is shown before its key is attested.
func TestPublicCertificateWaitsForEvidence(t *testing.T) {
	p := publicOf(t, "https://ca.example.com/", slog.New(slog.DiscardHandler))
	public, err := p.pair([][]byte{leafOf(t, p.key, time.Now().Add(time.Hour), p.names...)})
	if err != nil {
		t.Fatal(err)
	}
	p.shown.Store(public)
	attested, own := false, &tls.Certificate{}
	p.listed = func(c *x509.Certificate) bool { return attested && c == public.Leaf }
	for _, want := range []*tls.Certificate{own, public} {
		got, err := p.choose(&tls.ClientHelloInfo{ServerName: "broker.example.com"}, func() (*tls.Certificate, error) { return own, nil })
		if err != nil || got != want {
			t.Errorf("attested %v: got %v, %v", attested, got, err)
		}
		attested = true
	}
}
