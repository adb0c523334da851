package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
)

func TestLetsThrough(t *testing.T) {
	g := newRig(t, setup{requirements: []ctb.Requirement{ctb.Scope("read:reports"), ctb.Claim("org.role", "admin", "owner")}})
	token := g.issuer.Token(ctbtest.Claims{"jti": "t-1", "scope": "openid read:reports", "org": map[string]any{"role": "owner"}})
	res, body := g.do("GET", "/reports?q=a;b&x=%zz", token, nil, nil)
	if res.StatusCode != http.StatusOK || body != "hello from the upstream" {
		t.Fatalf("got %d %q, want 200 from the upstream", res.StatusCode, body)
	}
	seen := g.reached()
	if len(seen) != 1 || seen[0].RequestURI != "/reports?q=a;b&x=%zz" {
		t.Errorf("upstream saw %v, want the path and query byte for byte", seen)
	}
	if auth := seen[0].Header["Authorization"]; auth != nil {
		t.Error("the upstream saw the token")
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(g.waitLog("status")), &line); err != nil {
		t.Fatalf("log: %v in %s", err, g.log)
	}
	for name, want := range map[string]any{"jti": "t-1", "kid": g.issuer.Keys()[0].ID, "path": "/reports", "status": 200.0, "level": "INFO"} {
		if line[name] != want {
			t.Errorf("log: %s: got %v, want %v", name, line[name], want)
		}
	}
	for _, secret := range []string{token, "q=a", ctbtest.Subject} {
		if strings.Contains(g.log.String(), secret) {
			t.Errorf("the log has %q in it: %s", secret, g.log)
		}
	}
}

func TestForwardToken(t *testing.T) {
	g := newRig(t, setup{forwardToken: true})
	token := g.issuer.Token(nil)
	for name, connection := range map[string]string{"plain": "close", "named as hop-by-hop": "close, Authorization"} {
		res, _ := g.raw("GET / HTTP/1.1\r\nHost: gw\r\nConnection: " + connection + "\r\nAuthorization: bearer  " + token + "\r\n\r\n")
		seen := g.reached()
		if res.StatusCode != 200 || len(seen) != 1 {
			t.Fatalf("%s: got %d, want 200", name, res.StatusCode)
		}
		if got, want := seen[0].Header.Get("Authorization"), "bearer  "+token; got != want {
			t.Errorf("%s: the upstream saw another Authorization header", name)
		}
	}
}

// TestForwardedHeaders: the upstream believes the gateway about who asks, so
// nothing that a client says of that may pass.
func TestForwardedHeaders(t *testing.T) {
	g := newRig(t, setup{})
	res, _ := g.do("GET", "/", g.issuer.Token(nil), nil, http.Header{
		"X-Forwarded-For": {"10.0.0.1", "10.0.0.2"}, "X-Forwarded-Host": {"admin.example"}, "X-Forwarded-Proto": {"gopher"},
		"X-Forwarded-User": {"root"}, "X-Forwarded-Client-Cert": {"x"}, "X_Forwarded_For": {"10.0.0.3"}, "X-FORWARDED-PORT": {"1"},
		"Forwarded": {"for=10.0.0.4"}, "X-Real-Ip": {"10.0.0.5"}, "True-Client-Ip": {"10.0.0.6"},
		"X-Original-Url": {"/admin"}, "X-Rewrite-Url": {"/admin"}, "X-Other": {"kept"},
		"Cf-Connecting-Ip": {"10.0.0.7"}, "X-Client-Ip": {"10.0.0.8"}, "X-Cluster-Client-Ip": {"10.0.0.9"},
		"X-Original-Forwarded-For": {"10.0.0.10"}, "X-Original-Host": {"admin.example"}, "X-Host": {"admin.example"},
		"X.Forwarded.For": {"10.0.0.11"}, "X-Request-Id": {"mine"}, "x_real.ip": {"10.0.0.12"}, "Proxy": {"http://mallory.example"},
	})
	if res.StatusCode != 200 {
		t.Fatalf("got %d, want 200", res.StatusCode)
	}
	h := g.reached()[0].Header
	want := http.Header{
		"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {g.gateway.Listener.Addr().String()}, "X-Forwarded-Proto": {"https"},
		"X-Other": {"kept"}, "Forwarded": {`for=127.0.0.1;host="` + g.gateway.Listener.Addr().String() + `";proto=https`},
		"X-Request-Id": {res.Header.Get("X-Request-Id")},
	}
	for name, values := range h {
		switch name {
		case "Accept-Encoding", "User-Agent": // what the test's client sends by itself
		default:
			if strings.Join(values, " ") != strings.Join(want[name], " ") {
				t.Errorf("%s: the upstream got %q, want %q", name, values, want[name])
			}
			delete(want, name)
		}
	}
	if len(want) != 0 {
		t.Errorf("the upstream lacks %v", want)
	}
}

func TestBasePath(t *testing.T) {
	g := newRig(t, setup{path: "/app/"})
	g.do("GET", "/x%2Fy/z", g.issuer.Token(nil), nil, nil)
	if got, want := g.reached()[0].RequestURI, "/app/x%2Fy/z"; got != want {
		t.Errorf("upstream saw %s, want %s", got, want)
	}
}

// failingKeys is a key set that cannot be had.
type failingKeys struct{}

func (failingKeys) Key(context.Context, string) (ctb.Key, error) {
	return ctb.Key{}, errors.New("dial tcp 10.1.2.3:443: no route")
}

func TestKeysCannotBeHad(t *testing.T) {
	g := newRig(t, setup{keys: failingKeys{}})
	token := g.issuer.Token(nil)
	res, body := g.do("GET", "/", token, nil, nil)
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q, want 503 and some seconds", res.StatusCode, res.Header.Get("Retry-After"))
	}
	if strings.Contains(body, "10.1.2.3") {
		t.Errorf("the answer tells of the inside: %s", body)
	}
	if log := g.waitLog("status"); !strings.Contains(log, "no route") || !strings.Contains(log, `"level":"ERROR"`) || strings.Contains(log, token) {
		t.Errorf("the log lacks the reason, or the level, or has the token: %s", log)
	}
	if n := len(g.reached()); n != 0 {
		t.Errorf("%d requests reached the upstream", n)
	}
}

func TestUpstreamDown(t *testing.T) {
	g := newRig(t, setup{})
	g.upstream.Close()
	res, body := g.do("GET", "/", g.issuer.Token(nil), nil, nil)
	var answer struct{ Error string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || res.StatusCode != http.StatusBadGateway || answer.Error != "upstream_unavailable" {
		t.Errorf("got %d %s, want 502 upstream_unavailable", res.StatusCode, body)
	}
	if strings.Contains(body, g.upstream.Listener.Addr().String()) {
		t.Errorf("the answer tells of the inside: %s", body)
	}
	if log := g.waitLog("status"); !strings.Contains(log, "refused") || !strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("the log lacks the reason or the level: %s", log)
	}
}

// timeoutError is what a transport returns when time is up.
type timeoutError struct{}

func (timeoutError) Error() string   { return "timeout awaiting response headers" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestUpstreamTimeout(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	h, err := gateway.New(gateway.Config{
		Upstream: &url.URL{Scheme: "http", Host: "upstream"}, Credentials: tokens(t, iss.Verifier()),
		Transport: transportFunc(func(*http.Request) (*http.Response, error) { return nil, timeoutError{} }),
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, iss.Request("GET", "/", nil))
	if w.Code != http.StatusGatewayTimeout {
		t.Errorf("got %d, want 504", w.Code)
	}
}

func TestNewRefuses(t *testing.T) {
	v := ctbtest.NewIssuer(t).Verifier()
	parse := func(s string) *url.URL {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	good := parse("http://127.0.0.1:3000")
	for name, c := range map[string]gateway.Config{
		"no verifier":     {Upstream: good},
		"relative":        {Credentials: tokens(t, v), Upstream: parse("/x")},
		"another scheme":  {Credentials: tokens(t, v), Upstream: parse("ftp://host")},
		"no host":         {Credentials: tokens(t, v), Upstream: parse("http://:80")},
		"a password":      {Credentials: tokens(t, v), Upstream: parse("http://u:p@host")},
		"a query":         {Credentials: tokens(t, v), Upstream: parse("http://host/?a=b")},
		"a fragment":      {Credentials: tokens(t, v), Upstream: parse("http://host/#x")},
		"bad requirement": {Credentials: tokens(t, v), Upstream: good, Requirements: []ctb.Requirement{{}}},
	} {
		if _, err := gateway.New(c); err == nil {
			t.Errorf("%s: got a gateway, want an error", name)
		}
	}
}
