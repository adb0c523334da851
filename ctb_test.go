package ctb_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

const (
	issuer   = "https://broker.example.com"
	audience = "https://api.example.com"
)

// now is the instant of all tests that need none of their own.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

var signers = sync.OnceValue(func() map[string]crypto.Signer {
	must := func(k crypto.Signer, err error) crypto.Signer {
		if err != nil {
			panic(err)
		}
		return k
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	r := must(rsa.GenerateKey(rand.Reader, 2048))
	return map[string]crypto.Signer{
		"RS256": r, "RS384": r, "RS512": r, "PS256": r, "PS384": r, "PS512": r,
		"ES256": must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		"ES384": must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"EdDSA": must(ed, err),
	}
})

// keys is the key set that the verifier of the tests trusts: one key for each algorithm, its name the kid.
var keys = sync.OnceValue(func() (set ctb.StaticKeys) {
	for alg, s := range signers() {
		set = append(set, ctb.Key{ID: alg, Algorithm: alg, Public: s.Public()})
	}
	return set
})

type claims = map[string]any

// with returns good claims, changed: a nil value removes a claim.
func with(changes claims) claims {
	c := claims{"iss": issuer, "aud": audience, "sub": "alice", "exp": now.Unix() + 300, "iat": now.Unix(), "scope": "read:reports write:reports", "client_id": "app", "jti": "1"}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func sign(tb testing.TB, alg string, h jose.Header, payload []byte) string {
	tb.Helper()
	h.Algorithm = alg
	raw, err := jose.Sign(h, payload, signers()[alg])
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func mint(tb testing.TB, alg string, c claims) string {
	tb.Helper()
	payload, err := json.Marshal(c)
	if err != nil {
		tb.Fatal(err)
	}
	return sign(tb, alg, jose.Header{KeyID: alg, Type: "at+jwt"}, payload)
}

func config() ctb.Config {
	return ctb.Config{Issuer: issuer, Audience: audience, Keys: keys(), Now: func() time.Time { return now }}
}

func verifier(tb testing.TB, c ctb.Config) *ctb.Verifier {
	tb.Helper()
	v, err := ctb.NewVerifier(c)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func TestVerifyAccepts(t *testing.T) {
	v := verifier(t, config())
	for _, alg := range jose.Algorithms() {
		raw := mint(t, alg, with(nil))
		for _, when := range []string{"first", "from the cache"} {
			tok, err := v.Verify(t.Context(), raw)
			if err != nil {
				t.Fatalf("%s, %s: %v", alg, when, err)
			}
			if tok.Issuer != issuer || tok.Subject != "alice" || tok.ClientID != "app" || tok.ID != "1" || tok.KeyID != alg ||
				fmt.Sprint(tok.Audience, tok.Scope) != "[https://api.example.com] [read:reports write:reports]" ||
				!tok.Expiry.Equal(now.Add(5*time.Minute)) || !tok.IssuedAt.Equal(now) || !tok.NotBefore.IsZero() {
				t.Errorf("%s: got %+v", alg, tok)
			}
		}
	}
}

func TestVerifyAcceptsWhatTheStandardsAllow(t *testing.T) {
	v := verifier(t, config())
	for name, c := range map[string]claims{
		"several audiences":            {"aud": []string{"other", audience}},
		"a scope array":                {"scope": []string{"read:reports"}},
		"no scope":                     {"scope": nil},
		"an exp with a fraction":       {"exp": float64(now.Unix()) + 0.5},
		"an exp of 2^64-1":             {"exp": json.Number("18446744073709551615")},
		"an exp beyond every float":    {"exp": json.Number("1e999")},
		"an exp within the leeway":     {"exp": now.Unix() - 60},
		"an nbf within the leeway":     {"nbf": now.Unix() + 60},
		"a negative iat":               {"iat": -1},
		"an iat in exponent notation":  {"iat": json.Number("1.7e9")},
		"claims that nobody knows":     {"https://x.com/roles": claims{"a": []any{1, nil, true}}},
		"an escaped name, unlike ours": {"\u0065xq": 1},
	} {
		if _, err := v.Verify(t.Context(), mint(t, "ES256", with(c))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, typ := range []string{"at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"} {
		payload, _ := json.Marshal(with(nil))
		if _, err := v.Verify(t.Context(), sign(t, "ES256", jose.Header{KeyID: "ES256", Type: typ}, payload)); err != nil {
			t.Errorf("typ %s: %v", typ, err)
		}
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// hostile is a table of tokens with one fault each, and what the refusal says.
func hostile(t *testing.T) map[string]struct{ token, want string } {
	good := mint(t, "ES256", with(nil))
	parts := strings.Split(good, ".")
	payload := parts[1]
	claim := func(c claims) string { return mint(t, "ES256", with(c)) }
	raw := func(payload string) string {
		return sign(t, "ES256", jose.Header{KeyID: "ES256", Type: "at+jwt"}, []byte(payload))
	}
	header := func(h string) string { return b64(h) + "." + payload + "." + parts[2] }
	typ := func(s string) string { return sign(t, "ES256", jose.Header{KeyID: "ES256", Type: s}, []byte(`{}`)) }
	stranger, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	forged, err := jose.Sign(jose.Header{Algorithm: "ES256", KeyID: "ES256", Type: "at+jwt"}, mustJSON(with(nil)), stranger)
	if err != nil {
		t.Fatal(err)
	}
	otherSignature := strings.Split(mint(t, "ES256", with(claims{"sub": "bob"})), ".")[2]
	return map[string]struct{ token, want string }{
		"nothing":                       {"", "malformed: token has 1 parts"},
		"a word":                        {"hello", "malformed: token has 1 parts"},
		"four parts":                    {good + ".x", "malformed: token has 4 parts"},
		"oversize":                      {good + strings.Repeat("A", 16<<10), "malformed: token has 1"},
		"no signature":                  {parts[0] + "." + parts[1] + ".", "malformed: token has no signature"},
		"another token's signature":     {parts[0] + "." + parts[1] + "." + otherSignature, "signature does not verify"},
		"a stranger's signature":        {forged, "signature does not verify"},
		"another token's claims":        {parts[0] + "." + strings.Split(claim(claims{"sub": "bob"}), ".")[1] + "." + parts[2], "signature does not verify"},
		"half a signature":              {parts[0] + "." + parts[1] + "." + parts[2][:40], "signature does not verify"},
		"padding":                       {good + "=", "malformed: signature: not base64url"},
		"a trailing newline":            {good + "\n", "malformed: signature: line break"},
		"a leading space":               {" " + good, "malformed: header: not base64url at byte 0"},
		"alg none":                      {header(`{"typ":"at+jwt","alg":"none","kid":"ES256"}`), `signed with "none", its key is for ES256 alone`},
		"alg None, no signature":        {b64(`{"typ":"at+jwt","alg":"None","kid":"ES256"}`) + "." + payload + ".", "no signature"},
		"HS256 over the public key":     {header(`{"typ":"at+jwt","alg":"HS256","kid":"ES256"}`), `signed with "HS256", its key is for ES256 alone`},
		"RS256 under an ES256 key":      {header(`{"typ":"at+jwt","alg":"RS256","kid":"ES256"}`), `signed with "RS256", its key is for ES256 alone`},
		"PS256 under an RS256 key":      {sign(t, "PS256", jose.Header{KeyID: "RS256", Type: "at+jwt"}, mustJSON(with(nil))), `signed with "PS256", its key is for RS256 alone`},
		"RS512 under an RS256 key":      {sign(t, "RS512", jose.Header{KeyID: "RS256", Type: "at+jwt"}, mustJSON(with(nil))), `signed with "RS512", its key is for RS256 alone`},
		"an unknown kid":                {sign(t, "ES256", jose.Header{KeyID: "who", Type: "at+jwt"}, mustJSON(with(nil))), "unknown key"},
		"no kid among several keys":     {sign(t, "ES256", jose.Header{Type: "at+jwt"}, mustJSON(with(nil))), "unknown key"},
		"an embedded jwk":               {header(`{"typ":"at+jwt","alg":"ES256","jwk":{"kty":"EC"}}`), "unknown key"},
		"crit":                          {header(`{"typ":"at+jwt","alg":"ES256","kid":"ES256","crit":["exp"]}`), "crit is not supported"},
		"b64 false":                     {header(`{"typ":"at+jwt","alg":"ES256","kid":"ES256","b64":false,"crit":["b64"]}`), "is not supported"},
		"alg twice":                     {header(`{"typ":"at+jwt","alg":"none","alg":"ES256","kid":"ES256"}`), "stands twice"},
		"an id token":                   {typ("JWT"), `another type: typ is "JWT", want "at+jwt"`},
		"no typ":                        {typ(""), "another type"},
		"a DPoP proof":                  {typ("dpop+jwt"), "another type"},
		"a logout token":                {typ("logout+jwt"), "another type"},
		"typ with a prefix of ours":     {typ("at+jwtx"), "another type"},
		"claims that are no JSON":       {raw(`hello`), "malformed: not JSON at byte 0"},
		"claims that are an array":      {raw(`[]`), "not a JSON object"},
		"claims that are null":          {raw(`null`), "not a JSON object"},
		"claims with a tail":            {raw(`{"exp":1}{}`), "not JSON at byte 10"},
		"claims nested without end":     {raw(`{"a":` + strings.Repeat(`[`, 11000)), "not JSON at byte"},
		"iss twice":                     {raw(`{"iss":"evil","iss":"https://broker.example.com"}`), "stands twice"},
		"a name twice, far below":       {raw(`{"exp":1,"x":{"y":[{"z":1,"z":2}]}}`), "stands twice"},
		"invalid UTF-8":                 {raw("{\"sub\":\"\xff\"}"), "not JSON at byte 8"},
		"another issuer":                {claim(claims{"iss": "https://evil.example.com"}), `iss is "https://evil.example.com", want "https://broker.example.com"`},
		"an issuer with a slash more":   {claim(claims{"iss": issuer + "/"}), "another issuer"},
		"no issuer":                     {claim(claims{"iss": nil}), `iss is ""`},
		"an issuer that is a number":    {claim(claims{"iss": 1}), "iss has the wrong type"},
		"an issuer in capitals":         {claim(claims{"iss": nil, "ISS": issuer}), `iss is ""`},
		"another audience":              {claim(claims{"aud": "https://other.example.com"}), `aud lacks "https://api.example.com"`},
		"no audience":                   {claim(claims{"aud": nil}), "another audience"},
		"an empty audience array":       {claim(claims{"aud": []string{}}), "another audience"},
		"an audience within another":    {claim(claims{"aud": audience + "/v2"}), "another audience"},
		"an audience that is a number":  {claim(claims{"aud": 1}), "aud has the wrong type, want a string or an array of strings"},
		"an audience with a number":     {claim(claims{"aud": []any{audience, 1}}), "aud[1] has the wrong type, want a string"},
		"an audience with a null":       {claim(claims{"aud": []any{nil, audience}}), "aud[0] has the wrong type, want a string"},
		"an audience that is an object": {claim(claims{"aud": claims{}}), "aud has the wrong type, want a string or an array of strings"},
		"no exp":                        {claim(claims{"exp": nil}), "exp is missing"},
		"exp null":                      {raw(`{"iss":"https://broker.example.com","aud":"https://api.example.com","exp":null}`), "exp has the wrong type, want a number"},
		"an exp that is a string":       {claim(claims{"exp": "1900000000"}), "exp has the wrong type, want a number"},
		"an exp that is an array":       {claim(claims{"exp": []int{1}}), "exp has the wrong type, want a number"},
		"an exp a second too old":       {claim(claims{"exp": now.Unix() - 61}), "has expired: exp is 2026-01-02T03:03:04Z, now is 2026-01-02T03:04:05Z"},
		"a negative exp":                {claim(claims{"exp": -1}), "has expired"},
		"an exp below every float":      {claim(claims{"exp": json.Number("-1e999")}), "has expired"},
		"an exp of 0":                   {claim(claims{"exp": 0}), "has expired"},
		"an nbf a second too early":     {claim(claims{"nbf": now.Unix() + 61}), "not yet valid: nbf is 2026-01-02T03:05:06Z"},
		"an nbf that is a string":       {claim(claims{"nbf": "1"}), "nbf has the wrong type, want a number"},
		"an iat that is a string":       {claim(claims{"iat": "1"}), "iat has the wrong type, want a number"},
		"a sub that is a number":        {claim(claims{"sub": 7}), "sub has the wrong type"},
		"a scope that is a number":      {claim(claims{"scope": 7}), "scope has the wrong type"},
		"JSON serialisation":            {`{"payload":"` + payload + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "token has 1 parts"},
		"a JWE of five parts":           {"a.b.c.d.e", "token has 5 parts"},
	}
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func TestVerifyRefuses(t *testing.T) {
	v := verifier(t, config())
	for name, c := range hostile(t) {
		tok, err := v.Verify(t.Context(), c.token)
		if err == nil {
			t.Errorf("%s: accepted as %+v", name, tok)
			continue
		}
		if !errors.Is(err, ctb.ErrInvalidToken) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, want %q in it", name, err, c.want)
		}
		if len(c.token) > 20 && strings.Contains(err.Error(), c.token[:20]) {
			t.Errorf("%s: the error quotes the token: %q", name, err)
		}
	}
}

func TestEveryBitCounts(t *testing.T) {
	raw := []byte(mint(t, "ES256", with(nil)))
	v := verifier(t, config())
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			if _, err := v.Verify(t.Context(), string(raw)); !errors.Is(err, ctb.ErrInvalidToken) {
				t.Errorf("bit %d of byte %d flipped: %v", bit, i, err)
			}
			raw[i] ^= 1 << bit
		}
	}
}

func TestIDTokenType(t *testing.T) {
	c := config()
	c.Type = ctb.IDToken
	v := verifier(t, c)
	for typ, ok := range map[string]bool{"": true, "JWT": true, "jwt": true, "at+jwt": false, "logout+jwt": false, "dpop+jwt": false} {
		_, err := v.Verify(t.Context(), sign(t, "ES256", jose.Header{KeyID: "ES256", Type: typ}, mustJSON(with(nil))))
		if (err == nil) != ok {
			t.Errorf("typ %q: %v", typ, err)
		}
	}
}

func TestAnyIssuerAnyAudience(t *testing.T) {
	c := config()
	c.Issuer, c.Audience, c.AnyIssuer, c.AnyAudience = "", "", true, true
	v := verifier(t, c)
	for name, change := range map[string]claims{"both": nil, "no issuer": {"iss": nil}, "no audience": {"aud": nil}} {
		if _, err := v.Verify(t.Context(), mint(t, "ES256", with(change))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewVerifierRefusesWhatWouldAcceptEverything(t *testing.T) {
	for want, change := range map[string]func(*ctb.Config){
		"Keys is missing":      func(c *ctb.Config) { c.Keys = nil },
		"Issuer is missing":    func(c *ctb.Config) { c.Issuer = "" },
		"Audience is missing":  func(c *ctb.Config) { c.Audience = "" },
		"want one of the two":  func(c *ctb.Config) { c.AnyIssuer = true },
		"want one of the two ": func(c *ctb.Config) { c.AnyAudience = true },
	} {
		c := config()
		change(&c)
		if _, err := ctb.NewVerifier(c); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// mutableKeys is a key set that changes under a verifier.
type mutableKeys struct {
	keys ctb.StaticKeys
	err  error
}

func (m *mutableKeys) Key(ctx context.Context, kid string) (ctb.Key, error) {
	if m.err != nil {
		return ctb.Key{}, m.err
	}
	return m.keys.Key(ctx, kid)
}

func TestTheCacheForgets(t *testing.T) {
	set := &mutableKeys{keys: keys()}
	clock := now
	c := config()
	c.Keys, c.Now = set, func() time.Time { return clock }
	v := verifier(t, c)
	raw := mint(t, "ES256", with(nil))
	if _, err := v.Verify(t.Context(), raw); err != nil {
		t.Fatal(err)
	}

	clock = now.Add(300*time.Second + ctb.Leeway + time.Second)
	if _, err := v.Verify(t.Context(), raw); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Error("an expired token came out of the cache:", err)
	}
	clock = now
	if _, err := v.Verify(t.Context(), raw); err != nil {
		t.Error("the cached token did not come back with the clock:", err)
	}

	set.keys = nil
	if _, err := v.Verify(t.Context(), raw); err == nil || !strings.Contains(err.Error(), "unknown key") {
		t.Error("a token of a retired key came out of the cache:", err)
	}
	stranger, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	set.keys = ctb.StaticKeys{{ID: "ES256", Algorithm: "ES256", Public: &stranger.PublicKey}}
	if _, err := v.Verify(t.Context(), raw); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Error("a token of a replaced key came out of the cache:", err)
	}
	set.err = fmt.Errorf("its time is over: %w", ctb.ErrUnknownKey)
	if _, err := v.Verify(t.Context(), raw); !errors.Is(err, ctb.ErrInvalidToken) || !strings.Contains(err.Error(), "its time is over") {
		t.Error("the reason of an unknown key was lost:", err)
	}
	set.err = errors.New("evidence has expired")
	if _, err := v.Verify(t.Context(), raw); err == nil || errors.Is(err, ctb.ErrInvalidToken) {
		t.Error("keys that can't be trusted must not look like a bad token, nor pass:", err)
	}
	set.err, set.keys = nil, keys()
	if _, err := v.Verify(t.Context(), raw); err != nil {
		t.Error(err)
	}
}

func TestALargeTokenIsNotRemembered(t *testing.T) {
	set := &mutableKeys{keys: keys()}
	c := config()
	c.Keys = set
	v := verifier(t, c)
	for size, remembered := range map[int]bool{100: true, 4000: false, 8000: false} {
		raw := mint(t, "ES256", with(claims{"filler": strings.Repeat("x", size)}))
		for range 2 {
			if _, err := v.Verify(t.Context(), raw); err != nil {
				t.Fatal(err)
			}
		}
		before := testing.AllocsPerRun(100, func() { _, _ = v.Verify(t.Context(), raw) })
		if (before < 5) != remembered {
			t.Errorf("%d bytes: verifying it again made %v allocations", size, before)
		}
	}
}

func TestConcurrentVerification(t *testing.T) {
	v := verifier(t, config())
	raw := make([]string, 50)
	for i := range raw {
		raw[i] = mint(t, "EdDSA", with(claims{"sub": fmt.Sprint(i)}))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i, r := range raw {
				tok, err := v.Verify(context.Background(), r)
				if err != nil || tok.Subject != fmt.Sprint(i) {
					t.Error(tok, err)
					return
				}
				if err := tok.Satisfies(ctb.Scope("read:reports")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func FuzzVerify(f *testing.F) {
	v := verifier(f, config())
	f.Add(mint(f, "ES256", with(nil)))
	f.Add(mint(f, "EdDSA", with(claims{"aud": []string{"a", audience}})))
	f.Add("e30.e30.AA")
	good := mint(f, "ES256", with(nil))
	if _, err := v.Verify(f.Context(), good); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		tok, err := v.Verify(t.Context(), raw)
		if (tok == nil) == (err == nil) {
			t.Errorf("token %v with error %v", tok, err)
		}
		if err != nil && !errors.Is(err, ctb.ErrInvalidToken) {
			t.Errorf("static keys can always be had: %v", err)
		}
	})
}

func FuzzClaims(f *testing.F) {
	f.Add(mustJSON(with(nil)))
	f.Add([]byte(`{"exp":1e400,"aud":[],"scope":[],"a":{"b":{"c":[1,"x",true,null]}}}`))
	f.Add([]byte(`{"exp":1,"\u0061ud":"a","":null,"\u2028\ud83d\ude00":{"a":1},"iss":"\/","A":-0,"a.b":[ ] }`))
	reqs := []ctb.Requirement{ctb.Scope("a"), ctb.Claim("a.b.c"), ctb.Claim("exp", 1), ctb.Claim("exp", 1.5), ctb.Claim("a", true),
		{Name: "a.b.c", Type: ctb.StringArray, Values: []any{"x"}}, {Path: []string{"a", "b"}, Type: ctb.Int}}
	f.Fuzz(func(t *testing.T, payload []byte) {
		tok, err := ctb.UnverifiedToken(payload)
		if err != nil {
			return
		}
		for _, r := range reqs {
			_ = tok.Satisfies(r)
		}
		var v map[string]json.RawMessage
		if err := tok.Claims(&v); err != nil {
			t.Errorf("parsed, but does not decode: %v", err)
		}
		if len(payload) > 4<<10 {
			return // to find each of many claims takes its time
		}
		for name, want := range v { // what rules look at is what programs decode
			if got, ok := tok.Claim(name); !ok || !bytes.Equal(got, want) {
				t.Errorf("claim %q: got %s, %t, want %s", name, got, ok, want)
			}
		}
	})
}
