package gateway_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

// preflight is what a browser sends before a script's request.
func preflight(origin string) http.Header {
	return http.Header{
		"Origin":                         {origin},
		"Access-Control-Request-Method":  {"POST"},
		"Access-Control-Request-Headers": {"authorization,content-type"},
	}
}

// TestNotaryCORS: a script of any origin reads every answer, and a preflight alone needs no credential.
func TestNotaryCORS(t *testing.T) {
	g := newRig(t, setup{
		upstream: func(w http.ResponseWriter, r *http.Request) {
			// What the notary server itself says of CORS must not be there twice.
			for name, value := range map[string]string{
				"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "X-Y", "Access-Control-Allow-Credentials": "true", "X-Request-Id": "upstream's",
			} {
				w.Header().Set(name, value)
			}
			if r.Header.Get("Upgrade") != "" {
				echo(w, r)
				return
			}
			w.WriteHeader(http.StatusEarlyHints) // an interim answer takes nothing away from the last
			w.WriteHeader(http.StatusTeapot)
		},
		change: func(c *gateway.Config) { c.Profile = gateway.Notary },
	})
	res, body := g.do("OPTIONS", "/session", "", nil, preflight("https://any.example"))
	if res.StatusCode != 200 || body != "" || res.Header.Get("Access-Control-Allow-Headers") != "authorization,content-type" || res.Header.Get("Access-Control-Allow-Methods") != "POST" {
		t.Errorf("preflight: got %d %q %v", res.StatusCode, body, res.Header)
	}
	if n := len(g.reached()); n != 0 {
		t.Errorf("%d preflights reached the upstream", n)
	}
	open := func(what string, res *http.Response, status int) {
		t.Helper()
		if res.StatusCode != status {
			t.Errorf("%s: got %d, want %d", what, res.StatusCode, status)
		}
		for name, want := range map[string]string{"Access-Control-Allow-Origin": "[*]", "Access-Control-Expose-Headers": "[*]", "Access-Control-Allow-Credentials": "[]"} {
			if got := fmt.Sprint(res.Header.Values(name)); got != want {
				t.Errorf("%s: %s: got %s, want %s", what, name, got, want)
			}
		}
		if ids := res.Header.Values("X-Request-Id"); len(ids) != 1 || ids[0] == "upstream's" {
			t.Errorf("%s: got the request ids %q, want the gateway's", what, ids)
		}
	}
	open("preflight", res, 200)
	for what, header := range map[string]http.Header{
		"no origin":          {"Access-Control-Request-Method": {"POST"}},
		"no method":          {"Origin": {"https://any.example"}},
		"a method no method": {"Origin": {"https://any.example"}, "Access-Control-Request-Method": {"a b"}},
	} {
		res, _ := g.do("OPTIONS", "/session", "", nil, header)
		open(what, res, 401)
	}
	res, _ = g.do("GET", "/x", "", nil, preflight("https://any.example")) // not OPTIONS
	open("another method", res, 401)
	res, _ = g.do("GET", "/x", g.issuer.Token(nil), nil, http.Header{"Origin": {"https://any.example"}})
	open("proxied", res, http.StatusTeapot)
	res, _ = g.do("GET", "/a/../b", g.issuer.Token(nil), nil, nil)
	open("a bad path", res, 400)

	c := g.dial()
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nAuthorization: Bearer %s\r\n\r\n", g.issuer.Token(nil))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	open("upgraded", res, 101)

	odd := preflight("https://any.example")
	odd.Set("Access-Control-Request-Headers", "x y")
	if res, _ := g.do("OPTIONS", "/", "", nil, odd); res.Header["Access-Control-Allow-Headers"] != nil {
		t.Errorf("a list of no headers: got %q", res.Header["Access-Control-Allow-Headers"])
	}
	odd.Set("Access-Control-Request-Headers", strings.Repeat("a", 3<<10))
	if res, _ := g.do("OPTIONS", "/", "", nil, odd); res.Header["Access-Control-Allow-Headers"] != nil {
		t.Error("an endless list of headers is repeated")
	}
}

// TestStrictCORS: only scripts of the named origins read answers, and without names it is the upstream's business.
func TestStrictCORS(t *testing.T) {
	upstream := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "https://upstream.example")
		w.Header().Set("Vary", "Accept")
	}
	const app = "https://app.example.com"
	g := newRig(t, setup{upstream: upstream, change: func(c *gateway.Config) { c.CORS = &gateway.CORS{Origins: []string{app, "http://localhost:3000"}} }})
	if res, _ := g.do("OPTIONS", "/", "", nil, preflight(app)); res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Origin") != app {
		t.Errorf("preflight: got %d %v", res.StatusCode, res.Header)
	}
	if res, _ := g.do("OPTIONS", "/", "", nil, preflight("https://mallory.example")); res.StatusCode != 401 || res.Header["Access-Control-Allow-Origin"] != nil {
		t.Errorf("preflight of another origin: got %d %v", res.StatusCode, res.Header)
	}
	for origin, want := range map[string]string{app: app, "https://mallory.example": "", app + ".mallory.example": "", "null": "", "": ""} {
		res, _ := g.do("GET", "/", g.issuer.Token(nil), nil, http.Header{"Origin": {origin}})
		if got := strings.Join(res.Header["Access-Control-Allow-Origin"], " "); got != want {
			t.Errorf("origin %q: got %q, want %q", origin, got, want)
		}
		if got := strings.Join(res.Header["Vary"], ", "); got != "Accept, Origin" {
			t.Errorf("origin %q: Vary is %q: a cache would mix the answers up", origin, got)
		}
	}

	none := newRig(t, setup{upstream: upstream})
	if res, _ := none.do("OPTIONS", "/", "", nil, preflight(app)); res.StatusCode != 401 {
		t.Errorf("without CORS, preflight: got %d, want 401", res.StatusCode)
	}
	if res, _ := none.do("GET", "/", none.issuer.Token(nil), nil, nil); res.Header.Get("Access-Control-Allow-Origin") != "https://upstream.example" {
		t.Errorf("without CORS: got %v, want what the upstream says", res.Header)
	}
}

func TestOriginsAreChecked(t *testing.T) {
	for origin, good := range map[string]bool{
		"*": true, "https://a.example": true, "http://localhost:3000": true, "chrome-extension://abc": true,
		"": false, "a.example": false, "https://a.example/": false, "https://a.example/x": false, "https://A.example": false, "null": false, "https://*.example?": false,
	} {
		c := gateway.CORS{Origins: []string{origin}}
		if err := c.Validate(); (err == nil) != good {
			t.Errorf("%q: got %v, want good %v", origin, err, good)
		}
	}
	if (&gateway.CORS{}).Validate() == nil {
		t.Error("no origin: got no error")
	}
}

// TestPreflightsAskForNothing: a preflight passes without a credential, also through a proxy that asks: so it
// must not be able to ask an upstream for more than that.
func TestPreflightsAskForNothing(t *testing.T) {
	g := decider(t, ctbtest.NewIssuer(t), func(c *gateway.Config) { c.CORS = &gateway.CORS{Origins: []string{"*"}} })
	r := httptest.NewRequest("OPTIONS", "/", nil)
	r.Header = preflight("https://any.example")
	if _, got := reasonOf(g, r); got != access.Allowed {
		t.Errorf("got %s, want it let through", got)
	}
	for _, name := range []string{"X-Http-Method-Override", "X_http_method", "X-Method.override"} {
		r.Header = preflight("https://any.example")
		r.Header[name] = []string{"DELETE"}
		if _, got := reasonOf(g, r); got != access.MissingCredential {
			t.Errorf("with %s: got %s, want a credential asked for", name, got)
		}
	}
}
