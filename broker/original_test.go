package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// originalRules is the original's rule file; only the place of the IdP's keys differs.
const originalRules = `{
	"configs": [
		{
			"idp": "https://dev-f3qm0elg4mvfgpsu.us.auth0.com/",
			"jwk_endpoint": %q,
			"client_id": "IMIprdP4qfSuKANevWkJyhG5F7weEGT0",
			"server_api": [
				"https://example.com/server1-api",
				"https://example.com/server2-api"
			],
			"scope": "openid profile read:admin",
			"expiration": 3600
		}
	]
}
`

func testdata(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

const originalIDP = "https://dev-f3qm0elg4mvfgpsu.us.auth0.com/"

// newOriginal is a broker in the compatibility profile, at the time of the original's sample.
func newOriginal(t testing.TB) *fixture {
	p := newIDP(t, originalIDP, "ES256")
	p.serves(body("application/json", testdata(t, "idp_jwks.json")))
	start := newClock(time.Unix(1696052500, 0))
	f := newFixture(t, func(c *Config) {
		c.Rules = parseRules(t, fmt.Appendf(nil, originalRules, p.server.URL+"/.well-known/jwks.json"))
		c.Original, c.Now = true, start.now
	})
	f.clock = start
	return f
}

// One broker serves all of them: RSA keys take their time.
func TestOriginalProfile(t *testing.T) {
	f := newOriginal(t)
	for name, test := range map[string]func(*testing.T, *fixture){
		"genuine id token":                          genuineIDToken,
		"genuine id token at the standard endpoint": genuineIDTokenAtTheStandardEndpoint,
		"genuine id token out of its time":          genuineIDTokenOutOfItsTime,
		"key set":                                   originalKeySet,
		"refusals":                                  stsTokenRefuses,
	} {
		t.Run(name, func(t *testing.T) { test(t, f) })
	}
}

// The genuine id token of the original's documentation becomes the access token of its documentation.
func genuineIDToken(t *testing.T, f *fixture) {
	id := testdata(t, "idtoken_2_curl.jwt")
	header, genuine := parts(t, testdata(t, "access_1_response.jwt"))
	// What differs by nature: the key, and the instant.
	kid := f.ring.current.Load().key.id
	header = header[:strings.Index(header, `"kid"`)] + fmt.Sprintf(`"kid":%q}`, kid)
	genuine = strings.Replace(genuine, `"iat":1696053906,"exp":1696057506`, `"iat":1696052500,"exp":1696056100`, 1)

	for _, method := range []string{http.MethodGet, http.MethodPost} {
		r, _ := http.NewRequest(method, f.server.URL+"/stsToken", strings.NewReader(fmt.Sprintf(`{"id_token": %q}`, id)))
		r.Header.Set("Content-Type", "application/json")
		resp, text := f.do(t, r)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: got %s %s", method, resp.Status, text)
		}
		var answer map[string]string
		if err := json.Unmarshal([]byte(text), &answer); err != nil || len(answer) != 1 {
			t.Fatalf("%s: got %s, want the one member Access Token", method, text)
		}
		gotHeader, got := parts(t, answer["Access Token"])
		if gotHeader != header || got != genuine {
			t.Errorf("%s: got\n%s.%s, want\n%s.%s", method, gotHeader, got, header, genuine)
		}
		keys, err := ctb.ParseKeys(f.ring.published.Load().body)
		if err != nil {
			t.Fatal(err)
		}
		v, err := ctb.NewVerifier(ctb.Config{Issuer: originalIssuer, Audience: "https://example.com/server1-api", Type: ctb.IDToken, Keys: keys, Now: f.clock.now})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), answer["Access Token"]); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// At the standard endpoint the same id token becomes an RFC 9068 token.
func genuineIDTokenAtTheStandardEndpoint(t *testing.T, f *fixture) {
	answer, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: testdata(t, "idtoken_2_curl.jwt")})
	if err != nil {
		t.Fatal(err)
	}
	header, claims := parts(t, answer.AccessToken)
	if !strings.HasPrefix(header, `{"typ":"at+jwt","alg":"RS256",`) || !strings.HasPrefix(claims, `{"iss":"https://broker.example.com",`) {
		t.Errorf("got %s.%s", header, claims)
	}
	var got, want map[string]any
	_, genuine := parts(t, testdata(t, "access_2_client_api.jwt"))
	if json.Unmarshal([]byte(claims), &got) != nil || json.Unmarshal([]byte(genuine), &want) != nil {
		t.Fatal("no claims")
	}
	for _, name := range []string{"aud", "sub", "scope", "client_id"} {
		if fmt.Sprint(got[name]) != fmt.Sprint(want[name]) {
			t.Errorf("%s: got %v, want %v", name, got[name], want[name])
		}
	}
}

func genuineIDTokenOutOfItsTime(t *testing.T, f *fixture) {
	for token, says := range map[string]string{"idtoken_1_body.jwt": "exp", "idtoken_2_curl.jwt": ""} {
		_, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: testdata(t, token)})
		if (says == "") != (err == nil) || err != nil && !strings.Contains(errors.Unwrap(err).Error(), says) {
			t.Errorf("%s: got %v, %v", token, err, errors.Unwrap(err))
		}
	}
}

// The key is RSA-3072, its members are the original's in their order, and the certificate carries both forms of evidence.
func originalKeySet(t *testing.T, f *fixture) {
	set := string(f.ring.published.Load().body)
	at := 0
	for _, member := range []string{`{"keys":[{"kty":"RSA"`, `,"use":"sig"`, `,"n":"`, `,"e":"AQAB"`, `,"kid":"`, `,"x5c":["`, `,"alg":"RS256"}]}`} {
		i := strings.Index(set[at:], member)
		if i < 0 {
			t.Fatalf("no %s after byte %d of %s", member, at, set)
		}
		at += i
	}
	keys, err := jose.ParseSet([]byte(set))
	if err != nil {
		t.Fatal(err)
	}
	for name, oid := range map[string][]byte{
		"original": {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01},
		"DICE":     {0x06, 0x06, 0x67, 0x81, 0x05, 0x05, 0x04, 0x09},
	} {
		if !bytes.Contains(keys[0].Certificate[0], oid) {
			t.Errorf("the certificate has no evidence of the %s form", name)
		}
	}
}

func stsTokenRefuses(t *testing.T, f *fixture) {
	id := testdata(t, "idtoken_2_curl.jwt")
	good := fmt.Sprintf(`{"id_token":%q}`, id)
	stranger := newIDP(t, "https://stranger.example.com/", "ES256")
	for name, c := range map[string]struct {
		method, body string
		status       int
		code         string
	}{
		"no body":             {"POST", ``, 400, exchange.InvalidRequest},
		"no body of a GET":    {"GET", ``, 400, exchange.InvalidRequest},
		"no JSON":             {"POST", `{{"id_token"}}`, 400, exchange.InvalidRequest},
		"a list":              {"POST", `[` + good + `]`, 400, exchange.InvalidRequest},
		"no id token":         {"POST", `{}`, 400, exchange.InvalidRequest},
		"null":                {"POST", `{"id_token":null}`, 400, exchange.InvalidRequest},
		"an empty id token":   {"POST", `{"id_token":""}`, 400, exchange.InvalidRequest},
		"a number":            {"POST", `{"id_token":1}`, 400, exchange.InvalidRequest},
		"in capitals":         {"POST", strings.Replace(good, "id_token", "ID_TOKEN", 1), 400, exchange.InvalidRequest},
		"twice":               {"POST", strings.Replace(good, "{", `{"id_token":"x",`, 1), 400, exchange.InvalidRequest},
		"two bodies":          {"POST", good + good, 400, exchange.InvalidRequest},
		"a form":              {"POST", "id_token=" + id, 400, exchange.InvalidRequest},
		"33 KiB":              {"POST", `{"id_token":"` + strings.Repeat("a", 33<<10) + `"}`, 413, exchange.InvalidRequest},
		"20 KiB of token":     {"POST", `{"id_token":"` + strings.Repeat("a", 20<<10) + `"}`, 400, exchange.InvalidRequest},
		"no JWT":              {"POST", `{"id_token":"hello"}`, 400, exchange.InvalidRequest},
		"another signature":   {"GET", `{"id_token":"` + id[:len(id)-8] + `AAAAAAAA"}`, 401, exchange.InvalidRequest},
		"an expired id token": {"GET", fmt.Sprintf(`{"id_token":%q}`, testdata(t, "idtoken_1_body.jwt")), 401, exchange.InvalidRequest},
		"a stranger":          {"POST", fmt.Sprintf(`{"id_token":%q}`, stranger.token(t, f.clock.now())), 401, exchange.InvalidRequest},
		"PUT":                 {"PUT", good, 405, "method_not_allowed"},
		"DELETE":              {"DELETE", ``, 405, "method_not_allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := http.NewRequest(c.method, f.server.URL+"/stsToken", strings.NewReader(c.body))
			resp, text := f.do(t, r)
			var refusal struct {
				Message     string `json:"msg"`
				Code        string `json:"error"`
				Description string `json:"error_description"`
			}
			if err := json.Unmarshal([]byte(text), &refusal); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if resp.StatusCode != c.status || refusal.Code != c.code || refusal.Description == "" {
				t.Errorf("got %d %s, want %d %s", resp.StatusCode, text, c.status, c.code)
			}
			if c.status == 405 {
				if resp.Header.Get("Allow") != "GET, POST" {
					t.Errorf("Allow: %q", resp.Header.Get("Allow"))
				}
			} else if refusal.Message != originalMessage {
				t.Errorf("msg %q, want the original's %q", refusal.Message, originalMessage)
			}
		})
	}
}

// A subject that no rule fits is known, but gets nothing: 403.
func TestStsTokenForAnotherClient(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, func(c *Config) { c.Original = true }, p)
	resp, text := f.post(t, "/stsToken", "application/json", fmt.Sprintf(`{"id_token":%q}`, p.token(t, noon, map[string]any{"aud": "other"})))
	if resp.StatusCode != 403 || !strings.Contains(text, originalMessage) {
		t.Errorf("got %s %s", resp.Status, text)
	}
	p.server.Close()
	f.clock.add(48 * time.Hour) // past what was cached
	resp, text = f.post(t, "/stsToken", "application/json", fmt.Sprintf(`{"id_token":%q}`, p.token(t, f.clock.now())))
	if resp.StatusCode != 503 || !strings.Contains(text, originalMessage) {
		t.Errorf("got %s %s", resp.Status, text)
	}
}

func FuzzStsTokenBody(f *testing.F) {
	f.Add(`{"id_token":"e30.e30.x"}`)
	f.Add(`{"id_token":"x","id_token":"y"}`)
	f.Add(`{"id_token":"\ud800"}`)
	f.Add(`{{`)
	f.Fuzz(func(t *testing.T, body string) {
		r, err := parseOriginal([]byte(body))
		if err == nil && r.Check() != nil {
			t.Errorf("%q gives a request that is not well formed", body)
		}
		var refusal *exchange.Error
		if err != nil && (!errors.As(err, &refusal) || refusal.Code != exchange.InvalidRequest) {
			t.Errorf("%q: got %v, want an *exchange.Error", body, err)
		}
	})
}
