package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/limit"
	"github.com/confidential-token-broker/ctb/gateway/session"
)

// notary is an upstream that hands out ids, and upgrades connections as long as it is not busy.
type notary struct {
	ids  atomic.Int32
	busy atomic.Bool
}

func (n *notary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/session":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"sessionId":"id-%d"}`, n.ids.Add(1))
	case r.URL.Path == "/notarize" && n.busy.Load():
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.URL.Path == "/notarize":
		echo(w, r)
	default:
		io.WriteString(w, "info")
	}
}

func notaryRig(t *testing.T, n *notary, c session.Config, change func(*gateway.Config)) *rig {
	t.Helper()
	s, err := session.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return newRig(t, setup{upstream: n.ServeHTTP, change: func(c *gateway.Config) {
		c.Profile, c.Sessions = gateway.Notary, s
		if change != nil {
			change(c)
		}
	}})
}

// create asks for an id.
func (g *rig) create(token string) string {
	g.tb.Helper()
	res, body := g.do("POST", "/session", token, strings.NewReader(`{"clientType":"Tcp"}`), http.Header{"Content-Type": {"application/json"}})
	var answer struct{ SessionID string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || res.StatusCode != 200 {
		g.tb.Fatalf("got %d %s", res.StatusCode, body)
	}
	return answer.SessionID
}

// use opens the connection of an id on c.
func (g *rig) use(c halfCloser, id, authorization string) (*http.Response, *bufio.Reader) {
	g.tb.Helper()
	if authorization != "" {
		authorization = "Authorization: Bearer " + authorization + "\r\n"
	}
	fmt.Fprintf(c, "GET http://gw/notarize?sessionId=%s HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: TCP\r\n%s\r\n", id, authorization)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		g.tb.Fatal(err)
	}
	if res.StatusCode != 101 {
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		res.Status += " " + string(body)
	}
	return res, r
}

// TestSessions: an id that was handed out for a credential opens one connection, without the credential.
func TestSessions(t *testing.T) {
	for name, c := range map[string]session.Config{"learned": {Concurrency: 1}, "issued": {Concurrency: 1, Issue: true}} {
		t.Run(name, func(t *testing.T) {
			g := notaryRig(t, new(notary), c, nil)
			if res, body := g.do("POST", "/session", "", strings.NewReader("{}"), nil); res.StatusCode != 401 || !strings.HasSuffix(body, "Missing JWT token") {
				t.Errorf("no token: got %d %s", res.StatusCode, body)
			}
			first, second := g.create(g.issuer.Token(nil)), g.create(g.issuer.Token(nil))
			c := g.dial()
			res, r := g.use(c, first, "")
			if hello, _ := r.ReadString('\n'); res.StatusCode != 101 || hello != "the upstream speaks first\n" {
				t.Fatalf("got %s %q", res.Status, hello)
			}
			waiting := g.dial()
			if res, _ := g.use(waiting, second, ""); res.StatusCode != 503 || res.Header.Get("Retry-After") != "5" || res.Close {
				t.Errorf("at the limit: got %s, Retry-After %q, close %v", res.Status, res.Header.Get("Retry-After"), res.Close)
			}
			if res, _ := g.use(g.dial(), first, ""); res.StatusCode != 400 || !strings.HasSuffix(res.Status, "Invalid request from prover: Session id "+first+" does not exist") {
				t.Errorf("used: got %s", res.Status)
			}
			c.Close()
			g.waitLog(`"status":101`)
			if res, _ := g.use(waiting, second, ""); res.StatusCode != 101 { // on the same connection
				t.Errorf("there is room again: got %s", res.Status)
			}
			if res, body := g.do("GET", "/info", "", nil, nil); res.StatusCode != 401 {
				t.Errorf("another path: got %d %s, want 401", res.StatusCode, body)
			}
			if log := g.log.String(); strings.Contains(log, first) && name == "issued" || !strings.Contains(log, `"mode":"session"`) {
				t.Errorf("the log has an id, or no mode: %s", log)
			}
		})
	}
}

// TestSessionsOfABusyUpstream: the id stays good until the upstream has switched protocols.
func TestSessionsOfABusyUpstream(t *testing.T) {
	n := new(notary)
	g := notaryRig(t, n, session.Config{}, nil)
	id := g.create(g.issuer.Token(nil))
	n.busy.Store(true)
	c := g.dial()
	if res, _ := g.use(c, id, ""); res.StatusCode != 503 {
		t.Fatalf("got %s", res.Status)
	}
	n.busy.Store(false)
	if res, _ := g.use(c, id, ""); res.StatusCode != 101 {
		t.Errorf("got %s", res.Status)
	}
	c.Close()
	g.waitLog(`"status":101`)
	if res, _ := g.use(g.dial(), id, ""); res.StatusCode != 400 {
		t.Errorf("used, and over: got %s", res.Status)
	}
}

// TestSessionsAreBound: a credential that is shown with an id must be good, and the same holder's.
func TestSessionsAreBound(t *testing.T) {
	g := notaryRig(t, new(notary), session.Config{}, nil)
	alice, bob := g.issuer.Token(ctbtest.Claims{"sub": "alice"}), g.issuer.Token(ctbtest.Claims{"sub": "bob"})
	id := g.create(alice)
	if res, _ := g.use(g.dial(), id, bob); res.StatusCode != 400 {
		t.Errorf("another's token: got %s", res.Status)
	}
	if res, _ := g.use(g.dial(), id, "garbage"); res.StatusCode != 401 {
		t.Errorf("a bad token: got %s", res.Status)
	}
	if res, _ := g.use(g.dial(), id, alice); res.StatusCode != 101 {
		t.Errorf("his own: got %s", res.Status)
	}
	for _, r := range g.reached() {
		if r.Header.Get("Authorization") != "" {
			t.Error("the upstream saw a token")
		}
	}
}

// TestSessionsUnderNewRules: an id does not outlive the rules by which it was handed out.
func TestSessionsUnderNewRules(t *testing.T) {
	n := new(notary)
	var sessions *session.Sessions
	g := notaryRig(t, n, session.Config{}, func(c *gateway.Config) { sessions = c.Sessions })
	id := g.create(g.issuer.Token(ctbtest.Claims{"sub": "mallory"}))
	later := newRig(t, setup{upstream: n.ServeHTTP, change: func(c *gateway.Config) {
		c.Credentials, c.Sessions, c.Deny = tokens(t, g.issuer.Verifier()), sessions, []ctb.Requirement{ctb.Claim("sub", "mallory")}
	}})
	if res, _ := later.use(later.dial(), id, ""); res.StatusCode != 403 {
		t.Errorf("denied since: got %s, want 403", res.Status)
	}
	retired := newRig(t, setup{upstream: n.ServeHTTP, change: func(c *gateway.Config) { c.Sessions = sessions }}) // another issuer's keys
	if res, _ := retired.use(retired.dial(), id, ""); res.StatusCode != 401 {
		t.Errorf("the key is gone: got %s, want 401", res.Status)
	}
}

// TestSessionsObeyRoutes: what routes say of a session's paths counts as well, for who asks for an id and for whose
// it is. That a path is open does not: a session is somebody's. A path of which nothing is said takes a good token.
func TestSessionsObeyRoutes(t *testing.T) {
	may := []gateway.Rule{{Claims: []ctb.Requirement{ctb.Scope("notarize")}}}
	for name, tt := range map[string]struct {
		routes      []gateway.Route
		create, use int
	}{
		"of everything":        {[]gateway.Route{{Path: "/*", Rules: may}}, 403, 403},
		"of the one path":      {[]gateway.Route{{Path: "/session", Rules: may}, {Path: "/*"}}, 403, 101},
		"of the other":         {[]gateway.Route{{Path: "/notarize", Rules: may}, {Path: "/*"}}, 200, 403},
		"of another method":    {[]gateway.Route{{Path: "/*", Methods: []string{"PUT"}, Rules: may}}, 200, 101},
		"of all that it is":    {[]gateway.Route{{Path: "/*", Open: true}}, 200, 101},
		"nothing":              {[]gateway.Route{{Path: "/healthcheck", Open: true}}, 200, 101},
		"of others, and these": {[]gateway.Route{{Path: "/healthcheck", Open: true}, {Path: "/*", Rules: may}}, 403, 403},
	} {
		t.Run(name, func(t *testing.T) {
			n := new(notary)
			var sessions *session.Sessions
			g := notaryRig(t, n, session.Config{}, func(c *gateway.Config) {
				c.Routes, c.Profile, sessions = tt.routes, gateway.Strict, c.Sessions
			})
			user := g.issuer.Token(ctbtest.Claims{"sub": "alice", "scope": "else"})
			post := func(token string) int {
				res, _ := g.do("POST", "/session", token, strings.NewReader(`{"clientType":"Tcp"}`), http.Header{"Content-Type": {"application/json"}})
				return res.StatusCode
			}
			if got := post(user); got != tt.create {
				t.Errorf("create: got %d, want %d", got, tt.create)
			}
			if got := post(""); got != 401 {
				t.Errorf("create without a token: got %d, want 401", got)
			}
			if got := post(g.issuer.Token(ctbtest.Claims{"scope": "notarize"})); got != 200 {
				t.Errorf("create with the scope: got %d, want 200", got)
			}
			before := newRig(t, setup{upstream: n.ServeHTTP, change: func(c *gateway.Config) {
				c.Credentials, c.Sessions = tokens(t, g.issuer.Verifier()), sessions
			}})
			if res, _ := g.use(g.dial(), before.create(user), ""); res.StatusCode != tt.use {
				t.Errorf("use: got %s, want %d", res.Status, tt.use)
			}
		})
	}
}

// TestSessionsForNobody: with everything open, ids still count connections.
func TestSessionsForNobody(t *testing.T) {
	g := notaryRig(t, new(notary), session.Config{}, func(c *gateway.Config) { c.Credentials, c.Open = nil, true })
	id := g.create("")
	if res, _ := g.use(g.dial(), id, ""); res.StatusCode != 101 {
		t.Errorf("got %s", res.Status)
	}
	if res, _ := g.use(g.dial(), id, ""); res.StatusCode != 400 {
		t.Errorf("used: got %s", res.Status)
	}
}

// TestSessionsAreTheProxys: who only asks for a decision gets none about them.
func TestSessionsAreTheProxys(t *testing.T) {
	s, err := session.New(session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	iss := ctbtest.NewIssuer(t)
	g := decider(t, iss, func(c *gateway.Config) { c.Sessions, c.Upstream = s, &url.URL{Scheme: "http", Host: "upstream"} })
	for _, r := range []*http.Request{iss.Request("POST", "/session", nil), iss.Request("GET", "/notarize?sessionId=x", nil), iss.Request("GET", "//notarize", nil)} {
		if _, reason := reasonOf(g, r); reason != access.BadRequest {
			t.Errorf("%s: got %s, want bad_request", r.URL, reason)
		}
	}
}

// TestLongestSession: a connection ends with its time, however busy it is.
func TestLongestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := session.New(session.Config{Longest: 10 * time.Minute, Issue: true, Use: "/notarize"})
		if err != nil {
			t.Fatal(err)
		}
		said, _, upstream := tunnelInMemory(t, func(c *gateway.Config) { c.Sessions, c.IdleTimeout = s, time.Hour })
		begin := time.Now()
		go func() {
			for {
				if _, err := io.WriteString(upstream, "x"); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		n, _ := io.Copy(io.Discard, said)
		if held := time.Since(begin); held != 10*time.Minute || n < 599 {
			t.Errorf("ended after %v and %d bytes, want 10 minutes", held, n)
		}
		time.Sleep(2 * time.Second) // the upstream learns it
		if open := s.Counts().Open; open != 0 {
			t.Errorf("%d connections are counted still", open)
		}
	})
}

// TestLimits: what one identity asks for is bounded, what it holds is freed.
func TestLimits(t *testing.T) {
	limits, err := limit.New(limit.Config{Concurrent: 1})
	if err != nil {
		t.Fatal(err)
	}
	g := newRig(t, setup{upstream: echo, change: func(c *gateway.Config) { c.Limits = limits }})
	c, _, res := g.upgrade(g.issuer.Token(nil))
	if res.StatusCode != 101 {
		t.Fatal(res.Status)
	}
	res, body := g.do("GET", "/", g.issuer.Token(nil), nil, nil)
	if res.StatusCode != 429 || res.Header.Get("Retry-After") == "" {
		t.Errorf("got %d %s, want 429", res.StatusCode, body)
	}
	if _, _, res := g.upgrade(g.issuer.Token(ctbtest.Claims{"sub": "bob"})); res.StatusCode != 101 {
		t.Errorf("another identity: got %s", res.Status)
	}
	c.Close()
	g.waitLog(`"status":101`)
	if _, _, res := g.upgrade(g.issuer.Token(nil)); res.StatusCode != 101 {
		t.Errorf("after it was freed: got %s", res.Status)
	}
}

// TestSessionsAnsweredWithoutAnUpgrade: an upstream that answers with success has let the request in, so the id
// is used up, though there is no connection.
func TestSessionsAnsweredWithoutAnUpgrade(t *testing.T) {
	s, err := session.New(session.Config{Issue: true})
	if err != nil {
		t.Fatal(err)
	}
	g := newRig(t, setup{change: func(c *gateway.Config) { c.Profile, c.Sessions = gateway.Notary, s }})
	id := g.create(g.issuer.Token(nil))
	if res, _ := g.use(g.dial(), id, ""); res.StatusCode != 200 {
		t.Fatalf("got %s", res.Status)
	}
	if res, _ := g.use(g.dial(), id, ""); res.StatusCode != 400 || len(g.reached()) != 1 {
		t.Errorf("a second time: got %s, want it unknown", res.Status)
	}
}

// TestSessionsUnderAttack: of hundreds that bring one id at the same time one gets in; and whatever clients and
// upstream do, no slot, id or goroutine is left of them.
func TestSessionsUnderAttack(t *testing.T) {
	s, err := session.New(session.Config{Concurrency: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var turn atomic.Int32
	n := new(notary)
	g := newRig(t, setup{plain: true, change: func(c *gateway.Config) { c.Sessions = s }, upstream: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/notarize" {
			n.ServeHTTP(w, r)
			return
		}
		switch turn.Add(1) % 4 {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			conn, _ := switched(w, &http.Request{Header: http.Header{"Upgrade": {"h2c"}}}, "")
			conn.Close()
		case 3:
			echo(w, r)
		}
	}})
	token := g.issuer.Token(nil)
	g.create(token) // what there is at rest: connections that are kept
	before := runtime.NumGoroutine()

	var in atomic.Int32
	for range 4 {
		id := g.create(token)
		var all sync.WaitGroup
		for i := range 250 {
			all.Go(func() {
				c, err := net.Dial("tcp", g.gateway.Listener.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				fmt.Fprintf(c, "GET /notarize?sessionId=%s HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: TCP\r\n\r\nearly", id)
				if i%5 == 0 {
					return // he does not wait
				}
				if res, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil && res.StatusCode == 101 {
					in.Add(1)
				}
			})
		}
		all.Wait()
	}
	if in.Load() > 4 {
		t.Errorf("4 ids opened %d connections", in.Load())
	}
	g.gateway.Client().CloseIdleConnections()
	for range 3000 {
		if s.Counts().Open == 0 && runtime.NumGoroutine() <= before+10 { // idle connections to the upstream have some
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d slots and %d goroutines are left, of %d", s.Counts().Open, runtime.NumGoroutine(), before)
}
