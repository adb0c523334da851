package attest_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// clock is a hand-set one.
type clock struct{ at atomic.Pointer[time.Time] }

func newClock(t time.Time) *clock {
	c := new(clock)
	c.set(t)
	return c
}
func (c *clock) set(t time.Time)         { c.at.Store(&t) }
func (c *clock) now() time.Time          { return *c.at.Load() }
func (c *clock) advance(d time.Duration) { c.set(c.now().Add(d)) }

// broker serves a JWKS, at its own URL as the issuer, and an attestation document if it has one.
type broker struct {
	*httptest.Server
	jwks    atomic.Pointer[[]byte]
	fetches atomic.Int32
	staple  atomic.Pointer[http.HandlerFunc]
	asked   atomic.Int32 // for the staple
}

func newBroker(t testing.TB) *broker {
	b := new(broker)
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == attest.WellKnownAttestation {
			b.asked.Add(1)
			if h := b.staple.Load(); h != nil {
				(*h)(w, r)
				return
			}
		}
		jwks := b.jwks.Load()
		if r.URL.Path != "/.well-known/jwks.json" || jwks == nil {
			http.NotFound(w, r)
			return
		}
		b.fetches.Add(1)
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Write(*jwks)
	}))
	b.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that refuse the certificate
	b.StartTLS()
	t.Cleanup(b.Close)
	return b
}

func (b *broker) publish(keys ...[]byte) {
	jwks := jwkSet(keys...)
	b.jwks.Store(&jwks)
}

func jwkSet(keys ...[]byte) []byte {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	for _, k := range keys {
		set.Keys = append(set.Keys, k)
	}
	return made(json.Marshal(set))
}

// jwk is the JWK of an attested key.
func jwk(t testing.TB, cert *x509.Certificate) []byte {
	t.Helper()
	return made(jose.MarshalJWK(jose.JWK{
		KeyID: made(jose.Thumbprint(cert.PublicKey)), Algorithm: made(jose.DefaultAlgorithm(cert.PublicKey)),
		Key: cert.PublicKey, Certificate: [][]byte{cert.Raw},
	}))
}

func certify(t testing.TB, tee *fakeTEE, key crypto.Signer, b attest.Binding, schemes ...string) *x509.Certificate {
	t.Helper()
	cert, err := attest.Certify(context.Background(), tee, key, b, schemes...)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func kidOf(cert *x509.Certificate) string { return made(jose.Thumbprint(cert.PublicKey)) }

func anyPolicy() *attest.Policy {
	return &attest.Policy{Builds: []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": unhex(encl32)}}}}
}

func TestKeySet(t *testing.T) {
	b, tee, now := newBroker(t), newTEE(), newClock(day(1))
	bound := binding()
	bound.Issuer = b.URL
	first, second := certify(t, tee, newP256(t), bound), certify(t, tee, newP256(t), bound)
	b.publish(jwk(t, first))
	set, err := attest.NewKeySet(attest.Config{URL: b.URL, Policy: anyPolicy(), Platforms: platforms(tee), Client: b.Client(), Now: now.now})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	key, err := set.Key(ctx, kidOf(first))
	if err != nil {
		t.Fatal(err)
	}
	if key.ID != kidOf(first) || key.Algorithm != "ES256" || !jose.SameKey(key.Public, first.PublicKey) {
		t.Errorf("got %+v", key)
	}

	// Unknown keys cost no more than a fetch in 30 s.
	for i := range 100 {
		if _, err := set.Key(ctx, fmt.Sprint("unknown ", i)); !errors.Is(err, ctb.ErrUnknownKey) {
			t.Fatalf("got %v, want ErrUnknownKey", err)
		}
	}
	if _, err := set.Key(ctx, ""); !errors.Is(err, ctb.ErrUnknownKey) {
		t.Errorf("token without kid: got %v, want ErrUnknownKey", err)
	}
	if n := b.fetches.Load(); n != 1 {
		t.Errorf("got %d fetches, want 1", n)
	}

	// A new key is found when a token first names it, and an old one that is gone is gone.
	b.publish(jwk(t, second))
	now.advance(31 * time.Second)
	if _, err := set.Key(ctx, kidOf(second)); err != nil {
		t.Fatal(err)
	}
	if _, err := set.Key(ctx, kidOf(first)); !errors.Is(err, ctb.ErrUnknownKey) {
		t.Errorf("got %v, want ErrUnknownKey", err)
	}

	// While the broker is down, what is known is used, and what is not known can't be told to be unknown.
	b.jwks.Store(nil)
	now.advance(31 * time.Second)
	if _, err := set.Key(ctx, "another"); err == nil || errors.Is(err, ctb.ErrUnknownKey) || !strings.Contains(err.Error(), "got status 404") {
		t.Errorf("got %v, want the failed fetch", err)
	}
	if _, err := set.Key(ctx, kidOf(second)); err != nil {
		t.Error(err)
	}
}

// Whatever is wrong with a published key, asking for it says so, and is not the token's fault.
func TestKeySetRefuses(t *testing.T) {
	tee := newTEE()
	good := certify(t, tee, newP256(t), binding())
	change := func(f func(*attest.Binding)) *x509.Certificate {
		b := binding()
		f(&b)
		return certify(t, tee, newP256(t), b)
	}
	edit := func(cert *x509.Certificate, f func(map[string]any)) []byte {
		var m map[string]any
		if err := json.Unmarshal(jwk(t, cert), &m); err != nil {
			t.Fatal(err)
		}
		f(m)
		return made(json.Marshal(m))
	}
	debug := newTEE()
	debug.report.Debug = true
	tests := map[string]struct {
		jwk    []byte
		kid    string
		policy func(*attest.Policy)
		tee    *fakeTEE
		want   string
	}{
		"no certificate":         {jwk: edit(good, func(m map[string]any) { delete(m, "x5c") }), want: `no evidence: the JWK has no "x5c"`},
		"certificate is garbage": {jwk: edit(good, func(m map[string]any) { m["x5c"] = []string{"AAAA"} }), want: "x5c[0]: x509:"},
		"x5c is not base64":      {jwk: edit(good, func(m map[string]any) { m["x5c"] = []string{"%"} }), want: "x5c"},
		"certificate of another": {jwk: edit(good, func(m map[string]any) {
			m["x5c"] = json.RawMessage(mustField(jwk(t, change(func(*attest.Binding) {})), "x5c"))
		}), want: "x5c[0] is of another key"},
		"kid is no thumbprint":         {jwk: edit(good, func(m map[string]any) { m["kid"] = "mine" }), kid: "mine", want: `kid: got mine, want the key's thumbprint`},
		"key of the IdP's kind":        {jwk: edit(good, func(m map[string]any) { m["use"] = "enc" }), want: "enc"},
		"bound for TLS":                {jwk: jwk(t, change(func(b *attest.Binding) { b.Use = attest.UseTLS })), want: `use: got tls, want sig`},
		"bound for sealing":            {jwk: jwk(t, change(func(b *attest.Binding) { b.Use = attest.UseSealing })), want: `use: got seal, want sig`},
		"another issuer":               {jwk: jwk(t, change(func(b *attest.Binding) { b.Issuer = "https://other.example.com" })), policy: func(p *attest.Policy) { p.Issuer = issuer }, want: "issuer: got https://other.example.com, want " + issuer},
		"other rules":                  {jwk: jwk(t, good), policy: func(p *attest.Policy) { p.Rules = []string{"sha256:" + encl32} }, want: "rules: got " + rules1},
		"expired":                      {jwk: jwk(t, change(func(b *attest.Binding) { b.Issued, b.Expires = day(0), day(1).Add(-61*time.Second) })), want: "expired at"},
		"not valid yet":                {jwk: jwk(t, change(func(b *attest.Binding) { b.Issued = day(1).Add(61 * time.Second) })), want: "not valid before"},
		"debug build":                  {jwk: jwk(t, good), tee: debug, want: "builds[0].debug: got a debug build"},
		"evidence is not genuine":      {jwk: jwk(t, good), tee: &fakeTEE{failure: errors.New("signature of the quote is wrong")}, want: "signature of the quote is wrong"},
		"evidence of the other scheme": {jwk: jwk(t, certify(t, tee, keys.rsa(), binding(), attest.Original)), want: "no evidence by the scheme dice"},
		"no build of ours":             {jwk: jwk(t, good), policy: func(p *attest.Policy) { p.Builds[0].Measurements["mrenclave"] = make([]byte, 32) }, want: "builds[0].mrenclave: got " + encl32},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p := anyPolicy()
			apply(test.policy, p)
			if test.tee == nil {
				test.tee = tee
			}
			if test.kid == "" {
				var m struct{ Kid string }
				if err := json.Unmarshal(test.jwk, &m); err != nil {
					t.Fatal(err)
				}
				test.kid = m.Kid
			}
			set, err := attest.ParseKeys(context.Background(), jwkSet(test.jwk), attest.Config{Policy: p, Platforms: platforms(test.tee), Now: newClock(day(1)).now})
			if err != nil {
				t.Fatal(err)
			}
			_, err = set.Key(context.Background(), test.kid)
			wantError(t, err, test.want)
			if errors.Is(err, ctb.ErrUnknownKey) {
				t.Error("a refused key looks like a bad token")
			}
			if !strings.HasPrefix(name, "not valid yet") {
				wantError(t, set.Err(), "none is accepted")
				_, err = set.Key(context.Background(), "another") // nor can another key be unknown if none could be verified
				wantError(t, err, "none is accepted")
			}
			// One odd key does not silence the others.
			set, err = attest.ParseKeys(context.Background(), jwkSet(test.jwk, jwk(t, certify(t, newTEE(), keys.p384(), binding()))), attest.Config{Policy: anyPolicy(), Platforms: platforms(newTEE()), Now: newClock(day(1)).now})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := set.Key(context.Background(), made(jose.Thumbprint(keys.p384().Public()))); err != nil {
				t.Error(err)
			}
		})
	}
}

func mustField(object []byte, name string) []byte {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(object, &m); err != nil {
		panic(err)
	}
	return m[name]
}

// Where the policy names no issuer, the URL does.
func TestKeySetIssuerOfURL(t *testing.T) {
	b, tee := newBroker(t), newTEE()
	cert := certify(t, tee, newP256(t), binding()) // bound to another issuer
	b.publish(jwk(t, cert))
	for _, url := range []string{b.URL, b.URL + "/", b.URL + "/.well-known/jwks.json"} {
		set, err := attest.NewKeySet(attest.Config{URL: url, Policy: anyPolicy(), Platforms: platforms(tee), Client: b.Client(), Now: newClock(day(1)).now})
		if err != nil {
			t.Fatal(err)
		}
		_, err = set.Key(context.Background(), kidOf(cert))
		wantError(t, err, `issuer: got `+issuer+`, want `+strings.TrimSuffix(b.URL, "/"))
	}
	p := anyPolicy()
	p.Issuer = issuer
	set := made(attest.NewKeySet(attest.Config{URL: b.URL, Policy: p, Platforms: platforms(tee), Client: b.Client(), Now: newClock(day(1)).now}))
	if _, err := set.Key(context.Background(), kidOf(cert)); err != nil {
		t.Error(err)
	}
}

func TestNewKeySetRefuses(t *testing.T) {
	good := attest.Config{URL: issuer, Policy: anyPolicy(), Platforms: platforms(newTEE())}
	tests := map[string]struct {
		change func(*attest.Config)
		want   string
	}{
		"no policy":           {func(c *attest.Config) { c.Policy = nil }, "no policy; without one every build would be accepted"},
		"policy of no builds": {func(c *attest.Config) { c.Policy = &attest.Policy{} }, "policy: builds: no build is named"},
		"no platforms":        {func(c *attest.Config) { c.Platforms = nil }, "no platform verifier"},
		"no URL":              {func(c *attest.Config) { c.URL = "" }, "want an https URL"},
		"URL without scheme":  {func(c *attest.Config) { c.URL = "broker.example.com" }, "want an https URL"},
		"plain http":          {func(c *attest.Config) { c.URL = "http://broker.example.com" }, "want an https URL"},
		"URL of a file":       {func(c *attest.Config) { c.URL = "file:///etc/jwks.json" }, "want an https URL"},
		"URL with a query":    {func(c *attest.Config) { c.URL += "/?tenant=1" }, "want an issuer URL without query"},
		"URL of no issuer":    {func(c *attest.Config) { c.URL = "https://cdn.example.com/keys.json" }, "names no issuer; set issuer in the policy"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := good
			test.change(&c)
			_, err := attest.NewKeySet(c)
			wantError(t, err, test.want)
		})
	}
	if _, err := attest.NewKeySet(good); err != nil {
		t.Error(err)
	}
}

// A key is valid as long as its binding says, give or take what clocks may be apart.
func TestKeyValidity(t *testing.T) {
	tee, now := newTEE(), newClock(day(0))
	cert := certify(t, tee, newP256(t), binding())
	// It is announced a day before its time, and judged then.
	set, err := attest.ParseKeys(context.Background(), jwkSet(jwk(t, cert)), attest.Config{Policy: anyPolicy(), Platforms: platforms(tee), Now: now.now})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		at   time.Time
		want string
	}{
		{day(1).Add(-61 * time.Second), "not valid before 2026-01-02T00:00:00Z"},
		{day(1).Add(-60 * time.Second), ""},
		{day(1), ""},
		{day(2), ""},
		{day(2).Add(60 * time.Second), ""},
		{day(2).Add(61 * time.Second), "the key expired at 2026-01-03T00:00:00Z"},
	} {
		now.set(test.at)
		_, err := set.Key(context.Background(), kidOf(cert))
		if test.want != "" {
			wantError(t, err, test.want)
		} else if err != nil {
			t.Errorf("at %v: %v", test.at, err)
		}
	}
}

// A verdict does not outlive the collateral that it rests on: the evidence is verified anew.
func TestKeySetCollateralEnds(t *testing.T) {
	b, tee, now := newBroker(t), newTEE(), newClock(day(5))
	bound := binding()
	bound.Issuer, bound.Expires = b.URL, day(300)
	cert := certify(t, tee, newP256(t), bound)
	b.publish(jwk(t, cert))
	evidence := newClock(day(5))
	old := newTEE()
	tees := &renewed{old}
	set, err := attest.NewKeySet(attest.Config{URL: b.URL, Policy: anyPolicy(), Platforms: []attest.Verifier{tees}, Client: b.Client(), Now: now.now, EvidenceNow: evidence.now})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := set.Key(ctx, kidOf(cert)); err != nil {
		t.Fatal(err)
	}
	evidence.set(day(30).Add(time.Second))
	_, err = set.Key(ctx, kidOf(cert))
	wantError(t, err, "collateral that ended at 2026-01-31T00:00:00Z")
	if errors.Is(err, ctb.ErrUnknownKey) {
		t.Error("looks like a bad token")
	}
	// 30 s later it may be asked for again, and then there is newer collateral.
	next := newTEE()
	next.report.Collateral = attest.Window{NotBefore: day(29), NotAfter: day(60)}
	tees.fakeTEE = next
	now.advance(31 * time.Second)
	if _, err := set.Key(ctx, kidOf(cert)); err != nil {
		t.Error(err)
	}
}

type renewed struct{ *fakeTEE }

func TestParseKeysRefusesText(t *testing.T) {
	c := attest.Config{Policy: anyPolicy(), Platforms: platforms(newTEE())}
	for text, want := range map[string]string{`{"keys":[]}`: "no keys", `[]`: "JWK set", ``: "JWK set", `{"keys":{}}`: "JWK set"} {
		_, err := attest.ParseKeys(context.Background(), []byte(text), c)
		wantError(t, err, want)
	}
}

// Rotation under load: whoever asks finds a key that was published, and the source is asked seldom.
func TestKeySetConcurrently(t *testing.T) {
	b, tee, now := newBroker(t), newTEE(), newClock(day(1))
	bound := binding()
	bound.Issuer = b.URL
	var certs []*x509.Certificate
	for range 4 {
		certs = append(certs, certify(t, tee, newP256(t), bound))
	}
	b.publish(jwk(t, certs[0]))
	set := made(attest.NewKeySet(attest.Config{URL: b.URL, Policy: anyPolicy(), Platforms: platforms(tee), Client: b.Client(), Now: now.now}))
	for i, cert := range certs {
		b.publish(jwk(t, cert))
		now.advance(31 * time.Second)
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				for range 50 {
					if _, err := set.Key(context.Background(), kidOf(cert)); err != nil {
						t.Errorf("key %d: %v", i, err)
						return
					}
					set.Err()
				}
			})
		}
		wait.Wait()
	}
	if n := b.fetches.Load(); int(n) > 2*len(certs) {
		t.Errorf("got %d fetches for %d rotations", n, len(certs))
	}
}

func TestAppraisals(t *testing.T) {
	tee := newTEE()
	good := certify(t, tee, newP256(t), binding())
	other := certify(t, tee, keys.rsa(), binding(), attest.Original)
	forTLS := binding()
	forTLS.Use = attest.UseTLS
	jwks := jwkSet(jwk(t, good), jwk(t, other), jwk(t, certify(t, tee, newP256(t), forTLS)), []byte(`{"kty":"oct","kid":"odd","k":"AAAA"}`))
	// Without a policy each key is read by the scheme that it has.
	list, err := attest.Appraisals(context.Background(), jwks, attest.Config{Platforms: platforms(tee), Now: newClock(day(1)).now})
	if err != nil {
		t.Fatal(err)
	}
	if list[0].Err != nil || list[0].Scheme != attest.DICE || list[0].Appraisal.Binding.Issuer != issuer {
		t.Errorf("got %+v", list[0])
	}
	if list[1].Err != nil || list[1].Scheme != attest.Original {
		t.Errorf("got %+v", list[1])
	}
	wantError(t, list[2].Err, `use: got tls`)
	if list[3].Err == nil || list[3].KeyID != "odd" || list[3].Certificate != nil {
		t.Errorf("got %+v", list[3])
	}
	// With one, its scheme alone counts, but what it refuses stays visible.
	p := anyPolicy()
	p.Issuer = "https://other.example.com"
	list, err = attest.Appraisals(context.Background(), jwks, attest.Config{Policy: p, Platforms: platforms(tee), Now: newClock(day(3)).now})
	if err != nil {
		t.Fatal(err)
	}
	var refused *attest.RefusalError
	if !errors.As(list[0].Err, &refused) || list[0].Appraisal == nil {
		t.Errorf("got %+v, want a refusal and the facts", list[0])
	}
	if wantError(t, list[1].Err, "scheme: got original, want dice"); list[1].Appraisal == nil {
		t.Error("got no facts")
	}
	p.Issuer = ""
	list = made(attest.Appraisals(context.Background(), jwks, attest.Config{Policy: p, Platforms: platforms(tee), Now: newClock(day(3)).now}))
	wantError(t, list[0].Err, "validity: got expired at")
}

func TestKeyDoesNotAllocate(t *testing.T) {
	set, kid := benchmarkSet(t)
	if n := testing.AllocsPerRun(100, func() { set.Key(context.Background(), kid) }); n != 0 {
		t.Errorf("got %v allocations for a cached key, want 0", n)
	}
}

func BenchmarkKey(b *testing.B) {
	set, kid := benchmarkSet(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := set.Key(context.Background(), kid); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkSet(t testing.TB) (*attest.KeySet, string) {
	b, tee := newBroker(t), newTEE()
	bound := binding()
	bound.Issuer = b.URL
	cert := certify(t, tee, newP256(t), bound)
	b.publish(jwk(t, cert))
	set := made(attest.NewKeySet(attest.Config{URL: b.URL, Policy: anyPolicy(), Platforms: platforms(tee), Client: b.Client(), Now: newClock(day(1)).now}))
	if _, err := set.Key(context.Background(), kidOf(cert)); err != nil {
		t.Fatal(err)
	}
	return set, kidOf(cert)
}
