package gateway_test

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
)

// question is what another proxy asks.
func question(authorization string, header http.Header) *http.Request {
	r := httptest.NewRequest("GET", "/authorize", nil)
	for name, values := range header {
		r.Header[name] = values
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

// routed protects /admin/* and POST.
func routed(c *gateway.Config) {
	c.Routes = []gateway.Route{
		{Path: "/open", Open: true},
		{Path: "/admin/*", Rules: []gateway.Rule{{Claims: []ctb.Requirement{ctb.Scope("admin")}}}},
		{Path: "/*", Methods: []string{"GET"}},
	}
	c.ClaimHeaders = []gateway.ClaimHeader{{Header: "X-User", Claim: []string{"sub"}}}
}

// TestAuthorize: nginx, Caddy and Traefik ask about a request, and are answered
// as its client would have been.
func TestAuthorize(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	h := decider(t, iss, routed).Authorize()
	user := "Bearer " + iss.Token(ctbtest.Claims{"sub": "alice"})
	nginx := func(method, uri string) http.Header {
		return http.Header{"X-Original-Method": {method}, "X-Original-Uri": {uri}}
	}
	ingress := func(method, u string) http.Header {
		return http.Header{"X-Original-Method": {method}, "X-Original-Url": {u}}
	}
	caddy := func(method, uri string) http.Header {
		return http.Header{"X-Forwarded-Method": {method}, "X-Forwarded-Uri": {uri}, "X-Forwarded-Host": {"app"}, "X-Forwarded-Proto": {"https"}}
	}
	with := func(h http.Header, name string, values ...string) http.Header {
		h[name] = values
		return h
	}
	for _, tt := range []struct {
		what, authorization string
		header              http.Header
		status              int
	}{
		{"nginx", user, nginx("GET", "/x?a=b"), 200},
		{"nginx, no credential", "", nginx("GET", "/x"), 401},
		{"nginx, an open route", "", nginx("GET", "/open"), 200},
		{"nginx, not enough", user, nginx("GET", "/admin/x"), 403},
		{"nginx, encoded", user, nginx("GET", "/%61dmin"), 403},
		{"nginx, another method", user, nginx("POST", "/x"), 403},
		{"nginx, two slashes", user, nginx("GET", "//x"), 400},
		{"ingress", user, ingress("GET", "https://app.example/x?a=b"), 200},
		{"ingress, not enough", user, ingress("GET", "https://app.example/admin"), 403},
		{"ingress, no path", user, ingress("GET", "https://app.example"), 400},
		{"ingress, a query for a path", user, ingress("GET", "https://app.example?/x"), 400},
		{"ingress, another scheme", user, ingress("GET", "file:///x"), 400},
		{"ingress, no host", user, ingress("GET", "http:///x"), 400},
		{"ingress, a host that is none", user, ingress("GET", "http:// /"), 400},
		{"ingress, a port that is none", user, ingress("GET", "http://app.example:x/"), 400},
		{"ingress, a user before the host", user, ingress("GET", "http://app.example@other.example/x"), 400},
		{"ingress, a port", user, ingress("GET", "http://[::1]:8080/x"), 200},
		{"Caddy", user, caddy("GET", "/x?a=b"), 200},
		{"Caddy, not enough", user, caddy("GET", "/admin"), 403},
		{"both, alike", user, with(caddy("GET", "/x"), "X-Original-Uri", "/x"), 200},
		{"both, differently", user, with(caddy("GET", "/admin"), "X-Original-Uri", "/x"), 400},
		{"both, methods differ", user, with(caddy("POST", "/x"), "X-Original-Method", "GET"), 400},
		{"both, only the query differs", user, with(caddy("GET", "/x?a"), "X-Original-Uri", "/x?b"), 400},
		{"path twice", user, with(nginx("GET", ""), "X-Original-Uri", "/x", "/admin"), 400},
		{"path twice, alike", user, with(nginx("GET", ""), "X-Original-Uri", "/x", "/x"), 400},
		{"method twice", user, with(nginx("", "/x"), "X-Original-Method", "GET", "GET"), 400},
		{"an empty method", user, nginx("", "/x"), 400},
		{"an empty path", user, nginx("GET", ""), 400},
		{"no method", user, http.Header{"X-Original-Uri": {"/x"}}, 400},
		{"no path", user, http.Header{"X-Original-Method": {"GET"}}, 400},
		{"nothing", user, nil, 400},
		{"a method that is none", user, nginx("GET /", "/x"), 400},
		{"a path that is none", user, nginx("GET", "x"), 400},
		{"a bad escape", user, nginx("GET", "/%zz"), 400},
		{"a path with a space, which ends it for some", user, nginx("GET", "/x HTTP/1.1"), 400},
		{"a path with a line's end", user, nginx("GET", "/x\r\n"), 400},
		{"CONNECT", user, nginx("CONNECT", "/x"), 405},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, question(tt.authorization, tt.header))
		if w.Code != tt.status || w.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s: got %d %s, want %d", tt.what, w.Code, w.Body, tt.status)
		}
		want := ""
		if tt.status == 200 && tt.authorization != "" {
			want = "alice"
		}
		if got := w.Header().Get("X-User"); got != want {
			t.Errorf("%s: X-User: got %q, want %q", tt.what, got, want)
		}
	}
}

// TestAuthorizeInBothProfiles: nginx passes on 401 and 403 alone; the profile says which.
func TestAuthorizeInBothProfiles(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	h := decider(t, iss, func(c *gateway.Config) { routed(c); c.Profile = gateway.Notary }).Authorize()
	header := http.Header{"X-Original-Method": {"GET"}, "X-Original-Uri": {"/admin"}}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, question("Bearer "+iss.Token(nil), header))
	if w.Code != 401 || w.Body.String() != "Unauthorized request from prover: Invalid JWT token" {
		t.Errorf("got %d %s, want the notary's 401", w.Code, w.Body)
	}
	header["X-Original-Method"] = []string{"OPTIONS"}
	header["Origin"], header["Access-Control-Request-Method"] = []string{"https://a.example"}, []string{"GET"}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, question("", header))
	if w.Code != 200 {
		t.Errorf("preflight: got %d %s, want it let through to who answers it", w.Code, w.Body)
	}
}

// FuzzAuthorize: whatever the headers say, a request that is allowed was asked for
// in one way only, and is not one that the routes refuse.
func FuzzAuthorize(f *testing.F) {
	iss := ctbtest.NewIssuer(f)
	h := decider(f, iss, routed).Authorize()
	authorization := "Bearer " + iss.Token(nil)
	f.Add("GET", "/x", "", "", "")
	f.Add("GET", "/x", "GET", "/admin", "")
	f.Add("", "", "GET", "/x", "")
	f.Add("GET", "", "", "", "https://app/x")
	f.Add("GET", "//admin", "", "", "http://app//admin")
	f.Add("GET", "", "", "", "http:// /")
	f.Add("GET", "/x", "", "/x", "http://app/x")
	f.Add("POST", "/open?a", "", "", "")
	f.Add("POST", "/open", "POST", "/open", "")
	f.Add("", "/%6fpen", "POST", "", "http://app/%6fpen")
	f.Fuzz(func(t *testing.T, method, uri, forwardedMethod, forwardedURI, originalURL string) {
		header := http.Header{}
		for name, value := range map[string]string{
			"X-Original-Method": method, "X-Original-Uri": uri, "X-Forwarded-Method": forwardedMethod, "X-Forwarded-Uri": forwardedURI, "X-Original-Url": originalURL,
		} {
			if value != "" {
				header[name] = []string{value}
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, question(authorization, header))
		if w.Code != 200 {
			return
		}
		if method != "" && forwardedMethod != "" && method != forwardedMethod || uri != "" && forwardedURI != "" && uri != forwardedURI {
			t.Errorf("%q is allowed, and contradicts itself", header)
		}
		var path string
		for _, target := range []string{uri, forwardedURI, originalURL} {
			u, err := url.ParseRequestURI(target)
			if target == "" {
				continue
			}
			if err != nil || u.Path == "/admin" || strings.HasPrefix(u.Path, "/admin/") {
				t.Fatalf("%q is allowed, got %v", header, err)
			}
			if path != "" && u.Path != path {
				t.Errorf("%q is allowed, and contradicts itself", header)
			}
			path = u.Path
		}
		if cmp.Or(method, forwardedMethod) != "GET" && path != "/open" {
			t.Errorf("%q is allowed with another method", header)
		}
	})
}

// TestAuthorizeNoMore: from here nothing can be taken out of the request that another proxy forwards. One that would
// ask its upstream for another path or method than was decided about is refused.
func TestAuthorizeNoMore(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	user := "Bearer " + iss.Token(nil)
	ask := func(change func(*gateway.Config), name string) int {
		r := question(user, http.Header{"X-Forwarded-Method": {"GET"}, "X-Forwarded-Uri": {"/"}})
		r.Header[name] = []string{"/admin"}
		w := httptest.NewRecorder()
		decider(t, iss, change).Authorize().ServeHTTP(w, r)
		return w.Code
	}
	for _, name := range []string{"X-Rewrite-Url", "X_original_uri", "X-Http-Method-Override", "X_http.method"} {
		if got := ask(routed, name); got != 400 {
			t.Errorf("%s: got %d, want 400", name, got)
		}
		if got := ask(nil, name); got != 200 {
			t.Errorf("%s where neither path nor method decides: got %d, want 200", name, got)
		}
	}
}
