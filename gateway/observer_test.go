package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/session"
)

// notes is an Observer that writes everything down.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notes) Decided(route string, mode access.Mode, reason access.Reason, fault ctb.Fault, took time.Duration) {
	n.add("%s %s %s %s", route, mode, reason, fault)
}
func (n *notes) Answered(route string, status int, took time.Duration) { n.add("%s %d", route, status) }
func (n *notes) Tunnel(open bool)                                      { n.add("tunnel %v", open) }

// TestObserver: every request is counted once as a decision, and once as an answer.
func TestObserver(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	sessions, err := session.New(session.Config{Issue: true, Max: 1})
	if err != nil {
		t.Fatal(err)
	}
	var seen notes
	g := decider(t, iss, func(c *gateway.Config) {
		c.Upstream, c.Transport, c.Observer, c.Sessions = &url.URL{Scheme: "http", Host: "upstream"}, transportFunc(answerOK), &seen, sessions
		c.CORS = &gateway.CORS{Origins: []string{"*"}}
		c.Routes = []gateway.Route{{Path: "/open", Open: true}, {Name: "rest", Path: "/x/*", Rules: []gateway.Rule{{Claims: []ctb.Requirement{ctb.Scope("x")}}, {APIKeys: []string{"*"}}}}}
	})
	create := func() *http.Request {
		r := iss.Request("POST", "/session", nil)
		r.Header.Set("Content-Type", "application/json")
		r.Body = http.NoBody
		return withBody(r, `{"clientType":"Tcp"}`)
	}
	upgrading := httptest.NewRequest("GET", "/notarize?sessionId=x", nil)
	upgrading.Header = http.Header{"Upgrade": {"tcp"}, "Connection": {"Upgrade"}}
	options := httptest.NewRequest("OPTIONS", "/x", nil)
	options.Header = preflight("https://a.example")
	for _, tt := range []struct {
		r    *http.Request
		want string
	}{
		{httptest.NewRequest("GET", "/open", nil), "/open none allowed ; /open 200"},
		{iss.Request("GET", "/x", scopes("x")), "rest jwt allowed ; rest 200"},
		{keyed("GET", "/x", "key-of-ops"), "rest api_key allowed ; rest 200"},
		{iss.Request("GET", "/x", scopes("y")), "rest jwt unexpected_value ; rest 403"},
		{iss.Request("GET", "/x", ctbtest.Claims{"exp": 1}), "rest jwt invalid_token expired; rest 401"},
		{httptest.NewRequest("GET", "/x", nil), "rest jwt missing_credential ; rest 401"},
		{iss.Request("GET", "/other/"+strings.Repeat("x", 100), nil), "none none no_route ; none 403"},
		{iss.Request("GET", "/x//y", nil), "none none bad_request ; none 400"},
		{options, "preflight 204"},
		{create(), "session create jwt allowed ; session create 200"},
		{create(), "session create jwt too_many_sessions ; session create 429"},
		{httptest.NewRequest("GET", "/notarize?sessionId=x", nil), "session use session bad_session_request ; session use 400"},
		{upgrading, "session use session unknown_session ; session use 400"},
	} {
		seen.lines = nil
		g.ServeHTTP(httptest.NewRecorder(), tt.r)
		if got := strings.Join(seen.lines, "; "); got != tt.want {
			t.Errorf("%s %s: got %q, want %q", tt.r.Method, tt.r.URL.Path, got, tt.want)
		}
	}
	seen.lines = nil
	d, _ := g.Decide(iss.Request("GET", "/x", scopes("x")))
	d.Done()
	g.Explain(iss.Request("GET", "/x", scopes("x")))
	if want := []string{"rest jwt allowed "}; !slices.Equal(seen.lines, want) {
		t.Errorf("Decide and Explain: got %q, want %q", seen.lines, want)
	}
}

func withBody(r *http.Request, body string) *http.Request {
	with := httptest.NewRequest(r.Method, r.URL.String(), strings.NewReader(body))
	with.Header = r.Header
	return with
}

// TestDecisionLog: one line for each request, with what was decided and why, and nothing that opens anything.
func TestDecisionLog(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	var log bytes.Buffer
	g := decider(t, iss, func(c *gateway.Config) {
		c.Upstream, c.Transport = &url.URL{Scheme: "http", Host: "upstream"}, transportFunc(answerOK)
		c.Logger = slog.New(slog.NewJSONHandler(&log, nil))
		c.Routes = []gateway.Route{{Name: "x", Path: "/x/*", Rules: []gateway.Rule{{Claims: []ctb.Requirement{ctb.Claim("role", "owner")}}, {APIKeys: []string{"ops"}}}}}
	})
	token := iss.Token(ctbtest.Claims{"jti": "t-1", "role": "secret-role"})
	r := httptest.NewRequest("GET", "/x?q=secret-query", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	for _, tt := range []struct {
		what string
		ask  func() *http.Request
		want map[string]any
	}{
		{"refused by a rule", func() *http.Request { return r }, map[string]any{
			"level": "INFO", "route": "x", "mode": "jwt", "reason": "unexpected_value", "jti": "t-1", "status": 403.0, "refused": "unexpected value for claim 'role': expected one of [ 'owner' ]",
		}},
		{"an API key", func() *http.Request { return keyed("GET", "/x", "key-of-ops") }, map[string]any{"mode": "api_key", "api_key": "ops", "status": 200.0, "reason": nil}},
		{"an unknown API key", func() *http.Request { return keyed("GET", "/x", "secret-key") }, map[string]any{"mode": "api_key", "reason": "unknown_api_key", "status": 401.0}},
		{"an expired token", func() *http.Request { return iss.Request("GET", "/x", ctbtest.Claims{"exp": 1}) }, map[string]any{"reason": "invalid_token", "fault": "expired", "status": 401.0}},
	} {
		log.Reset()
		g.ServeHTTP(httptest.NewRecorder(), tt.ask())
		var line map[string]any
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v in %s", tt.what, err, &log)
		}
		for name, want := range tt.want {
			if line[name] != want {
				t.Errorf("%s: %s: got %v, want %v", tt.what, name, line[name], want)
			}
		}
		for _, secret := range []string{token, "secret-query", "secret-role", "secret-key", "key-of-ops"} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("%s: the log has %s in it", tt.what, secret)
			}
		}
	}
	log.Reset()
	d, _ := g.Decide(r)
	d.Done()
	if n := strings.Count(log.String(), "\n"); n != 1 || strings.Contains(log.String(), "status") {
		t.Errorf("Decide: got %s, want one line without a status", &log)
	}
}

// TestClientsThatLeave are nobody's fault: neither a refusal nor an error.
func TestClientsThatLeave(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	g := newRig(t, setup{keys: slowKeys{asked: leave}})
	req, _ := http.NewRequestWithContext(ctx, "GET", g.gateway.URL, nil)
	req.Header.Set("Authorization", "Bearer "+g.issuer.Token(nil))
	if res, err := g.gateway.Client().Do(req); err == nil { // it came between TLS's goodbye and TCP's
		res.Body.Close()
	}
	if log := g.waitLog(`"status":499`); strings.Contains(log, "ERROR") {
		t.Errorf("got %s", log)
	}
}

func TestNewRefusesContradictions(t *testing.T) {
	upstream := &url.URL{Scheme: "http", Host: "upstream"}
	sessions, err := session.New(session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	route := func(r ...gateway.Route) gateway.Config { return gateway.Config{Credentials: nobody{}, Routes: r} }
	rule := func(r ...gateway.Rule) gateway.Config { return route(gateway.Route{Path: "/*", Rules: r}) }
	for _, tt := range []struct {
		what string
		c    gateway.Config
		want string // in the error; empty: it is good
	}{
		{"nothing is asked for", gateway.Config{Upstream: upstream}, "credentials"},
		{"open", gateway.Config{Upstream: upstream, Open: true}, ""},
		{"open, and credentials", gateway.Config{Open: true, Credentials: nobody{}}, "open"},
		{"open, and routes", gateway.Config{Open: true, Routes: []gateway.Route{{Path: "/*"}}}, "open"},
		{"open, and a deny list", gateway.Config{Open: true, Deny: []ctb.Requirement{ctb.Claim("sub", "x")}}, "open"},
		{"another profile", gateway.Config{Credentials: nobody{}, Profile: "lenient"}, "profile"},
		{"sessions without an upstream", gateway.Config{Credentials: nobody{}, Sessions: sessions}, "sessions"},
		{"a negative timeout", gateway.Config{Credentials: nobody{}, IdleTimeout: -1}, "idle timeout"},
		{"a bad deny list", gateway.Config{Credentials: nobody{}, Deny: []ctb.Requirement{{}}}, "deny[0]"},
		{"a bad origin", gateway.Config{Credentials: nobody{}, CORS: &gateway.CORS{Origins: []string{"x"}}}, "cors"},
		{"a path without a slash", route(gateway.Route{Path: "x"}), "routes[0]: path"},
		{"no path", route(gateway.Route{}), "routes[0]: path"},
		{"a star inside", route(gateway.Route{Path: "/a*/b"}), "routes[0]: path"},
		{"a star without a slash", route(gateway.Route{Path: "/a*"}), "routes[0]: path"},
		{"an encoded path", route(gateway.Route{Path: "/a%20b"}), "routes[0]: path"},
		{"a query", route(gateway.Route{Path: "/a?b"}), "routes[0]: path"},
		{"a path that is refused", route(gateway.Route{Path: "/a//b"}), "routes[0]: path"},
		{"dots", route(gateway.Route{Path: "/a/../b"}), "routes[0]: path"},
		{"a space", route(gateway.Route{Path: "/a b/*"}), ""},
		{"a method in lower case", route(gateway.Route{Path: "/", Methods: []string{"get"}}), "routes[0]: methods"},
		{"no method", route(gateway.Route{Path: "/", Methods: []string{""}}), "routes[0]: methods"},
		{"open with rules", route(gateway.Route{Path: "/", Open: true, Rules: []gateway.Rule{{}}}), "routes[0]: is open"},
		{"a bad claim", rule(gateway.Rule{Claims: []ctb.Requirement{{}}}), "routes[0]: rules[0]: claims[0]"},
		{"an empty name", rule(gateway.Rule{APIKeys: []string{""}}), "routes[0]: rules[0]: api keys"},
		{"never reached", route(gateway.Route{Path: "/*"}, gateway.Route{Path: "/admin/*"}), "routes[1]: is never reached"},
		{"never reached, exact", route(gateway.Route{Path: "/a/*"}, gateway.Route{Path: "/a"}), "routes[1]: is never reached"},
		{"never reached, methods", route(gateway.Route{Path: "/*", Methods: []string{"GET", "PUT"}}, gateway.Route{Path: "/a", Methods: []string{"GET"}}), "routes[1]: is never reached"},
		{"reached by another method", route(gateway.Route{Path: "/*", Methods: []string{"GET"}}, gateway.Route{Path: "/a", Methods: []string{"GET", "PUT"}}), ""},
		{"reached by all others", route(gateway.Route{Path: "/*", Methods: []string{"GET"}}, gateway.Route{Path: "/a"}), ""},
		{"beside", route(gateway.Route{Path: "/a/*"}, gateway.Route{Path: "/ab"}, gateway.Route{Path: "/*"}), ""},
	} {
		_, err := gateway.New(tt.c)
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.what, err, tt.want)
		}
	}
}

// TestWithoutUpstream: a gateway that only decides forwards nothing.
func TestWithoutUpstream(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	w := httptest.NewRecorder()
	decider(t, iss, nil).ServeHTTP(w, iss.Request("GET", "/", nil))
	if w.Code != http.StatusForbidden {
		t.Errorf("got %d, want 403", w.Code)
	}
}

// slowKeys is a key set that is not had before the client leaves.
type slowKeys struct{ asked func() }

func (k slowKeys) Key(ctx context.Context, _ string) (ctb.Key, error) {
	k.asked()
	<-ctx.Done()
	return ctb.Key{}, ctx.Err()
}
