package gateway_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
)

// TestHostileRequests sends one fault each over a TLS socket, as written, and
// looks at the status and the challenge. Whatever is refused must not reach
// the upstream.
func TestHostileRequests(t *testing.T) {
	g := newRig(t, setup{requirements: []ctb.Requirement{ctb.Scope("read:reports")}})
	iss, other := g.issuer, ctbtest.NewIssuer(t)
	scope := func(changes ctbtest.Claims) string {
		all := ctbtest.Claims{"scope": "read:reports"}
		for name, value := range changes {
			all[name] = value
		}
		return iss.Token(all)
	}
	good := scope(nil)
	parts := strings.Split(good, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	signed := func(header string) string { return iss.Sign(header, string(payload)) }
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	bearer := func(token string) string { return "Authorization: Bearer " + token + "\r\n" }
	b64 := base64.RawURLEncoding.EncodeToString
	hs256 := func() string {
		input := b64([]byte(strings.Replace(iss.Header(), "ES256", "HS256", 1))) + "." + parts[1]
		mac := hmac.New(sha256.New, iss.JWKS())
		mac.Write([]byte(input))
		return input + "." + b64(mac.Sum(nil))
	}

	const (
		invalid = `Bearer error="invalid_token"`
		plain   = "Bearer"
		scopes  = `Bearer error="insufficient_scope", scope="read:reports"`
	)
	for _, tt := range []struct {
		name, headers string
		status        int
		challenge     string
	}{
		// How the token is carried.
		{"good", bearer(good), 200, ""},
		{"lower-case scheme", "Authorization: bearer " + good + "\r\n", 200, ""},
		{"mixed-case header name", "aUTHORIZATION: BEARER " + good + "\r\n", 200, ""},
		{"several spaces", "Authorization: Bearer    " + good + "\r\n", 200, ""},
		{"no header", "", 401, plain},
		{"empty header", "Authorization:\r\n", 401, plain},
		{"scheme alone", "Authorization: Bearer\r\n", 400, plain},
		{"token alone", "Authorization: " + good + "\r\n", 401, plain},
		{"basic", "Authorization: Basic dTpw\r\n", 401, plain},
		{"another scheme before", "Authorization: Basic dTpw, Bearer " + good + "\r\n", 401, plain},
		{"DPoP", "Authorization: DPoP " + good + "\r\n", 401, plain},
		{"two headers, same token", bearer(good) + bearer(good), 400, plain},
		{"two headers, bad one second", bearer(good) + bearer("x"), 400, plain},
		{"two headers, Basic second", bearer(good) + "Authorization: Basic dTpw\r\n", 400, plain},
		{"two tokens, comma", "Authorization: Bearer " + good + "," + good + "\r\n", 400, plain},
		{"two tokens, space", "Authorization: Bearer " + good + " " + good + "\r\n", 400, plain},
		{"tab in the token", "Authorization: Bearer " + good + "\tx\r\n", 400, plain},
		{"in a cookie", "Cookie: access_token=" + good + "\r\n", 401, plain},
		{"in Proxy-Authorization", "Proxy-Authorization: Bearer " + good + "\r\n", 401, plain},
		{"named with an underscore", "Authorization_: Bearer " + good + "\r\n", 401, plain},

		// What the token is.
		{"garbage", bearer("garbage"), 401, invalid},
		{"two parts", bearer(parts[0] + "." + parts[1]), 401, invalid},
		{"four parts", bearer(good + ".x"), 401, invalid},
		{"padded", bearer(good + "="), 401, invalid},
		{"no signature", bearer(parts[0] + "." + parts[1] + "."), 401, invalid},
		{"oversize token", bearer(strings.Repeat("a", 17<<10)), 401, invalid},
		{"alg none", bearer(b64([]byte(`{"typ":"at+jwt","alg":"none"}`)) + "." + parts[1] + "."), 401, invalid},
		{"alg HS256 with the public key", bearer(hs256()), 401, invalid},
		{"alg of another family", bearer(signed(strings.Replace(iss.Header(), "ES256", "RS256", 1))), 401, invalid},
		{"crit", bearer(signed(strings.Replace(iss.Header(), "{", `{"crit":["x"],"x":1,`, 1))), 401, invalid},
		{"duplicate header member", bearer(signed(strings.Replace(iss.Header(), "{", `{"typ":"at+jwt",`, 1))), 401, invalid},
		{"typ JWT", bearer(signed(strings.Replace(iss.Header(), "at+jwt", "JWT", 1))), 401, invalid},
		{"typ dpop+jwt", bearer(signed(strings.Replace(iss.Header(), "at+jwt", "dpop+jwt", 1))), 401, invalid},
		{"unknown kid", bearer(signed(`{"typ":"at+jwt","alg":"ES256","kid":"mine"}`)), 401, invalid},
		{"embedded key", bearer(other.Sign(strings.Replace(other.Header(), "{", `{"jwk":`+strings.TrimSuffix(strings.TrimPrefix(string(other.JWKS()), `{"keys":[`), "]}")+",", 1), string(payload))), 401, invalid},
		{"forged", bearer(other.Sign(iss.Header(), string(payload))), 401, invalid},
		{"another payload", bearer(parts[0] + "." + strings.Split(scope(ctbtest.Claims{"sub": "root"}), ".")[1] + "." + parts[2]), 401, invalid},
		{"payload no object", bearer(iss.Sign(iss.Header(), `[]`)), 401, invalid},
		{"duplicate claim", bearer(iss.Sign(iss.Header(), strings.Replace(string(payload), "{", `{"sub":"root",`, 1))), 401, invalid},

		// What the token says.
		{"another issuer", bearer(scope(ctbtest.Claims{"iss": "https://mallory.example"})), 401, invalid},
		{"no issuer", bearer(scope(ctbtest.Claims{"iss": nil})), 401, invalid},
		{"another audience", bearer(scope(ctbtest.Claims{"aud": "https://other.example.com"})), 401, invalid},
		{"no audience", bearer(scope(ctbtest.Claims{"aud": nil})), 401, invalid},
		{"several audiences", bearer(scope(ctbtest.Claims{"aud": []string{"x", ctbtest.Audience}})), 200, ""},
		{"expired", bearer(scope(ctbtest.Claims{"exp": ago(2 * time.Minute)})), 401, invalid},
		{"expired within the leeway", bearer(scope(ctbtest.Claims{"exp": ago(5 * time.Second)})), 200, ""},
		{"no expiry", bearer(scope(ctbtest.Claims{"exp": nil})), 401, invalid},
		{"expiry a string", bearer(scope(ctbtest.Claims{"exp": "9999999999"})), 401, invalid},
		{"not yet valid", bearer(scope(ctbtest.Claims{"nbf": ago(-2 * time.Minute)})), 401, invalid},
		{"no scope", bearer(iss.Token(nil)), 403, scopes},
		{"another scope", bearer(scope(ctbtest.Claims{"scope": "read:reportsX"})), 403, scopes},
		{"scope an object", bearer(scope(ctbtest.Claims{"scope": map[string]any{"read:reports": true}})), 401, invalid},
		{"scope in an array", bearer(scope(ctbtest.Claims{"scope": []string{"read:reports"}})), 200, ""},

		// What comes with a good token.
		{"oversize header", bearer(good) + "X: " + strings.Repeat("x", 80<<10) + "\r\n", 431, ""},
		{"two lengths", bearer(good) + "Content-Length: 1\r\nContent-Length: 2\r\n", 400, ""},
		{"odd transfer coding", bearer(good) + "Transfer-Encoding: chunked, identity\r\n", 501, ""},
		{"space before the colon", "Authorization : Bearer " + good + "\r\n", 400, ""},
		{"line folding", "Authorization: Bearer\r\n " + good + "\r\n", 200, ""}, // RFC 9112 section 5.2: one header, one token
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, body := g.raw("GET /reports HTTP/1.1\r\nHost: gw\r\nConnection: close\r\n" + tt.headers + "\r\n")
			if res.StatusCode != tt.status {
				t.Errorf("got %d %s, want %d", res.StatusCode, body, tt.status)
			}
			if got := strings.Join(res.Header["Www-Authenticate"], " | "); got != tt.challenge {
				t.Errorf("WWW-Authenticate: got %q, want %q", got, tt.challenge)
			}
			if seen := len(g.reached()); (seen == 1) != (tt.status == 200) || seen > 1 {
				t.Errorf("status %d, and %d requests reached the upstream", res.StatusCode, seen)
			}
		})
	}
	for _, secret := range []string{good, parts[1], parts[2]} {
		if strings.Contains(g.log.String(), secret) {
			t.Error("the log has a token in it")
		}
	}
}

// TestHostileTargets: the token is good, the request line is odd.
func TestHostileTargets(t *testing.T) {
	g := newRig(t, setup{path: "/app"})
	for _, tt := range []struct {
		name, line string
		status     int
		want       string // the target that the upstream sees
	}{
		{"absolute form", "GET http://elsewhere.example/x HTTP/1.1", 200, "/app/x"},
		{"upstream by name", "GET https://169.254.169.254/latest HTTP/1.1", 200, "/app/latest"},
		{"two dots", "GET /../admin HTTP/1.1", 400, ""},
		{"two dots, encoded", "GET /%2e%2E/admin HTTP/1.1", 400, ""},
		{"encoded slash", "GET /x/..%2fadmin HTTP/1.1", 400, ""},
		{"backslash", `GET /x/..\..\admin HTTP/1.1`, 400, ""},
		{"with a parameter", "GET /..;v=1/admin HTTP/1.1", 400, ""},
		{"at the end", "GET /x/.. HTTP/1.1", 400, ""},
		{"one dot", "GET /./x HTTP/1.1", 400, ""},
		{"three dots are a name", "GET /... HTTP/1.1", 200, "/app/..."},
		{"dots in a name", "GET /a..b/.well-known HTTP/1.1", 200, "/app/a..b/.well-known"},
		{"dots in the query", "GET /x?p=../y HTTP/1.1", 200, "/app/x?p=../y"},
		{"double slash", "GET //x HTTP/1.1", 200, "/app//x"},
		{"a tunnel", "CONNECT db.internal:5432 HTTP/1.1", 405, ""},
		{"no HTTP", "GET /", 400, ""},
		{"HTTP/3", "GET / HTTP/3.0", 505, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, body := g.raw(tt.line + "\r\nHost: gw\r\nConnection: close\r\nAuthorization: Bearer " + g.issuer.Token(nil) + "\r\n\r\n")
			if res.StatusCode != tt.status {
				t.Errorf("got %d %s, want %d", res.StatusCode, body, tt.status)
			}
			var got string
			for _, r := range g.reached() {
				got += r.RequestURI
			}
			if got != tt.want {
				t.Errorf("the upstream saw %q, want %q", got, tt.want)
			}
		})
	}
}

// TestEveryMethodNeedsAToken: no method is waved through, OPTIONS and TRACE included.
func TestEveryMethodNeedsAToken(t *testing.T) {
	g := newRig(t, setup{})
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X"} {
		if res, _ := g.do(method, "/", "", nil, nil); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: got %d, want 401", method, res.StatusCode)
		}
	}
	if n := len(g.reached()); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}
