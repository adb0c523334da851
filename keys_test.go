package ctb_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

func jwk(t testing.TB, alg string) string {
	t.Helper()
	text, err := jose.MarshalJWK(jose.JWK{KeyID: alg, Algorithm: alg, Key: signers()[alg].Public()})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func jwks(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func TestStaticKeys(t *testing.T) {
	es, ed := keys()[0], keys()[1]
	bare := ctb.Key{Algorithm: es.Algorithm, Public: es.Public}
	for _, c := range []struct {
		set  ctb.StaticKeys
		kid  string
		want string
	}{
		{ctb.StaticKeys{es, ed}, es.ID, es.ID},
		{ctb.StaticKeys{es, ed}, "", "unknown"},
		{ctb.StaticKeys{es, ed}, "x", "unknown"},
		{ctb.StaticKeys{es}, "", es.ID},
		{ctb.StaticKeys{es}, "x", "unknown"},
		{ctb.StaticKeys{bare}, "", ""},
		{ctb.StaticKeys{bare}, "anything", ""},
		{ctb.StaticKeys{bare, ed}, "anything", "unknown"},
		{ctb.StaticKeys{bare, ed}, "", "unknown"},
		{nil, "", "unknown"},
	} {
		k, err := c.set.Key(t.Context(), c.kid)
		if (err != nil) != (c.want == "unknown") || err == nil && k.ID != c.want || err != nil && err != ctb.ErrUnknownKey {
			t.Errorf("%d keys, kid %q: got %q, %v, want %q", len(c.set), c.kid, k.ID, err, c.want)
		}
	}
}

func TestParseKeys(t *testing.T) {
	set, err := ctb.ParseKeys([]byte(jwks(jwk(t, "ES256"), `{"kty":"oct","k":"AAAA"}`, jwk(t, "PS384"))))
	if err != nil || len(set) != 2 || set[1].Algorithm != "PS384" {
		t.Errorf("got %+v, %v", set, err)
	}
	if _, err := ctb.ParseKeys([]byte(jwks(`{"kty":"oct","kid":"shared","k":"AAAA"}`))); err == nil || !strings.Contains(err.Error(), "no usable key") || !strings.Contains(err.Error(), `key "shared": it holds a private`) {
		t.Errorf("got %v", err)
	}
	if _, err := ctb.ParseKeys([]byte(jwks())); err == nil || !strings.Contains(err.Error(), "no usable key") {
		t.Errorf("got %v", err)
	}
	if _, err := ctb.ParseKeys([]byte("<html>")); err == nil {
		t.Error("HTML was read")
	}
}

func TestParsePEM(t *testing.T) {
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	spki := func(alg string) []byte {
		der, err := x509.MarshalPKIXPublicKey(signers()[alg].Public())
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	pkcs1 := x509.MarshalPKCS1PublicKey(signers()["RS256"].Public().(*rsa.PublicKey))
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	for text, want := range map[string]string{
		block("PUBLIC KEY", spki("RS256")):                    "RS256",
		block("PUBLIC KEY", spki("ES256")):                    "ES256",
		block("PUBLIC KEY", spki("ES384")):                    "ES384",
		block("PUBLIC KEY", spki("EdDSA")):                    "EdDSA",
		block("RSA PUBLIC KEY", pkcs1):                        "RS256",
		block("CERTIFICATE", server.Certificate().Raw):        "RS256",
		"some words first\n" + block("RSA PUBLIC KEY", pkcs1): "RS256",
	} {
		if k, err := ctb.ParsePEM([]byte(text)); err != nil || k.Algorithm != want || k.ID != "" {
			t.Errorf("want %s: got %+v, %v", want, k, err)
		}
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("this machine makes no 1024-bit RSA keys:", err)
	}
	for want, text := range map[string]string{
		"no PEM block":               "hello",
		"a second block":             block("PUBLIC KEY", spki("ES256")) + block("PUBLIC KEY", spki("ES256")),
		`PEM block is "PRIVATE KEY"`: block("PRIVATE KEY", []byte{1}),
		"PEM block PUBLIC KEY":       block("PUBLIC KEY", []byte{1}),
		"PEM block CERTIFICATE":      block("CERTIFICATE", []byte{1}),
		"RSA key has 1024 bits":      block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&weak.PublicKey)),
	} {
		if _, err := ctb.ParsePEM([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// idp serves a configuration and a key set, and counts how often it is asked for keys.
type idp struct {
	*httptest.Server
	fetches atomic.Int64
	answer  atomic.Pointer[func(http.ResponseWriter)]
}

func newIDP(t *testing.T, set string) *idp {
	p := &idp{}
	p.serve(func(w http.ResponseWriter) { fmt.Fprint(w, set) })
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			json.NewEncoder(w).Encode(map[string]string{"issuer": p.URL, "jwks_uri": p.URL + "/keys"})
		case "/keys":
			p.fetches.Add(1)
			(*p.answer.Load())(w)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *idp) serve(f func(http.ResponseWriter)) { p.answer.Store(&f) }

// testClock is a clock that tests set.
type testClock struct{ t atomic.Pointer[time.Time] }

func newClock() *testClock { c := &testClock{}; c.t.Store(&now); return c }

func (c *testClock) now() time.Time { return *c.t.Load() }

func (c *testClock) pass(d time.Duration) { next := c.now().Add(d); c.t.Store(&next) }

func TestRemoteKeys(t *testing.T) {
	p := newIDP(t, jwks(jwk(t, "ES256"), `{"kty":"EC","crv":"odd"}`))
	for name, r := range map[string]*ctb.RemoteKeys{
		"by URL":       ctb.NewRemoteKeys(p.URL+"/keys", p.Client()),
		"by discovery": ctb.DiscoverKeys(p.URL, p.Client()),
	} {
		k, err := r.Key(t.Context(), "ES256")
		if err != nil || k.Algorithm != "ES256" {
			t.Errorf("%s: got %+v, %v", name, k, err)
		}
		if _, err := r.Key(t.Context(), "other"); !errors.Is(err, ctb.ErrUnknownKey) || r.Err() != nil {
			t.Errorf("%s: got %v, %v", name, err, r.Err())
		}
	}
}

func TestAFloodOfUnknownKeysCausesOneFetch(t *testing.T) {
	p := newIDP(t, jwks(jwk(t, "ES256")))
	clock := newClock()
	r := &ctb.RemoteKeys{URL: p.URL + "/keys", Client: p.Client(), Now: clock.now}
	flood := func() {
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if _, err := r.Key(t.Context(), fmt.Sprint("random-", i)); !errors.Is(err, ctb.ErrUnknownKey) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	flood()
	clock.pass(29 * time.Second)
	flood()
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("a flood in 30 s caused %d fetches", n)
	}
	// A key that was announced meanwhile is found at the next fetch.
	p.serve(func(w http.ResponseWriter) { fmt.Fprint(w, jwks(jwk(t, "ES256"), jwk(t, "EdDSA"))) })
	clock.pass(time.Second)
	if _, err := r.Key(t.Context(), "EdDSA"); err != nil || p.fetches.Load() != 2 {
		t.Errorf("got %v after %d fetches", err, p.fetches.Load())
	}
}

func TestRemoteKeysOutliveATrouble(t *testing.T) {
	trouble := map[string]struct {
		answer func(http.ResponseWriter)
		want   string
	}{
		"down":    {func(w http.ResponseWriter) { w.WriteHeader(500) }, "status 500"},
		"HTML":    {func(w http.ResponseWriter) { fmt.Fprint(w, "<html><body>") }, "web page"},
		"10 MB":   {func(w http.ResponseWriter) { fmt.Fprint(w, `{"keys":[`, strings.Repeat(" ", 10<<20), `]}`) }, "more than 1048576 bytes"},
		"cut off": {func(w http.ResponseWriter) { fmt.Fprint(w, `{"keys":[`) }, "not JSON"},
	}
	for name, c := range trouble {
		t.Run(name, func(t *testing.T) {
			p := newIDP(t, jwks(jwk(t, "ES256")))
			clock := newClock()
			r := &ctb.RemoteKeys{URL: p.URL + "/keys", Client: p.Client(), Now: clock.now}
			good := *p.answer.Load()

			p.serve(c.answer)
			if _, err := r.Key(t.Context(), "ES256"); err == nil || errors.Is(err, ctb.ErrUnknownKey) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("before any good answer: got %v, want %q", err, c.want)
			}
			if r.Err() == nil {
				t.Error("Err says nothing of it")
			}
			p.serve(good)
			clock.pass(time.Second)
			if _, err := r.Key(t.Context(), "ES256"); err != nil || r.Err() != nil {
				t.Errorf("did not recover after the first back-off: %v", err)
			}
			p.serve(c.answer)
			clock.pass(time.Hour)
			if _, err := r.Key(t.Context(), "other"); err == nil || errors.Is(err, ctb.ErrUnknownKey) {
				t.Errorf("an unknown key can't be told while the source is in trouble: got %v", err)
			}
			if _, err := r.Key(t.Context(), "ES256"); err != nil {
				t.Errorf("the last good key was lost: %v", err)
			}
		})
	}
}

func TestKeysThatAreWithdrawnAreUsedNoMore(t *testing.T) {
	for name, set := range map[string]string{"none is left": jwks(), "none can be used": jwks(`{"kty":"EC","crv":"P-521"}`)} {
		t.Run(name, func(t *testing.T) {
			p := newIDP(t, jwks(jwk(t, "ES256")))
			clock := newClock()
			r := &ctb.RemoteKeys{URL: p.URL + "/keys", Client: p.Client(), Now: clock.now}
			if _, err := r.Key(t.Context(), "ES256"); err != nil {
				t.Fatal(err)
			}
			p.serve(func(w http.ResponseWriter) { fmt.Fprint(w, set) })
			clock.pass(time.Hour)
			_, _ = r.Key(t.Context(), "other") // waits for the refresh
			if _, err := r.Key(t.Context(), "ES256"); err == nil || errors.Is(err, ctb.ErrUnknownKey) || !strings.Contains(err.Error(), "no usable key") {
				t.Errorf("got %v", err)
			}
			if r.Err() == nil {
				t.Error("Err says nothing of it")
			}
		})
	}
}

func TestRemoteKeysRefuseWhatOthersCouldChange(t *testing.T) {
	lying := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"issuer":"https://other.example.com","jwks_uri":"https://other.example.com/keys"}`)
	}))
	defer lying.Close()
	sideways := httptest.NewUnstartedServer(nil)
	sideways.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"issuer":"https://%s","jwks_uri":"http://127.0.0.1:1/keys"}`, r.Host)
	})
	sideways.StartTLS()
	defer sideways.Close()
	silent := httptest.NewUnstartedServer(nil)
	silent.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"issuer":"https://%s"}`, r.Host)
	})
	silent.StartTLS()
	defer silent.Close()
	for want, r := range map[string]*ctb.RemoteKeys{
		"must come over https, got http://idp.example.com":  ctb.NewRemoteKeys("http://idp.example.com/keys", nil),
		"must come over https, got http://idp.example.com ": ctb.DiscoverKeys("http://idp.example.com", nil),
		"must come from a URL such as":                      ctb.NewRemoteKeys("idp", nil),
		"must come from a URL such as ":                     ctb.DiscoverKeys("", nil),
		"no https URL, though the issuer is one":            ctb.DiscoverKeys(sideways.URL, sideways.Client()),
		"keys of http://127.0.0.1:1/jwks can't":             ctb.NewRemoteKeys("http://user:secret@127.0.0.1:1/jwks?key=secret", nil),
		`issuer is "https://other.example.com"`:             ctb.DiscoverKeys(lying.URL, lying.Client()),
		"jwks_uri is missing":                               ctb.DiscoverKeys(silent.URL, silent.Client()),
		"must come over https, got file://":                 ctb.NewRemoteKeys("file://host/etc/keys", nil),
		"http://127.0.0.1:1/keys can't be had":              ctb.NewRemoteKeys("http://127.0.0.1:1/keys", nil), // loopback may be asked, but nobody is there
	} {
		if _, err := r.Key(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(jwks(jwk(f, "ES256"), jwk(f, "RS256"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		if set, err := ctb.ParseKeys(data); (len(set) == 0) == (err == nil) {
			t.Errorf("%d keys with error %v", len(set), err)
		}
	})
}

func publicPEM(tb testing.TB, key crypto.PublicKey) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func FuzzParsePEM(f *testing.F) {
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"))
	for _, alg := range []string{"RS256", "ES256", "ES384", "EdDSA"} {
		f.Add(publicPEM(f, signers()[alg].Public()))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ctb.ParsePEM(data)
		if err != nil {
			return
		}
		again, err := ctb.ParsePEM(publicPEM(t, k.Public))
		if err != nil || again.Algorithm != k.Algorithm || !jose.SameKey(again.Public, k.Public) {
			t.Errorf("got %+v, written anew it reads as %+v, %v", k, again, err)
		}
	})
}
