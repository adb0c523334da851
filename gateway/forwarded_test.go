package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
)

// TestTrustedProxies: what a trusted proxy says of whom it speaks for is continued, what
// anyone else says is taken away.
func TestTrustedProxies(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	var got http.Header
	var log bytes.Buffer
	g, err := gateway.New(gateway.Config{
		Upstream: &url.URL{Scheme: "http", Host: "upstream"}, Credentials: tokens(t, iss.Verifier()),
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		Logger:         slog.New(slog.NewJSONHandler(&log, nil)),
		Transport:      transportFunc(func(r *http.Request) (*http.Response, error) { got = r.Header; return answerOK(r) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	said := http.Header{
		"X-Forwarded-For": {"192.0.2.1, 10.9.9.9"}, "X-Forwarded-Host": {"app.example.com"}, "X-Forwarded-Proto": {"https"},
		"Forwarded": {"for=192.0.2.1;proto=https"}, "X-Request-Id": {"trace-1"}, "X-Forwarded-User": {"root"}, "X-Real-Ip": {"192.0.2.1"},
		"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	}
	for _, tt := range []struct {
		peer, client, host, proto, forwarded, id, logged string
	}{
		{"10.1.2.3:4", "192.0.2.1, 10.9.9.9, 10.1.2.3", "app.example.com", "https", "for=192.0.2.1;proto=https, for=10.1.2.3;host=gw.example;proto=http", "trace-1", "192.0.2.1"},
		{"[fd00::1]:4", "192.0.2.1, 10.9.9.9, fd00::1", "app.example.com", "https", `for=192.0.2.1;proto=https, for="[fd00::1]";host=gw.example;proto=http`, "trace-1", "192.0.2.1"},
		{"[::ffff:10.1.2.3]:4", "192.0.2.1, 10.9.9.9, ::ffff:10.1.2.3", "app.example.com", "https", `for=192.0.2.1;proto=https, for="[::ffff:10.1.2.3]";host=gw.example;proto=http`, "trace-1", "192.0.2.1"},
		{"192.0.2.7:4", "192.0.2.7", "gw.example", "http", "for=192.0.2.7;host=gw.example;proto=http", "", "192.0.2.7:4"},
		{"[fe80::1%eth0]:4", "fe80::1%eth0", "gw.example", "http", `for="[fe80::1]";host=gw.example;proto=http`, "", "[fe80::1%eth0]:4"},
		{"@", "", "gw.example", "http", "for=unknown;host=gw.example;proto=http", "", "@"},
	} {
		r := iss.Request("GET", "http://gw.example/", nil)
		for name, values := range said {
			r.Header[name] = values
		}
		r.RemoteAddr = tt.peer
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("%s: got %d", tt.peer, w.Code)
		}
		for name, want := range map[string]string{
			"X-Forwarded-For": tt.client, "X-Forwarded-Host": tt.host, "X-Forwarded-Proto": tt.proto, "Forwarded": tt.forwarded,
			"X-Forwarded-User": "", "X-Real-Ip": "", "Traceparent": said.Get("Traceparent"),
		} {
			if value := strings.Join(got[name], "|"); value != want {
				t.Errorf("%s: %s: got %q, want %q", tt.peer, name, value, want)
			}
		}
		if line := strings.TrimSpace(log.String()); !strings.Contains(line, `"client":"`+tt.logged+`"`) {
			t.Errorf("%s: got %s, want the client %s", tt.peer, line, tt.logged)
		}
		log.Reset()
		id := got.Get("X-Request-Id")
		if id != w.Header().Get("X-Request-Id") || tt.id != "" && id != tt.id || tt.id == "" && !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) {
			t.Errorf("%s: the upstream got the request id %q, the client %q", tt.peer, id, w.Header().Get("X-Request-Id"))
		}
	}
}

// TestRequestIDs: a trusted proxy's name for the request is taken only if it is one.
func TestRequestIDs(t *testing.T) {
	g := newRig(t, setup{change: func(c *gateway.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} }})
	seen := map[string]bool{}
	for _, tt := range []struct {
		ids  []string
		good bool
	}{
		{[]string{"0af7651916cd43dd8448eb211c80319c"}, true},
		{[]string{"f058ebd6-02f7-4d3f-942e-904344e8cde5"}, true},
		{[]string{"Root=1-67891233-abcdef012345678912345678"}, true},
		{nil, false},
		{[]string{""}, false},
		{[]string{"a", "b"}, false},
		{[]string{"a b"}, false},
		{[]string{`x","level":"ERROR`}, false},
		{[]string{strings.Repeat("x", 129)}, false},
	} {
		res, _ := g.do("GET", "/", g.issuer.Token(nil), nil, http.Header{"X-Request-Id": tt.ids})
		id, upstream := res.Header.Get("X-Request-Id"), g.reached()[0].Header.Get("X-Request-Id")
		if id == "" || id != upstream || seen[id] || tt.good != (fmt.Sprint(tt.ids) == "["+id+"]") {
			t.Errorf("%q: got %q and, at the upstream, %q", tt.ids, id, upstream)
		}
		seen[id] = true
		g.waitLog(`"request_id":"` + id + `"`)
	}
	if res, _ := g.do("GET", "/", "", nil, nil); res.Header.Get("X-Request-Id") == "" {
		t.Error("a refusal has no request id")
	}
}

// TestMethodOverride: where a route depends on the method, a client cannot ask for another one behind the gateway's back.
func TestMethodOverride(t *testing.T) {
	for want, routes := range map[string][]gateway.Route{
		"":       {{Path: "/*", Methods: []string{"GET"}}},
		"DELETE": {{Path: "/*"}},
	} {
		g := newRig(t, setup{change: func(c *gateway.Config) { c.Routes = routes }})
		for _, name := range []string{"X-HTTP-Method-Override", "X_Http_Method_Override", "X-Method-Override", "X-HTTP-Method"} {
			g.do("GET", "/", g.issuer.Token(nil), nil, http.Header{name: {"DELETE"}})
			var got string
			for _, values := range g.reached()[0].Header {
				if values[0] == "DELETE" {
					got = values[0]
				}
			}
			if got != want {
				t.Errorf("%s: the upstream got %q, want %q", name, got, want)
			}
		}
	}
}

// TestHTTP2: clients may speak it, and are refused in it.
func TestHTTP2(t *testing.T) {
	g := newRig(t, setup{http2: true, upstream: func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	}})
	for range 2 {
		res, body := g.do("POST", "/", g.issuer.Token(nil), io.LimitReader(&letters{n: 1 << 20}, 1<<20), nil)
		if res.ProtoMajor != 2 || res.StatusCode != 200 || len(body) != 1<<20 {
			t.Errorf("got HTTP/%d, %d, %d bytes", res.ProtoMajor, res.StatusCode, len(body))
		}
	}
	if res, _ := g.do("POST", "/", "", &letters{n: 1 << 20}, nil); res.ProtoMajor != 2 || res.StatusCode != 401 {
		t.Errorf("got HTTP/%d, %d, want 401", res.ProtoMajor, res.StatusCode)
	}
	if h := g.reached()[0].Header; h.Get("X-Forwarded-Proto") != "https" || h.Get("Authorization") != "" {
		t.Errorf("the upstream got %v", h)
	}
}
