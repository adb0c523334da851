package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/credential"
)

// decider is a gateway that decides for tokens of an issuer and two API keys, and forwards nothing.
func decider(tb testing.TB, iss *ctbtest.Issuer, change func(*gateway.Config)) *gateway.Gateway {
	tb.Helper()
	list, err := credential.ParseWhitelist([]byte("Name,ApiKey\nops,key-of-ops\nguest,key-of-guest\n"))
	if err != nil {
		tb.Fatal(err)
	}
	keys, err := credential.NewKeys(list, "")
	if err != nil {
		tb.Fatal(err)
	}
	c := gateway.Config{Credentials: credential.Any{tokens(tb, iss.Verifier()), keys}}
	if change != nil {
		change(&c)
	}
	g, err := gateway.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

// reasonOf decides, and returns the route and why not.
func reasonOf(g *gateway.Gateway, r *http.Request) (route string, reason access.Reason) {
	d, refusal := g.Decide(r)
	d.Done()
	if refusal != nil {
		return d.Route, refusal.Reason
	}
	return d.Route, access.Allowed
}

// keyed is a request with an API key.
func keyed(method, target, key string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("X-API-Key", key)
	return r
}

func scopes(scope string) ctbtest.Claims { return ctbtest.Claims{"scope": scope} }

// TestRoutes: the first route that fits counts, and what fits none is refused, whoever asks.
func TestRoutes(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	g := decider(t, iss, func(c *gateway.Config) {
		c.Routes = []gateway.Route{
			{Path: "/healthcheck", Open: true},
			{Name: "write", Path: "/reports/*", Methods: []string{"POST", "PUT"}, Rules: []gateway.Rule{{Claims: []ctb.Requirement{ctb.Scope("write")}}}},
			{Path: "/reports/*", Methods: []string{"GET"}},
			{Name: "admin", Path: "/admin/*", Rules: []gateway.Rule{
				{Deny: true, Claims: []ctb.Requirement{ctb.Claim("sub", "eve")}},
				{Deny: true, APIKeys: []string{"guest"}},
				{Claims: []ctb.Requirement{ctb.Scope("admin"), ctb.Claim("org.role", "owner")}},
				{Claims: []ctb.Requirement{ctb.Claim("org.role", "root")}},
				{APIKeys: []string{"*"}},
			}},
			{Path: "/exact", Rules: []gateway.Rule{{APIKeys: []string{"ops"}}}},
		}
	})
	stranger := func(method, target string) *http.Request { return httptest.NewRequest(method, target, nil) }
	owner := ctbtest.Claims{"scope": "admin", "org": map[string]any{"role": "owner"}}
	eve := ctbtest.Claims{"scope": "admin", "org": map[string]any{"role": "owner"}, "sub": "eve"}
	for _, tt := range []struct {
		what   string
		r      *http.Request
		route  string
		reason access.Reason
	}{
		{"an open route", stranger("GET", "/healthcheck"), "/healthcheck", access.Allowed},
		{"an open route, and a bad token that nobody looks at", bad(stranger("GET", "/healthcheck")), "/healthcheck", access.Allowed},
		{"below an exact path", stranger("GET", "/healthcheck/x"), "none", access.NoRoute},
		{"a slash behind an exact path", iss.Request("GET", "/healthcheck/", nil), "none", access.NoRoute},
		{"another case", iss.Request("GET", "/HealthCheck", nil), "none", access.NoRoute},
		{"a subtree", iss.Request("GET", "/reports/2026/1", nil), "/reports/*", access.Allowed},
		{"its root", iss.Request("GET", "/reports", nil), "/reports/*", access.Allowed},
		{"its root with a slash", iss.Request("GET", "/reports/", nil), "/reports/*", access.Allowed},
		{"its name continued", iss.Request("GET", "/reportsX", nil), "none", access.NoRoute},
		{"another method", iss.Request("POST", "/reports/1", nil), "write", access.MissingClaim},
		{"another method, with what it asks for", iss.Request("POST", "/reports/1", scopes("write")), "write", access.Allowed},
		{"a method of no route", iss.Request("DELETE", "/reports/1", scopes("write")), "none", access.NoRoute},
		{"a method in lower case", iss.Request("get", "/reports/1", nil), "none", access.BadMethod},
		{"HEAD is not GET", iss.Request("HEAD", "/reports/1", nil), "none", access.NoRoute},
		{"no route at all", iss.Request("GET", "/", nil), "none", access.NoRoute},
		{"nobody", stranger("GET", "/reports/1"), "/reports/*", access.MissingCredential},
		{"two rules, none holds", iss.Request("GET", "/admin/x", nil), "admin", access.NoRule},
		{"all claims of a rule", iss.Request("GET", "/admin/x", owner), "admin", access.Allowed},
		{"one claim of a rule", iss.Request("GET", "/admin/x", scopes("admin")), "admin", access.NoRule},
		{"a rule before denies", iss.Request("GET", "/admin/x", eve), "admin", access.Denied},
		{"any API key", keyed("GET", "/admin", "key-of-ops"), "admin", access.Allowed},
		{"a rule before denies an API key", keyed("GET", "/admin", "key-of-guest"), "admin", access.Denied},
		{"a certain API key", keyed("GET", "/exact", "key-of-ops"), "/exact", access.Allowed},
		{"another API key", keyed("GET", "/exact", "key-of-guest"), "/exact", access.NoRule},
		{"a token where API keys count", iss.Request("GET", "/exact", owner), "/exact", access.NoRule},
		{"an unknown API key", keyed("GET", "/exact", "x"), "/exact", access.UnknownAPIKey},
	} {
		if route, reason := reasonOf(g, tt.r); route != tt.route || reason != tt.reason {
			t.Errorf("%s: got %s by route %q, want %s by %q", tt.what, reason, route, tt.reason, tt.route)
		}
	}
}

// bad gives a request a token that is none.
func bad(r *http.Request) *http.Request {
	r.Header.Set("Authorization", "Bearer garbage")
	return r
}

// TestDeny: what denies does not fail open. A claim that cannot be compared counts as met.
func TestDeny(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	list := decider(t, iss, func(c *gateway.Config) {
		c.Deny = []ctb.Requirement{ctb.Claim("org.banned", "yes"), {Name: "level", Values: []any{0}, Type: ctb.Int}}
	})
	rule := decider(t, iss, func(c *gateway.Config) {
		c.Routes = []gateway.Route{{Path: "/*", Rules: []gateway.Rule{
			{Deny: true, Claims: []ctb.Requirement{ctb.Claim("org.banned", "yes")}},
			{Deny: true, Claims: []ctb.Requirement{{Name: "level", Values: []any{0}, Type: ctb.Int}}},
			{},
		}}}
	})
	for _, tt := range []struct {
		what   string
		claims ctbtest.Claims
		want   access.Reason
	}{
		{"no such claims", nil, access.Allowed},
		{"other values", ctbtest.Claims{"org": map[string]any{"banned": "no"}, "level": 1}, access.Allowed},
		{"met", ctbtest.Claims{"org": map[string]any{"banned": "yes"}}, access.Denied},
		{"met by a number", ctbtest.Claims{"level": 0}, access.Denied},
		{"an array that has it", ctbtest.Claims{"org": map[string]any{"banned": []string{"yes"}}}, access.Denied},
		{"an object", ctbtest.Claims{"org": map[string]any{"banned": map[string]any{}}}, access.Denied},
		{"a number as a string", ctbtest.Claims{"level": "0"}, access.Denied},
		{"a number with a fraction", ctbtest.Claims{"level": 0.5}, access.Denied},
		{"the way is no object", ctbtest.Claims{"org": "banned"}, access.Denied},
		{"the way is null", ctbtest.Claims{"org": nil}, access.Allowed}, // ctbtest leaves a nil claim out
		{"the way is an array", ctbtest.Claims{"org": []any{map[string]any{"banned": "yes"}}}, access.Denied},
	} {
		for name, g := range map[string]*gateway.Gateway{"list": list, "rule": rule} {
			if _, got := reasonOf(g, iss.Request("GET", "/", tt.claims)); got != tt.want {
				t.Errorf("%s, by %s: got %s, want %s", tt.what, name, got, tt.want)
			}
		}
	}
}

// TestRequirementsAreForTokens: what is asked of all tokens is asked on every route but open ones, and not of API keys.
func TestRequirementsAreForTokens(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	g := decider(t, iss, func(c *gateway.Config) {
		c.Requirements = []ctb.Requirement{ctb.Scope("read"), ctb.Claim("org", "acme")}
		c.Routes = []gateway.Route{{Path: "/open", Open: true}, {Path: "/*", Rules: []gateway.Rule{{}}}}
	})
	for _, tt := range []struct {
		what string
		r    *http.Request
		want access.Reason
	}{
		{"both", iss.Request("GET", "/", ctbtest.Claims{"scope": "read", "org": "acme"}), access.Allowed},
		{"one", iss.Request("GET", "/", scopes("read")), access.MissingClaim},
		{"of another type", iss.Request("GET", "/", ctbtest.Claims{"scope": "read", "org": []string{"acme"}}), access.UnexpectedType},
		{"of another value", iss.Request("GET", "/", ctbtest.Claims{"scope": "read", "org": "x"}), access.UnexpectedValue},
		{"an API key", keyed("GET", "/", "key-of-guest"), access.Allowed},
		{"an open route", iss.Request("GET", "/open", nil), access.Allowed},
	} {
		if _, got := reasonOf(g, tt.r); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.what, got, tt.want)
		}
	}
}

// TestAmbiguousPaths: where paths decide, one that an upstream may read otherwise is refused.
func TestAmbiguousPaths(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	g := decider(t, iss, func(c *gateway.Config) { c.Routes = []gateway.Route{{Path: "/*"}} })
	for _, tt := range []struct {
		target string
		want   access.Reason
	}{
		{"/", access.Allowed},
		{"/a%20b", access.Allowed},
		{"/%61dmin", access.Allowed}, // is /admin to everybody, here too
		{"/%C3%BC", access.Allowed},
		{"/100%25", access.Allowed},
		{"/x?p=%2f//;\\", access.Allowed},
		{"http://gw", access.Allowed}, // absolute form, whose path is "/"
		{"/a%2fb", access.BadRequest},
		{"/a%2Fb", access.BadRequest},
		{"//a", access.BadRequest},
		{"/a//b", access.BadRequest},
		{"/a/", access.Allowed},
		{"/a;x=1", access.BadRequest},
		{"/a%3bx", access.BadRequest},
		{`/a\b`, access.BadRequest},
		{"/a%5cb", access.BadRequest},
		{"/a%00b", access.BadRequest},
		{"/a%0d%0ab", access.BadRequest},
		{"/a%7f", access.BadRequest},
		{"/a%3fb", access.BadRequest},
		{"/a#b", access.BadRequest},
		{"/a%23b", access.BadRequest},
		{"/%2561dmin", access.BadRequest},
		{"/%c0%af", access.BadRequest},
		{"/%ff", access.BadRequest},
		{"/a/./b", access.BadRequest},
		{"/a/%2e%2e/b", access.BadRequest},
		{"/..;/b", access.BadRequest},
		{"x:secret", access.BadRequest},
		{"*", access.BadRequest},
	} {
		r := iss.Request("GET", "/", nil)
		u, err := url.ParseRequestURI(tt.target)
		if err != nil {
			t.Fatal(err)
		}
		r.URL = u
		if _, got := reasonOf(g, r); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.target, got, tt.want)
		}
	}
}

// FuzzDenyByPath: a path that a route denies is not escaped by any way of
// writing it. Whatever target is let through, no upstream that decodes it,
// once or twice, merges slashes, resolves dots, cuts parameters, or takes a backslash for
// a slash, comes to the denied subtree.
func FuzzDenyByPath(f *testing.F) {
	iss := ctbtest.NewIssuer(f)
	g := decider(f, iss, func(c *gateway.Config) {
		c.Routes = []gateway.Route{{Path: "/admin/*", Rules: []gateway.Rule{{Deny: true}}}, {Path: "/*"}}
	})
	for _, seed := range []string{
		"/admin", "/admin/x", "/%61dmin", "/x/../admin", "//admin", "/%2fadmin", "/x%2f..%2fadmin", `/\admin`, "/;/admin", "/admin;x", "/%2561dmin", "/admin%2fx",
		"/./admin", "/admin%00", "/x/..;/admin", "/admin#x", "/admin%3fx", "/%c0%afadmin", "http://h/admin", "x:admin", "/adminx", "/a?/admin", "/admin%23x", "ftp://admin/x", "HTTP://admin",
	} {
		f.Add(seed)
	}
	authorization := "Bearer " + iss.Token(nil)
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Skip()
		}
		r := &http.Request{Method: "GET", URL: u, Header: http.Header{"Authorization": {authorization}}}
		if _, reason := reasonOf(g, r); reason != access.Allowed {
			return
		}
		path, _, _ := strings.Cut(target, "?")
		if _, rest, absolute := strings.Cut(path, "://"); absolute && target[0] != '/' { // of any scheme, with an authority before the path
			_, path, _ = strings.Cut(rest, "/")
			path = "/" + path
		}
		for range 3 {
			if resolved := resolve(path); resolved == "/admin" || strings.HasPrefix(resolved, "/admin/") {
				t.Errorf("%q is let through, and may be read as %s", target, resolved)
			}
			decoded, err := url.PathUnescape(path)
			if err != nil {
				return
			}
			path = decoded
		}
	})
}

// resolve reads a path as the most careless upstream.
func resolve(path string) string {
	path = strings.ReplaceAll(path, `\`, "/")
	path, _, _ = strings.Cut(path, "\x00")
	path, _, _ = strings.Cut(path, "#")
	path, _, _ = strings.Cut(path, "?")
	var kept []string
	for segment := range strings.SplitSeq(path, "/") {
		segment, _, _ = strings.Cut(segment, ";")
		switch segment {
		case "", ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, segment)
		}
	}
	return "/" + strings.Join(kept, "/")
}

// TestOpen: with Open everything passes, and what a client shows is not looked at.
func TestOpen(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	g := decider(t, iss, func(c *gateway.Config) { c.Credentials, c.Open = nil, true })
	for _, r := range []*http.Request{httptest.NewRequest("GET", "/x", nil), bad(httptest.NewRequest("GET", "/x", nil))} {
		d, refusal := g.Decide(r)
		if refusal != nil || d.Who.Mode != access.None {
			t.Errorf("got %v, want everything let through for nobody in particular", refusal)
		}
		d.Done()
	}
	if _, reason := reasonOf(g, httptest.NewRequest("GET", "/a/../b", nil)); reason != access.BadRequest {
		t.Errorf("a bad path: got %s, want it refused still", reason)
	}
}

// TestNobody: an authenticator that breaks its word lets nobody through.
func TestNobody(t *testing.T) {
	g := decider(t, ctbtest.NewIssuer(t), func(c *gateway.Config) { c.Credentials = nobody{} })
	d, refusal := g.Decide(httptest.NewRequest("GET", "/", nil))
	d.Done()
	if refusal == nil || refusal.Reason != access.KeysUnavailable || strings.Contains(refusal.Public, "nobody") {
		t.Errorf("got %v, want a refusal that tells the client nothing of the inside", refusal)
	}
}

type nobody struct{}

func (nobody) Authenticate(*http.Request) (*access.Identity, error) { return nil, nil }
func (nobody) Strip(_ http.Header, query string) string             { return query }
func (nobody) Still(*http.Request, *access.Identity) error          { return nil }

// TestMethodsInLowerCase: methods are case-sensitive, and to some frameworks they are not. Where they decide, one
// that is not in upper case is no other method, but a way around the route of the one that it looks like.
func TestMethodsInLowerCase(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	decides := decider(t, iss, func(c *gateway.Config) {
		c.Routes = []gateway.Route{{Path: "/x", Methods: []string{"DELETE"}, Rules: []gateway.Rule{{Deny: true}}}, {Path: "/*"}}
	})
	for method, want := range map[string]access.Reason{"DELETE": access.Denied, "delete": access.BadMethod, "DELETe": access.BadMethod, "GET": access.Allowed} {
		if _, got := reasonOf(decides, iss.Request(method, "/x", nil)); got != want {
			t.Errorf("%s: got %s, want %s", method, got, want)
		}
	}
	if _, got := reasonOf(decider(t, iss, nil), iss.Request("patch", "/x", nil)); got != access.Allowed {
		t.Errorf("where none decides: got %s, want it passed on as it is", got)
	}
}

// TestPathsThatLookAlike: upstreams that do not mind the case of a path, or what is at its end, are many. A path that they
// take for one that a route was written for is refused before it comes to a wider route.
func TestPathsThatLookAlike(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	denied := []gateway.Rule{{Deny: true}}
	g := decider(t, iss, func(c *gateway.Config) {
		c.Routes = []gateway.Route{
			{Path: "/admin", Rules: denied}, {Path: "/secret/files/*", Rules: denied}, {Path: "/keys", Methods: []string{"POST"}, Rules: denied},
			{Path: "/docs", Open: true}, {Path: "/docs/*"}, {Path: "/reports", Rules: denied}, {Path: "/reports/*"}, {Path: "/ADMIN/help"}, {Path: "/*"},
		}
	})
	for path, want := range map[string]access.Reason{
		"/admin": access.Denied, "/Admin": access.BadRequest, "/admin/": access.BadRequest, "/admin.": access.BadRequest, "/admin%20": access.BadRequest,
		"/ADMIN./": access.BadRequest, "/adm%C4%B1n": access.Allowed, "/secret/files": access.Denied, "/Secret/files/a": access.BadRequest,
		"/%C5%BFecret/files": access.BadRequest, "/secret/FILES.": access.BadRequest, "/secret/filesystem": access.Allowed, "/secret": access.Allowed,
		"/admin/x": access.Allowed, "/ADMIN/help": access.Allowed, "/keys/": access.Allowed, "/docs/": access.Allowed, "/DOCS": access.Allowed,
		"/reports/": access.Allowed, "/reports/x": access.Allowed, "/Reports": access.BadRequest, "/": access.Allowed,
	} {
		if _, got := reasonOf(g, iss.Request("GET", path, nil)); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}
