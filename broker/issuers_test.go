package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// Whatever one identity provider does, the other's id tokens are exchanged, and the page says that there is one.
func TestOneBadProviderHarmsNoOther(t *testing.T) {
	const oneBad = `"idps":{"ok":1,"unavailable":1}`
	for name, c := range map[string]struct {
		spoil func(t *testing.T, p *idp)
		code  string // of the bad one's id tokens
		page  string // its state
	}{
		"down":          {func(t *testing.T, p *idp) { p.server.Close() }, exchange.TemporarilyUnavailable, oneBad},
		"hangs":         {func(t *testing.T, p *idp) { p.serves(hang(t)) }, exchange.TemporarilyUnavailable, oneBad},
		"a 500":         {func(t *testing.T, p *idp) { p.serves(http.NotFound) }, exchange.TemporarilyUnavailable, oneBad},
		"HTML":          {func(t *testing.T, p *idp) { p.serves(body("text/html", "<html>")) }, exchange.TemporarilyUnavailable, oneBad},
		"no JSON":       {func(t *testing.T, p *idp) { p.serves(body("application/json", "<html>")) }, exchange.TemporarilyUnavailable, oneBad},
		"an empty set":  {func(t *testing.T, p *idp) { p.serves(body("application/json", `{"keys":[]}`)) }, exchange.TemporarilyUnavailable, oneBad},
		"no set":        {func(t *testing.T, p *idp) { p.serves(body("application/json", `{}`)) }, exchange.TemporarilyUnavailable, oneBad},
		"10 MB":         {func(t *testing.T, p *idp) { p.serves(tenMegabytes) }, exchange.TemporarilyUnavailable, oneBad},
		"redirects":     {func(t *testing.T, p *idp) { p.serves(redirectHome) }, exchange.TemporarilyUnavailable, oneBad},
		"another's key": {func(t *testing.T, p *idp) { p.key, _ = jose.GenerateKey("ES256", rsaBits) }, exchange.InvalidRequest, `"idps":{"ok":2,"unavailable":0}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good := newIDP(t, "https://good.example.com/", "ES256")
			bad := newIDP(t, "https://bad.example.com/", "ES256")
			c.spoil(t, bad)
			f := newFixture(t, nil, bad, good)
			_, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: bad.token(t, noon)})
			if codeOf(err) != c.code {
				t.Errorf("the bad one's: got %v (%v), want %s", err, errors.Unwrap(err), c.code)
			}
			f.verify(t, f.exchangeFor(t, good))
			resp, text := f.get(t, "/readyz")
			if resp.StatusCode != 200 || !strings.Contains(text, c.page) || strings.Contains(text, "example.com") {
				t.Errorf("readyz: %s %s, want … %s, and no names", resp.Status, text, c.page)
			}
		})
	}
}

func hang(t *testing.T) http.HandlerFunc {
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	return func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}
}

func tenMegabytes(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"keys":[`)
	line := bytes.Repeat([]byte(" "), 1<<20)
	for range 10 {
		w.Write(line)
	}
	io.WriteString(w, `]}`)
}

func redirectHome(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "http://127.0.0.1:1/jwks", http.StatusFound)
}

// Odd keys among good ones are passed over.
func TestOddKeysAmongGoodOnes(t *testing.T) {
	ec := newIDP(t, "ec", "ES384")
	for name, set := range map[string]func(p *idp) []byte{
		"an EC key among RSA keys": func(p *idp) []byte { return p.keySet(ec.jwk("ec", "ES384"), p.jwk(p.name, "RS256")) },
		"a key without alg": func(p *idp) []byte {
			return bytes.Replace(p.keySet(p.jwk(p.name, "RS256")), []byte(`,"alg":"RS256"`), nil, 1)
		},
		"a key of an unknown type": func(p *idp) []byte { return p.keySet(`{"kty":"PQ","kid":"pq"}`, p.jwk(p.name, "RS256")) },
		"a key that is a number":   func(p *idp) []byte { return p.keySet(`7`, p.jwk(p.name, "RS256")) },
		"a key for encryption": func(p *idp) []byte {
			return p.keySet(`{"kty":"RSA","use":"enc","kid":"e","n":"AQAB","e":"AQAB"}`, p.jwk(p.name, "RS256"))
		},
		"a symmetric key": func(p *idp) []byte { return p.keySet(`{"kty":"oct","kid":"o","k":"c2VjcmV0"}`, p.jwk(p.name, "RS256")) },
		"a huge exponent": func(p *idp) []byte {
			return p.keySet(`{"kty":"RSA","kid":"x","n":"AQAB","e":"`+strings.Repeat("_", 700)+`"}`, p.jwk(p.name, "RS256"))
		},
		"a point not on the curve": func(p *idp) []byte {
			return p.keySet(`{"kty":"EC","crv":"P-256","kid":"x","x":"`+strings.Repeat("A", 43)+`","y":"`+strings.Repeat("A", 43)+`"}`, p.jwk(p.name, "RS256"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newIDP(t, "https://idp.example.com/", "RS256")
			p.serves(body("application/json", string(set(p))))
			f := newFixture(t, nil, p)
			f.verify(t, f.exchangeFor(t, p))
		})
	}
}

// The keys of one provider verify nothing of another, though both have one kid.
func TestKeysAreScopedToTheirIssuer(t *testing.T) {
	a, b := newIDP(t, "https://a.example.com/", "ES256"), newIDP(t, "https://b.example.com/", "ES256")
	a.serves(body("application/json", string(a.keySet(a.jwk("1", "ES256")))))
	b.serves(body("application/json", string(b.keySet(b.jwk("1", "ES256")))))
	f := newFixture(t, nil, a, b)
	h := jose.Header{Algorithm: "ES256", KeyID: "1", Type: "JWT"}
	for name, c := range map[string]struct {
		signer, named *idp
		code          string
	}{
		"a's by a": {a, a, "<nil>"}, "b's by b": {b, b, "<nil>"},
		"a's by b": {b, a, exchange.InvalidRequest}, "b's by a": {a, b, exchange.InvalidRequest},
	} {
		_, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: c.signer.sign(t, h, c.named.claims(noon))})
		if codeOf(err) != c.code {
			t.Errorf("%s: got %v, want %s", name, err, c.code)
		}
	}
}

func TestFloodOfUnknownKeysCausesOneFetch(t *testing.T) {
	p, other := newIDP(t, "https://idp.example.com/", "ES256"), newIDP(t, "https://other.example.com/", "ES256")
	f := newFixture(t, nil, p, other)
	f.exchangeFor(t, p)
	f.exchangeFor(t, other)
	flood := func() {
		var wg sync.WaitGroup
		for i := range 60 {
			raw := p.sign(t, jose.Header{Algorithm: "ES256", KeyID: fmt.Sprint("unknown-", i), Type: "JWT"}, p.claims(f.clock.now()))
			wg.Go(func() {
				if _, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: raw}); codeOf(err) != exchange.InvalidRequest {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
	}
	for round := range 3 {
		flood()
		f.exchangeFor(t, p) // a known key is not held up
		if got, most := p.fetches.Load(), int64(round+1); got > most {
			t.Fatalf("%d fetches after %d rounds, want at most %d", got, round+1, most)
		}
		f.clock.add(31 * time.Second)
	}
	if n := other.fetches.Load(); n != 1 {
		t.Errorf("the other provider was asked %d times", n)
	}
}

func TestProviderThatComesBackIsFound(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	p.serves(http.NotFound)
	f := newFixture(t, nil, p)
	f.probeIssuers(t.Context())
	if h := f.health(); h.Status != healthDegraded || h.IDPs != (idps{Unavailable: 1}) {
		t.Fatalf("got %+v", h)
	}
	p.healthy()
	f.clock.add(probeEvery)
	f.probeIssuers(t.Context())
	if h := f.health(); h.Status != healthReady {
		t.Errorf("got %+v", h)
	}
	before := p.fetches.Load()
	f.probeIssuers(t.Context())
	if p.fetches.Load() != before {
		t.Error("a healthy provider was asked again")
	}
}

// A key that its provider has withdrawn is forgotten though nobody comes with a token for a day.
func TestWithdrawnKeysAreForgottenWithoutTraffic(t *testing.T) {
	p, other := newIDP(t, "https://idp.example.com/", "ES256"), newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	f.probeIssuers(t.Context())
	f.exchangeFor(t, p)
	p.serves(body("application/json", string(p.keySet(other.jwk("new", "ES256")))))
	f.clock.add(refreshEvery)
	f.probeIssuers(t.Context())
	if _, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: p.token(t, f.clock.now())}); codeOf(err) != exchange.InvalidRequest {
		t.Errorf("got %v, want the withdrawn key refused", err)
	}
}

// The provider is found through its own configuration where the rule names no jwk_endpoint.
func TestDiscovery(t *testing.T) {
	p := newIDP(t, "", "ES256")
	p.name = p.server.URL
	keys := p.keySet(p.jwk(p.name, "ES256"))
	p.serves(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			body("application/json", fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, p.name, p.server.URL+"/keys"))(w, r)
		case "/keys":
			body("application/json", string(keys))(w, r)
		default:
			http.NotFound(w, r)
		}
	})
	text := strings.Replace(string(ruleFile("", p)), fmt.Sprintf(`"jwk_endpoint":%q,`, p.server.URL+"/jwks"), "", 1)
	f := newFixture(t, func(c *Config) { c.Rules = parseRules(t, []byte(text)) })
	f.verify(t, f.exchangeFor(t, p))
}
