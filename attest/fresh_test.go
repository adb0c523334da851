package attest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/confidential-token-broker/ctb/attest"
)

// nonce is the n-th asker's.
func nonce(n int) []byte { return bytes.Repeat([]byte{byte(n + 1)}, 16) }

// freshClaims are those of a broker with two keys that somebody asked with nonce(0), at noon of day 1.
func freshClaims(certs ...[32]byte) attest.FreshClaims {
	return attest.FreshClaims{
		Issuer: issuer, RulesDigest: [32]byte{1, 2, 3}, Time: day(1).Add(12 * time.Hour),
		Keys: append(certs, [32]byte{9}), Nonces: [][]byte{nonce(0)},
	}
}

// freshDocument is a document with one key and a fresh statement over it.
func freshDocument(t testing.TB, hardware *fakeTEE, change func(*attest.FreshClaims)) *attest.Attestation {
	t.Helper()
	cert := certify(t, hardware, newP256(t), binding())
	c := freshClaims(attest.KeyHash(cert))
	apply(change, &c)
	doc := document(cert, []byte(`{}`))
	doc.Fresh = made(attest.NewFresh(t.Context(), hardware, c))
	return doc
}

func freshConfig(hardware *fakeTEE) attest.Config {
	p := anyPolicy()
	p.Issuer, p.Rules = issuer, []string{rules1}
	return attest.Config{Policy: p, Platforms: platforms(hardware), Now: newClock(day(1).Add(12 * time.Hour)).now}
}

func TestFresh(t *testing.T) {
	hardware := newTEE()
	doc := freshDocument(t, hardware, func(c *attest.FreshClaims) {
		c.Time = c.Time.Add(700 * time.Millisecond)
		for n := range 64 { // among them those of askers who asked twice
			c.Nonces = append(c.Nonces, nonce(n%50))
		}
	})
	other := certify(t, hardware, newP256(t), binding())
	doc.Keys = append(doc.Keys, attest.AttestedKey{KeyID: kidOf(other), Use: attest.UseTLS, Certificates: [][]byte{other.Raw}})
	// Whoever hands out the document could call a key that is covered by the name of one that is not.
	doc.Keys = append(doc.Keys, attest.AttestedKey{KeyID: kidOf(other), Use: attest.UseSignature, Certificates: doc.Keys[0].Certificates})
	text := made(doc.Marshal())
	read := made(attest.ParseAttestation(text))
	if !reflect.DeepEqual(read.Fresh, doc.Fresh) {
		t.Errorf("got %+v, want %+v", read.Fresh, doc.Fresh)
	}
	if !bytes.Contains(text, []byte(`"fresh":{"platform":"dcap","quote":"`+base64.StdEncoding.EncodeToString(quoteHead[:3]))) {
		t.Errorf("got %s", text)
	}
	for n := range 50 {
		a, err := attest.CheckFresh(t.Context(), read, nonce(n), freshConfig(hardware))
		if err != nil {
			t.Fatal(err)
		}
		want := []attest.FreshKey{
			{KeyID: doc.Keys[0].KeyID, Use: attest.UseSignature, Covered: true},
			{KeyID: kidOf(other), Use: attest.UseTLS},
			{KeyID: kidOf(other), Use: attest.UseSignature},
		}
		if !reflect.DeepEqual(a.Keys, want) || a.Issuer != issuer || a.RulesDigest != [32]byte{1, 2, 3} ||
			!a.Time.Equal(day(1).Add(12*time.Hour)) || a.Report.TEE != "sgx" || a.Err != nil {
			t.Errorf("got %+v", a)
		}
	}
	_, err := attest.CheckFresh(t.Context(), read, nonce(50), freshConfig(hardware))
	wantError(t, err, "does not answer this nonce (it answers 50)")
}

func TestNewFreshRefuses(t *testing.T) {
	broken := newTEE()
	broken.failure = errors.New("no such device")
	for name, test := range map[string]struct {
		change func(*attest.FreshClaims)
		q      attest.Quoter
		want   string
	}{
		"no issuer":       {change: func(c *attest.FreshClaims) { c.Issuer = "" }, want: `got issuer "", want a URL`},
		"no time":         {change: func(c *attest.FreshClaims) { c.Time = time.Time{} }, want: "want seconds since 1970"},
		"no keys":         {change: func(c *attest.FreshClaims) { c.Keys = nil }, want: "keys: got 0, want 1 to 100"},
		"101 keys":        {change: func(c *attest.FreshClaims) { c.Keys = manyKeys(101) }, want: "keys: got 101, want 1 to 100"},
		"no nonces":       {change: func(c *attest.FreshClaims) { c.Nonces = nil }, want: "nonces: got 0, want 1 to 64"},
		"65 nonces":       {change: func(c *attest.FreshClaims) { c.Nonces = manyNonces(65) }, want: "nonces: got 65, want 1 to 64"},
		"a short nonce":   {change: func(c *attest.FreshClaims) { c.Nonces = [][]byte{nonce(0), make([]byte, 15)} }, want: "nonce of 15 bytes, want 16 to 64"},
		"a long nonce":    {change: func(c *attest.FreshClaims) { c.Nonces = [][]byte{make([]byte, 65)} }, want: "nonce of 65 bytes, want 16 to 64"},
		"a failing TEE":   {q: broken, want: "quote: no such device"},
		"no quote":        {q: quoterFunc(func() *attest.Evidence { return &attest.Evidence{Platform: "snp"} }), want: "quote of 0 bytes"},
		"a huge quote":    {q: quoterFunc(func() *attest.Evidence { return &attest.Evidence{Platform: "snp", Quote: make([]byte, 64<<10+1)} }), want: "want 1 to 65536"},
		"no platform":     {q: quoterFunc(func() *attest.Evidence { return &attest.Evidence{Quote: []byte{1}} }), want: `got platform ""`},
		"an endless name": {change: func(c *attest.FreshClaims) { c.Issuer = "https://" + strings.Repeat("a", 16<<10) }, want: "want 1 to 16384"},
	} {
		t.Run(name, func(t *testing.T) {
			c := freshClaims()
			apply(test.change, &c)
			if test.q == nil {
				test.q = newTEE()
			}
			_, err := attest.NewFresh(t.Context(), test.q, c)
			wantError(t, err, test.want)
		})
	}
	// As many as there may be have room.
	c := freshClaims()
	c.Keys, c.Nonces = manyKeys(100), manyNonces(64)
	if f := made(attest.NewFresh(t.Context(), newTEE(), c)); len(f.Claims) > 8<<10 {
		t.Errorf("got claims of %d bytes", len(f.Claims))
	}
}

func manyKeys(n int) (keys [][32]byte) {
	for i := range n {
		keys = append(keys, sha256.Sum256([]byte{byte(i)}))
	}
	return keys
}

func manyNonces(n int) (nonces [][]byte) {
	for i := range n {
		nonces = append(nonces, bytes.Repeat([]byte{byte(i)}, 64))
	}
	return nonces
}

func TestCheckFreshRefuses(t *testing.T) {
	hardware, other := newTEE(), newTEE()
	other.report.Measurements = map[string][]byte{"mrenclave": make([]byte, 32)}
	noon := day(1).Add(12 * time.Hour)
	for name, test := range map[string]struct {
		claims func(*attest.FreshClaims)
		doc    func(*attest.Attestation)
		config func(*attest.Config)
		nonce  []byte
		want   string // empty: accepted
	}{
		"as it should be":       {},
		"two minutes old":       {config: func(c *attest.Config) { c.Now = newClock(noon.Add(2 * time.Minute)).now }},
		"older":                 {config: func(c *attest.Config) { c.Now = newClock(noon.Add(2*time.Minute + time.Second)).now }, want: "it was made at 2026-01-02T12:00:00Z, and it is 2026-01-02T12:02:01Z"},
		"a minute early":        {config: func(c *attest.Config) { c.Now = newClock(noon.Add(-time.Minute)).now }},
		"of the future":         {config: func(c *attest.Config) { c.Now = newClock(noon.Add(-time.Minute - time.Second)).now }, want: "want a statement of the last 1m0s"},
		"a short nonce":         {nonce: make([]byte, 15), want: "nonce of 15 bytes"},
		"another's nonce":       {nonce: nonce(1), want: "does not answer this nonce"},
		"a longer nonce":        {nonce: append(nonce(0), 0), want: "does not answer this nonce"},
		"no statement":          {doc: func(a *attest.Attestation) { a.Fresh = nil }, want: `no "fresh"`},
		"no platform":           {doc: func(a *attest.Attestation) { a.Fresh.Platform = "" }, want: `got platform ""`},
		"unknown platform":      {doc: func(a *attest.Attestation) { a.Fresh.Platform = "cca" }, want: `no verifier for evidence of platform "cca"`},
		"no claims":             {doc: func(a *attest.Attestation) { a.Fresh.Claims = nil }, want: "claims of 0 bytes"},
		"a forged quote":        {doc: func(a *attest.Attestation) { a.Fresh.Quote[0] ^= 1 }, want: "fresh evidence: not a quote"},
		"another statement's":   {doc: func(a *attest.Attestation) { a.Fresh.Quote[4] ^= 1 }, want: "bound to something else: got report data"},
		"changed claims":        {doc: func(a *attest.Attestation) { a.Fresh.Claims[len(a.Fresh.Claims)-1] ^= 1 }, want: "does not answer this nonce"},
		"changed keys":          {doc: func(a *attest.Attestation) { flip(a.Fresh.Claims, append([]byte{9}, make([]byte, 31)...)) }, want: "bound to something else: got report data"},
		"of another build":      {config: func(c *attest.Config) { c.Platforms = platforms(other) }, want: "builds[0].mrenclave"},
		"of another issuer":     {claims: func(c *attest.FreshClaims) { c.Issuer = "https://other.example.com" }, want: "issuer: got https://other.example.com"},
		"under other rules":     {claims: func(c *attest.FreshClaims) { c.RulesDigest[0]++ }, want: "rules: got sha256:02"},
		"under no rules":        {claims: func(c *attest.FreshClaims) { c.RulesDigest = [32]byte{} }, want: "rules: got none"},
		"no policy":             {config: func(c *attest.Config) { c.Policy = nil }, want: "no policy"},
		"no issuer to compare":  {config: func(c *attest.Config) { c.Policy = anyPolicy() }, want: "names no issuer"},
		"the issuer of the URL": {config: func(c *attest.Config) { c.Policy, c.URL = anyPolicy(), issuer+"/" }},
		"asked at another URL":  {config: func(c *attest.Config) { c.Policy, c.URL = anyPolicy(), "https://mine.example.com" }, want: "issuer: got " + issuer},
		"asked of another":      {config: func(c *attest.Config) { c.Policy, c.Issuer = anyPolicy(), "https://mine.example.com" }, want: "issuer: got " + issuer},
		"the original's scheme": {config: func(c *attest.Config) { p := anyPolicy(); p.Scheme = attest.Original; c.Policy = p }, want: "scheme: got dice, want original"},
		"a key nobody can read": {doc: func(a *attest.Attestation) { a.Keys[0].Certificates = [][]byte{{1}} }},
	} {
		t.Run(name, func(t *testing.T) {
			doc, c := freshDocument(t, hardware, test.claims), freshConfig(hardware)
			apply(test.doc, doc)
			apply(test.config, &c)
			if test.nonce == nil {
				test.nonce = nonce(0)
			}
			a, err := attest.CheckFresh(t.Context(), doc, test.nonce, c)
			if test.want == "" {
				if err != nil || a == nil {
					t.Fatal(err)
				}
				return
			}
			wantError(t, err, test.want)
			if a != nil {
				t.Errorf("got %+v beside the error", a)
			}
		})
	}
}

// flip changes the last bit of what, where it occurs for the first time.
func flip(data, what []byte) { data[bytes.Index(data, what)+len(what)-1] ^= 1 }

// Who looks without a policy sees the facts, and with one what is refused.
func TestAppraiseFresh(t *testing.T) {
	hardware := newTEE()
	hardware.report.Debug = true
	doc, c := freshDocument(t, hardware, nil), freshConfig(hardware)
	a, err := attest.AppraiseFresh(t.Context(), doc, nonce(0), c)
	var refused *attest.RefusalError
	if err != nil || !errors.As(a.Err, &refused) || refused.Refusals[0].Key != "builds[0].debug" || !a.Report.Debug {
		t.Errorf("got %+v, %v", a, err)
	}
	c.Policy = nil
	if a, err = attest.AppraiseFresh(t.Context(), doc, nonce(0), c); err != nil || a.Err != nil || !a.Keys[0].Covered {
		t.Errorf("got %+v, %v", a, err)
	}
	c.URL = "https://mine.example.com"
	if a, err = attest.AppraiseFresh(t.Context(), doc, nonce(0), c); err != nil {
		t.Fatal(err)
	}
	wantError(t, a.Err, "issuer: got "+issuer+", want https://mine.example.com")
	_, err = attest.AppraiseFresh(t.Context(), doc, nonce(1), c)
	wantError(t, err, "does not answer this nonce")
}

// Neither kind of evidence is ever taken for the other, even if one enclave made both and everything else fits.
func TestFreshIsNoCertificate(t *testing.T) {
	hardware := newTEE()
	doc := freshDocument(t, hardware, nil)

	// The evidence of a certificate, with a nonce, as a fresh statement.
	b := binding()
	b.Nonce = nonce(0)
	cert := certify(t, hardware, newP256(t), b)
	var evidence struct{ quote, claims []byte }
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(oidDICE) {
			evidence.quote, evidence.claims = untag(t, ext.Value)
		}
	}
	replayed := *doc
	replayed.Fresh = &attest.Fresh{Platform: "dcap", Quote: evidence.quote, Claims: evidence.claims}
	_, err := attest.CheckFresh(t.Context(), &replayed, nonce(0), freshConfig(hardware))
	wantError(t, err, `want "ctb-fresh" alone`)

	// A fresh statement as the evidence of a certificate.
	f := newForgery(t)
	f.raw = doc.Fresh.Claims
	_, err = f.appraise(t)
	wantError(t, err, `no "pubkey-hash"`)

	// Claims that have both entries are a certificate's, and no fresh statement.
	f = newForgery(t)
	f.claims["ctb-fresh"] = []byte("anything")
	if _, err := f.appraise(t); err != nil {
		t.Error(err)
	}
	both := encode(map[string]any{"pubkey-hash": []byte{1}, "ctb-fresh": freshEntry(t, doc.Fresh.Claims)})
	e := made(hardware.Quote(t.Context(), f.data(both)))
	replayed.Fresh = &attest.Fresh{Platform: "dcap", Quote: e.Quote, Claims: both}
	_, err = attest.CheckFresh(t.Context(), &replayed, nonce(0), freshConfig(hardware))
	wantError(t, err, `got 2 entries, want "ctb-fresh" alone`)
}

func TestFetchFresh(t *testing.T) {
	hardware := newTEE()
	b := newBroker(t)
	for name, test := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request)
		nonce []byte
		want  string
	}{
		"answered": {},
		"without a statement": {serve: func(w http.ResponseWriter, r *http.Request) {
			w.Write(made(document(certify(t, hardware, newP256(t), binding()), []byte(`{}`)).Marshal()))
		}, want: `no "fresh"`},
		"asked too often": {serve: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		}, want: "got status 429, want 200; it asks to wait 7 s"},
		"not served":    {serve: http.NotFound, want: "the broker serves no attestation document"},
		"short nonce":   {nonce: []byte("short"), want: "nonce of 5 bytes"},
		"odd statement": {serve: answerText(`{"issuer":"i","keys":[],"fresh":{"platform":"dcap"}}`), want: "quote of 0 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked, err := base64.RawURLEncoding.DecodeString(r.URL.Query().Get("nonce"))
				if err != nil || len(r.URL.Query()) != 1 {
					t.Errorf("got query %s: %v", r.URL.RawQuery, err)
				}
				w.Write(made(freshDocument(t, hardware, func(c *attest.FreshClaims) { c.Nonces = [][]byte{asked} }).Marshal()))
			})
			if test.serve != nil {
				handler = test.serve
			}
			b.staple.Store(&handler)
			if test.nonce == nil {
				test.nonce = bytes.Repeat([]byte{0xfb, 0xff, 0xfe}, 11) // whose base64 has - and _
			}
			doc, err := attest.FetchFresh(t.Context(), nil, b.URL, test.nonce)
			if test.want != "" {
				wantError(t, err, test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := attest.CheckFresh(t.Context(), doc, test.nonce, freshConfig(hardware)); err != nil {
				t.Error(err)
			}
		})
	}
}

func answerText(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, text) }
}

// The collateral that is stapled to the document is for the statement, too.
func TestFreshStaple(t *testing.T) {
	hardware := newTEE()
	doc, c := freshDocument(t, hardware, nil), freshConfig(hardware)
	doc.Collateral["dcap"] = json.RawMessage(`{"status":"UpToDate","number":17}`)
	c.Platforms = []attest.Verifier{judgement{fakeTEE: hardware}}
	if _, err := attest.CheckFresh(context.Background(), doc, nonce(0), c); err != nil {
		t.Error(err)
	}
	doc.Collateral = nil
	_, err := attest.CheckFresh(context.Background(), doc, nonce(0), c)
	if !errors.Is(err, attest.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

// untag takes the quote and the claims out of an extension's value.
func untag(t testing.TB, value []byte) (quote, claims []byte) {
	t.Helper()
	var tag cbor.Tag
	if err := cbor.Unmarshal(value, &tag); err != nil {
		t.Fatal(err)
	}
	items := tag.Content.([]any)
	return items[0].([]byte), items[1].([]byte)
}

// freshEntry is the embedded entry of a fresh statement's claims.
func freshEntry(t testing.TB, claims []byte) []byte {
	t.Helper()
	var m map[string][]byte
	if err := cbor.Unmarshal(claims, &m); err != nil {
		t.Fatal(err)
	}
	return m["ctb-fresh"]
}
