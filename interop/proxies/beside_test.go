package proxies

import (
	"net/http"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/ctbtest"
)

// question is a request to a proxy that asks the gateway, and what must become of it.
type question struct {
	name           string
	method, target string
	claims         ctbtest.Claims // of the token; nil: none is shown
	lines          []string       // further header lines
	want           int            // 200: the service gets it
	takenAway      int            // wanted where the proxy is told to take those lines away; 0: want
	user, role     string         // that the service gets in X-User and X-Role
}

// questions are the same for every proxy.
var questions = []question{
	{name: "open", method: "GET", target: "/public/x", want: 200},
	{name: "open, claims made up", method: "GET", target: "/public/x", lines: []string{"X-User: root", "X-Role: admin", "X_User: root", "x_role: admin"}, want: 200},
	{name: "no token", method: "GET", target: "/reports/1", want: 401},
	{name: "not a token", method: "GET", target: "/reports/1", lines: []string{"Authorization: Bearer abc"}, want: 401},
	{name: "expired", method: "GET", target: "/reports/1", claims: ctbtest.Claims{"exp": 1700000000}, want: 401},
	{name: "another audience", method: "GET", target: "/reports/1", claims: ctbtest.Claims{"aud": "https://other.example"}, want: 401},
	{name: "no scope", method: "GET", target: "/reports/1", claims: ctbtest.Claims{"sub": "bob"}, want: 403},
	{name: "scope", method: "GET", target: "/reports/1", claims: reader, want: 200, user: "alice"},
	{name: "scope, claims made up", method: "GET", target: "/reports/1", claims: reader, want: 200, user: "alice",
		lines: []string{"X-User: root", "x-role: admin", "X-Role: admin", "x_user: root", "X_Role: admin"}},
	{name: "query", method: "GET", target: "/reports/1?a=b;c&d=%zz", claims: reader, want: 200, user: "alice"},
	{name: "a GET's scope does not POST", method: "POST", target: "/reports/1", claims: reader, want: 403},
	{name: "says it is a GET", method: "POST", target: "/reports/1", claims: reader, want: 403,
		lines: []string{"X-Forwarded-Method: GET", "X-Original-Method: GET"}},
	{name: "asks for another method", method: "POST", target: "/reports/1", claims: reader, want: 400, takenAway: 403,
		lines: []string{"X-HTTP-Method-Override: GET"}},
	{name: "admin", method: "POST", target: "/reports/1", claims: admin, want: 200, user: "ada", role: "admin"},
	{name: "says it is elsewhere", method: "GET", target: "/reports/1", want: 401,
		lines: []string{"X-Forwarded-Uri: /public/x", "X-Original-URI: /public/x", "X-Original-URL: /public/x"}},
	{name: "asks for another path", method: "GET", target: "/reports/1", want: 400, takenAway: 401,
		lines: []string{"X-Rewrite-URL: /public/x"}},
	{name: "says so with a token", method: "POST", target: "/reports/1", claims: reader, want: 403,
		lines: []string{"X-Forwarded-Uri: /public/x", "X-Original-URI: /public/x"}},
	{name: "no route", method: "GET", target: "/elsewhere", claims: admin, want: 403},
	{name: "encoded letters", method: "GET", target: "/%72eports/1", claims: reader, want: 200, user: "alice"},
	{name: "encoded letters, POST", method: "POST", target: "/%72eports/1", claims: reader, want: 403},
	{name: "encoded slash", method: "GET", target: "/public%2F..%2Freports/1", claims: admin, want: 400},
	{name: "dot segments", method: "GET", target: "/public/../reports/1", claims: admin, want: 400},
	{name: "encoded dot segments", method: "GET", target: "/public/%2e%2e/reports/1", claims: admin, want: 400},
	{name: "two slashes", method: "GET", target: "//public/x", claims: admin, want: 400},
	{name: "two tokens", method: "GET", target: "/reports/1", claims: reader, lines: []string{"Authorization: Bearer abc"}, want: 400},
	{name: "the endpoint itself", method: "GET", target: "/authorize", claims: admin, want: 403},
}

// ask puts the questions to a proxy at an address.
func (r *rig) ask(t *testing.T, address string) {
	for _, q := range questions {
		t.Run(q.name, func(t *testing.T) {
			lines, body := q.lines, ""
			if q.claims != nil {
				lines = append([]string{"Authorization: Bearer " + r.issuer.Token(q.claims)}, lines...)
			}
			if q.method == "POST" {
				body = "a body"
			}
			if r.takesAway && q.takenAway != 0 {
				q.want = q.takenAway
			}
			res, text := exchange(t, address, q.method, q.target, lines, body)
			seen := r.service.reached()
			if res.StatusCode != q.want {
				t.Fatalf("got %d %q, want %d", res.StatusCode, text, q.want)
			}
			if q.want != http.StatusOK {
				if len(seen) != 0 {
					t.Errorf("the service got %s %s", seen[0].Method, seen[0].RequestURI)
				}
				if challenge := res.Header.Get("WWW-Authenticate"); (q.want == http.StatusUnauthorized) && !strings.HasPrefix(challenge, "Bearer") {
					t.Errorf("got the challenge %q, want one that begins with Bearer (RFC 6750 section 3)", challenge)
				}
				return
			}
			if len(seen) != 1 || !strings.HasSuffix(text, body) {
				t.Fatalf("the service got %d requests and answered %q, want one and its body %q", len(seen), text, body)
			}
			q.checkArrived(t, seen[0])
		})
	}
}

// checkArrived checks what came through: the request that was judged, who it
// is by, and no credential.
func (q question) checkArrived(t *testing.T, got *http.Request) {
	t.Helper()
	if got.Method != q.method || got.RequestURI != q.target {
		t.Errorf("the service got %s %s, want %s %s", got.Method, got.RequestURI, q.method, q.target)
	}
	for name, want := range map[string]string{"X-User": q.user, "X-Role": q.role, "X_user": "", "X_role": ""} {
		if values := got.Header.Values(name); strings.Join(values, "|") != want {
			t.Errorf("%s: the service got %q, want %q", name, values, want)
		}
	}
	if got.Header.Get("Authorization") != "" {
		t.Error("the service got the token")
	}
}

// askWithQuery shows a token in the query, and wants it in no log.
func (r *rig) askWithQuery(t *testing.T, address string, logs func() string) {
	good, bad := r.issuer.Token(reader), ctbtest.NewIssuer(t).Token(reader)
	for token, want := range map[string]int{good: 200, bad: 401} {
		if res, text := exchange(t, address, "GET", "/reports/1?access_token="+token, nil, ""); res.StatusCode != want {
			t.Errorf("got %d %q, want %d", res.StatusCode, text, want)
		}
		r.service.reached()
	}
	r.gateway.stop()
	r.askNobody(t, address, "/reports/1?access_token="+good)
	all := logs() + r.gateway.output.String()
	if !strings.Contains(all, "/reports/1") {
		t.Errorf("the logs tell of no request: %s", all)
	}
	for _, token := range []string{good, bad} {
		if strings.Contains(all, token) {
			t.Errorf("the token is in a log: %s", all)
		}
	}
}

// askNobody asks when the gateway does not run: everything is refused.
func (r *rig) askNobody(t *testing.T, address, target string) {
	t.Helper()
	res, text := exchange(t, address, "GET", target, []string{"Authorization: Bearer " + r.issuer.Token(admin)}, "")
	if seen := r.service.reached(); res.StatusCode < 500 || len(seen) != 0 {
		t.Errorf("without the gateway: got %d %q, and the service got %d requests; want 5xx and none", res.StatusCode, text, len(seen))
	}
}

// TestAuthorizeAlone: who asks the gateway's endpoint without saying about what gets no consent.
func TestAuthorizeAlone(t *testing.T) {
	r := newBeside(t)
	bearer := "Authorization: Bearer " + r.issuer.Token(admin)
	for name, lines := range map[string][]string{
		"nothing":          {bearer},
		"a method":         {bearer, "X-Original-Method: GET"},
		"a path":           {bearer, "X-Original-URI: /reports/1"},
		"two paths":        {bearer, "X-Original-Method: GET", "X-Original-URI: /reports/1", "X-Original-URI: /public/x"},
		"no path":          {bearer, "X-Original-Method: GET", "X-Original-URI: "},
		"an absolute path": {bearer, "X-Original-Method: GET", "X-Original-URI: http://service.example/reports/1"},
	} {
		res, text := exchange(t, r.authorize, "GET", "/authorize", lines, "")
		if res.StatusCode < 400 {
			t.Errorf("%s: got %d %q, want a refusal", name, res.StatusCode, text)
		}
	}
	if res, text := exchange(t, r.authorize, "GET", "/authorize", []string{bearer, "X-Original-Method: POST", "X-Original-URI: /reports/1"}, ""); res.StatusCode != 200 {
		t.Errorf("complete: got %d %q, want 200", res.StatusCode, text)
	}
}
