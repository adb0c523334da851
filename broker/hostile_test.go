package broker

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// rawJWS puts a token together of any header and payload, under a signature that means nothing.
func rawJWS(header, payload string) string {
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(header)) + "." + e([]byte(payload)) + "." + e([]byte(strings.Repeat("s", 64)))
}

// Every request here has one fault, and goes over a real socket.
func TestHostileRequests(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	other := newIDP(t, "https://other.example.com/", "ES256")
	stranger := newIDP(t, "https://stranger.example.com/", "ES256")
	f := newFixture(t, nil, p, other)
	good := p.token(t, noon)
	goodForm := form(good).Encode()
	with := func(more ...string) string { return form(good, more...).Encode() }
	token := func(changes map[string]any) string { return form(p.token(t, noon, changes)).Encode() }
	signed := func(signer *idp, h jose.Header) string { return form(signer.sign(t, h, p.claims(noon))).Encode() }
	flipped := good[:len(good)-20] + string(good[len(good)-20]^1) + good[len(good)-19:]
	const (
		badRequest = exchange.InvalidRequest
		badTarget  = exchange.InvalidTarget
		badScope   = exchange.InvalidScope
	)
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
		header http.Header // beside the content type
	}{
		// The request.
		"nothing":                  {"", 400, badRequest, nil},
		"a body of JSON":           {`{"subject_token":"x"}`, 400, badRequest, http.Header{"Content-Type": {"application/json"}}},
		"no content type":          {goodForm, 400, badRequest, http.Header{"Content-Type": {""}}},
		"multipart":                {goodForm, 400, badRequest, http.Header{"Content-Type": {"multipart/form-data; boundary=x"}}},
		"33 KiB":                   {"x=" + strings.Repeat("a", 33<<10), 413, badRequest, nil},
		"a broken escape":          {goodForm + "&x=%zz", 400, badRequest, nil},
		"a semicolon":              {goodForm + ";x=1", 400, badRequest, nil},
		"basic authentication":     {goodForm, 401, exchange.InvalidClient, http.Header{"Authorization": {"Basic Y2xpZW50OnNlY3JldA=="}}},
		"bearer authentication":    {goodForm, 401, exchange.InvalidClient, http.Header{"Authorization": {"Bearer x"}}},
		"a DPoP proof":             {goodForm, 400, badRequest, http.Header{"Dpop": {"e30.e30.x"}}},
		"a client secret":          {with("client_id", "client", "client_secret", "s"), 401, exchange.InvalidClient, nil},
		"another client":           {with("client_id", "somebody"), 400, badRequest, nil},
		"an actor":                 {with("actor_token", good, "actor_token_type", exchange.TypeIDToken), 400, badRequest, nil},
		"another grant":            {url.Values{"grant_type": {"client_credentials"}}.Encode(), 400, exchange.UnsupportedGrantType, nil},
		"the subject token twice":  {with("subject_token", good), 400, badRequest, nil},
		"an access token type":     {strings.Replace(goodForm, "id_token", "access_token", 1), 400, badRequest, nil},
		"a refresh token wanted":   {with("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), 400, badRequest, nil},
		"an audience of no rule":   {with("audience", "https://api.example.com/secret"), 400, badTarget, nil},
		"one audience too many":    {with("audience", "https://api.example.com/a", "audience", "https://api.example.com/secret"), 400, badTarget, nil},
		"an audience, other slash": {with("audience", "https://api.example.com/a/"), 400, badTarget, nil},
		"a resource of no rule":    {with("resource", "https://api.example.com/secret"), 400, badTarget, nil},
		"a relative resource":      {with("resource", "/a"), 400, badTarget, nil},
		"a resource with fragment": {with("resource", "https://api.example.com/a#x"), 400, badTarget, nil},
		"a scope of no rule":       {with("scope", "admin"), 400, badScope, nil},
		"one scope too many":       {with("scope", "read admin"), 400, badScope, nil},
		"a scope in capitals":      {with("scope", "READ"), 400, badScope, nil},
		"a scope with two spaces":  {with("scope", "read  write"), 400, badScope, nil},
		"70 parameters":            {goodForm + strings.Repeat("&x", 1) + manyParameters(70), 400, badRequest, nil},
		// The token's form.
		"no JWT":                   {form("hello").Encode(), 400, badRequest, nil},
		"two parts":                {form("e30.e30").Encode(), 400, badRequest, nil},
		"four parts":               {form(good + ".x").Encode(), 400, badRequest, nil},
		"an encrypted token":       {form("e30.x.x.x.x").Encode(), 400, badRequest, nil},
		"20 KiB of token":          {form(strings.Repeat("a", 20<<10)).Encode(), 400, badRequest, nil},
		"a payload of no JSON":     {form(rawJWS(`{"alg":"ES256"}`, `no`)).Encode(), 400, badRequest, nil},
		"a payload that is a list": {form(rawJWS(`{"alg":"ES256"}`, `["iss"]`)).Encode(), 400, badRequest, nil},
		"an iss that is a number":  {form(rawJWS(`{"alg":"ES256"}`, `{"iss":1}`)).Encode(), 400, badRequest, nil},
		"two iss":                  {form(rawJWS(`{"alg":"ES256","kid":"https://idp.example.com/"}`, `{"iss":"https://other.example.com/","iss":"https://idp.example.com/"}`)).Encode(), 400, badRequest, nil},
		"padding":                  {form(good + "=").Encode(), 400, badRequest, nil},
		"a JSON serialisation":     {form(`{"payload":"e30","signature":"x"}`).Encode(), 400, badRequest, nil},
		"a NUL in the token":       {form(good + "\x00").Encode(), 400, badRequest, nil},
		// The token's signature.
		"no signature":              {form(good[:strings.LastIndex(good, ".")+1]).Encode(), 400, badRequest, nil},
		"another signature":         {form(flipped).Encode(), 400, badRequest, nil},
		"alg none":                  {form(rawJWS(`{"alg":"none"}`, `{"iss":"https://idp.example.com/"}`)).Encode(), 400, badRequest, nil},
		"alg HS256":                 {form(rawJWS(`{"alg":"HS256","kid":"https://idp.example.com/"}`, `{"iss":"https://idp.example.com/"}`)).Encode(), 400, badRequest, nil},
		"another algorithm":         {form(rawJWS(`{"alg":"RS256","kid":"https://idp.example.com/"}`, `{"iss":"https://idp.example.com/"}`)).Encode(), 400, badRequest, nil},
		"an unknown crit":           {form(rawJWS(`{"alg":"ES256","kid":"https://idp.example.com/","crit":["x"],"x":1}`, `{"iss":"https://idp.example.com/"}`)).Encode(), 400, badRequest, nil},
		"another IdP's key":         {signed(other, jose.Header{Algorithm: "ES256", KeyID: other.name, Type: "JWT"}), 400, badRequest, nil},
		"another IdP's key, our id": {signed(other, jose.Header{Algorithm: "ES256", KeyID: p.name, Type: "JWT"}), 400, badRequest, nil},
		"an unknown key":            {signed(p, jose.Header{Algorithm: "ES256", KeyID: "unknown", Type: "JWT"}), 400, badRequest, nil},
		"an access token's typ":     {signed(p, jose.Header{Algorithm: "ES256", KeyID: p.name, Type: "at+jwt"}), 400, badRequest, nil},
		"a logout token's typ":      {signed(p, jose.Header{Algorithm: "ES256", KeyID: p.name, Type: "logout+jwt"}), 400, badRequest, nil},
		// The token's claims.
		"a stranger":                {form(stranger.token(t, noon)).Encode(), 400, badRequest, nil},
		"expired":                   {token(map[string]any{"exp": noon.Add(-61 * time.Second).Unix()}), 400, badRequest, nil},
		"no exp":                    {token(map[string]any{"exp": nil}), 400, badRequest, nil},
		"exp as text":               {token(map[string]any{"exp": "4102444800"}), 400, badRequest, nil},
		"not yet":                   {token(map[string]any{"nbf": noon.Add(61 * time.Second).Unix()}), 400, badRequest, nil},
		"for another client":        {token(map[string]any{"aud": "other"}), 400, badRequest, nil},
		"for nobody":                {token(map[string]any{"aud": nil}), 400, badRequest, nil},
		"authorized for another":    {token(map[string]any{"azp": "other"}), 400, badRequest, nil},
		"no sub":                    {token(map[string]any{"sub": nil}), 400, badRequest, nil},
		"an empty sub":              {token(map[string]any{"sub": ""}), 400, badRequest, nil},
		"a logout token's claims":   {token(map[string]any{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}), 400, badRequest, nil},
		"for many, authorized none": {token(map[string]any{"aud": []string{"client", "other"}}), 400, badRequest, nil},
		"for many, another's":       {token(map[string]any{"aud": []string{"client", "other"}, "azp": "other"}), 400, badRequest, nil},
		"an issuer, other slash":    {token(map[string]any{"iss": "https://idp.example.com"}), 400, badRequest, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := http.NewRequest(http.MethodPost, f.server.URL+"/token", strings.NewReader(c.body))
			r.Header.Set("Content-Type", formType)
			for k, v := range c.header {
				r.Header[k] = v
			}
			resp, text := f.do(t, r)
			var refusal exchange.Error
			if err := json.Unmarshal([]byte(text), &refusal); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if resp.StatusCode != c.status || refusal.Code != c.code || refusal.Description == "" {
				t.Errorf("got %d %s, want %d %s", resp.StatusCode, text, c.status, c.code)
			}
			if resp.Header.Get("Cache-Control") != "no-store" {
				t.Error("the refusal may be cached")
			}
			if c.status == 401 && resp.Header.Get("Www-Authenticate") == "" {
				t.Error("a 401 without a challenge (RFC 9110 section 15.5.2)")
			}
			e := f.audit.last(t)
			if e.Outcome != Refused || e.Code != c.code || e.Reason == "" || e.TokenSHA256 != "" || e.ID != resp.Header.Get("X-Request-Id") {
				t.Errorf("recorded %+v", e)
			}
			if strings.Contains(text, "rule-") || strings.Contains(e.Reason, "ctb.") {
				t.Errorf("the answer %s or the reason %q tells too much", text, e.Reason)
			}
		})
	}
	if _, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: good}); err != nil {
		t.Errorf("after all that, a good request is refused: %v", err)
	}
}

func manyParameters(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("&p" + strings.Repeat("x", i) + "=1")
	}
	return b.String()
}

// What is refused in Go is refused in the same words, without HTTP.
func TestExchangeChecksItsRequest(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	for name, c := range map[string]struct {
		r    exchange.Request
		code string
	}{
		"no token":    {exchange.Request{}, exchange.InvalidRequest},
		"a saml type": {exchange.Request{SubjectToken: "x", SubjectTokenType: "saml"}, exchange.InvalidRequest},
		"a bad scope": {exchange.Request{SubjectToken: "x", Scope: []string{"a b"}}, exchange.InvalidScope},
		"no URI":      {exchange.Request{SubjectToken: "x", Resource: []string{"x"}}, exchange.InvalidTarget},
	} {
		if _, err := f.Exchange(t.Context(), &c.r); codeOf(err) != c.code {
			t.Errorf("%s: got %v, want %s", name, err, c.code)
		}
	}
}
