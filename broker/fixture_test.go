package broker

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/confidential-token-broker/ctb/rules"
)

// clock is a clock that stands still until it is told otherwise.
type clock struct{ nanos atomic.Int64 }

func newClock(t time.Time) *clock {
	c := &clock{}
	c.nanos.Store(t.UnixNano())
	return c
}

func (c *clock) now() time.Time      { return time.Unix(0, c.nanos.Load()) }
func (c *clock) add(d time.Duration) { c.nanos.Add(int64(d)) }

// noon is when the tests begin.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// idp is an identity provider on a socket of its own.
type idp struct {
	name    string // its "iss"
	key     crypto.Signer
	alg     string
	fetches atomic.Int64

	server *httptest.Server
	mu     sync.Mutex
	jwks   http.HandlerFunc
}

func newIDP(t testing.TB, name, alg string) *idp {
	key, err := idpKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{name: name, key: key, alg: alg}
	p.healthy()
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.fetches.Add(1)
		p.mu.Lock()
		serve := p.jwks
		p.mu.Unlock()
		serve(w, r)
	}))
	p.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	p.server.StartTLS()
	t.Cleanup(p.server.Close)
	return p
}

// idpKey makes a key, but for RSA, where all providers share one of 2048 bits: to make it takes its time.
func idpKey(alg string) (crypto.Signer, error) {
	if strings.HasPrefix(alg, "RS") {
		return rsaKey()
	}
	return jose.GenerateKey(alg, rsaBits)
}

var rsaKey = sync.OnceValues(func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// serves sets how the provider answers for its key set.
func (p *idp) serves(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.jwks = h
}

func (p *idp) healthy() { p.serves(body("application/json", string(p.keySet(p.jwk(p.name, p.alg))))) }

func body(kind, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		io.WriteString(w, text)
	}
}

func (p *idp) jwk(kid, alg string) string {
	k, err := jose.MarshalJWK(jose.JWK{KeyID: kid, Algorithm: alg, Key: p.key.Public()})
	if err != nil {
		panic(err)
	}
	return string(k)
}

func (p *idp) keySet(keys ...string) []byte {
	return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`)
}

// claims of a good id token for the client of the rules, with changes. A nil value takes a claim away.
func (p *idp) claims(now time.Time, changes ...map[string]any) map[string]any {
	c := map[string]any{
		"iss": p.name, "aud": "client", "sub": "alice", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for _, change := range changes {
		maps.Copy(c, change)
	}
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// token signs an id token.
func (p *idp) token(t testing.TB, now time.Time, changes ...map[string]any) string {
	t.Helper()
	return p.sign(t, jose.Header{Algorithm: p.alg, KeyID: p.name, Type: "JWT"}, p.claims(now, changes...))
}

func (p *idp) sign(t testing.TB, h jose.Header, claims any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jose.Sign(h, payload, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// ruleFile gives every provider the same rule. The comment makes another digest of it.
func ruleFile(comment string, idps ...*idp) []byte {
	var configs []map[string]any
	for i, p := range idps {
		configs = append(configs, map[string]any{
			"name": fmt.Sprintf("rule-%d%s", i, comment),
			"idp":  p.name, "jwk_endpoint": p.server.URL + "/jwks", "client_id": "client",
			"server_api": []string{"https://api.example.com/a", "https://api.example.com/b"},
			"scope":      "openid read write", "expiration": 3600,
		})
	}
	text, err := json.Marshal(map[string]any{"configs": configs})
	if err != nil {
		panic(err)
	}
	return text
}

func parseRules(t testing.TB, text []byte) *rules.Set {
	t.Helper()
	s, err := rules.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hardware is one simulated platform for all tests, which may fail to give evidence.
type hardware struct {
	attest.Quoter
	broken atomic.Bool
	quotes atomic.Int64
}

var platform = sync.OnceValues(func() (*simulated.Platform, error) { return simulated.New(simulated.Config{Now: noon}) })

func newHardware(t testing.TB) *hardware {
	p, err := platform()
	if err != nil {
		t.Fatal(err)
	}
	return &hardware{Quoter: p}
}

func (h *hardware) Quote(ctx context.Context, data [64]byte) (*attest.Evidence, error) {
	if h.broken.Load() {
		return nil, errors.New("the quoting enclave does not answer")
	}
	h.quotes.Add(1)
	return h.Quoter.Quote(ctx, data)
}

// events is an audit that keeps what it is told.
type events struct {
	mu     sync.Mutex
	all    []Event
	broken error
}

func (e *events) Record(_ context.Context, event *Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.broken != nil {
		return e.broken
	}
	e.all = append(e.all, *event)
	return nil
}

func (e *events) last(t testing.TB) Event {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.all) == 0 {
		t.Fatal("nothing was recorded")
	}
	return e.all[len(e.all)-1]
}

// fixture is a broker on a socket, with all that it needs.
type fixture struct {
	*Broker
	clock    *clock
	hardware *hardware
	audit    *events
	server   *httptest.Server
	client   *http.Client
}

const brokerURL = "https://broker.example.com"

// newFixture starts a broker for the providers. change may adapt its configuration.
func newFixture(t testing.TB, change func(*Config), idps ...*idp) *fixture {
	t.Helper()
	f := &fixture{clock: newClock(noon), hardware: newHardware(t), audit: &events{}}
	c := Config{
		Issuer: brokerURL, Quoter: f.hardware, Audit: f.audit, Now: f.clock.now,
		Client: trusting(10 * time.Second),
	}
	if len(idps) > 0 {
		c.Rules = parseRules(t, ruleFile("", idps...))
	}
	if change != nil {
		change(&c)
	}
	b, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	f.Broker = b
	f.server = httptest.NewTLSServer(b)
	t.Cleanup(f.server.Close)
	f.client = f.server.Client()
	return f
}

// trusting is a client that trusts the certificate that all test servers have.
func trusting(timeout time.Duration) *http.Client {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	pool := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return &http.Client{Timeout: timeout, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

// form is a good request for the token.
func form(token string, more ...string) url.Values {
	v := url.Values{
		"grant_type": {exchange.GrantType}, "subject_token": {token}, "subject_token_type": {exchange.TypeIDToken},
	}
	for i := 0; i < len(more); i += 2 {
		v.Add(more[i], more[i+1])
	}
	return v
}

// exchangeFor exchanges a good token of p and returns the access token.
func (f *fixture) exchangeFor(t testing.TB, p *idp) string {
	t.Helper()
	r, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: p.token(t, f.clock.now())})
	if err != nil {
		t.Fatalf("%v (%v)", err, errors.Unwrap(err))
	}
	return r.AccessToken
}

// verify checks an access token against the key set that is published now.
func (f *fixture) verify(t testing.TB, raw string) *ctb.Token {
	t.Helper()
	token, err := f.verifier(t).Verify(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (f *fixture) verifier(t testing.TB) *ctb.Verifier {
	t.Helper()
	keys, err := ctb.ParseKeys(f.ring.published.Load().body)
	if err != nil {
		t.Fatal(err)
	}
	v, err := ctb.NewVerifier(ctb.Config{Issuer: brokerURL, Audience: "https://api.example.com/a", Keys: keys, Now: f.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// parts are the decoded header and claims of a token.
func parts(t testing.TB, raw string) (header, claims string) {
	t.Helper()
	p := strings.Split(raw, ".")
	if len(p) != 3 {
		t.Fatalf("token has %d parts", len(p))
	}
	for i, to := range []*string{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(p[i])
		if err != nil {
			t.Fatal(err)
		}
		*to = string(text)
	}
	return header, claims
}

// do sends a request to the broker and returns status and body.
func (f *fixture) do(t testing.TB, r *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func (f *fixture) post(t testing.TB, path, kind, text string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, f.server.URL+path, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	return f.do(t, r)
}

func (f *fixture) get(t testing.TB, path string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, f.server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f.do(t, r)
}

const formType = "application/x-www-form-urlencoded"
