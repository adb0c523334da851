package session

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestPaths(t *testing.T) {
	standard := newSessions(t, Config{})
	named := newSessions(t, Config{Create: "/v1/open", Use: "/v1/tunnel"})
	for _, test := range []struct {
		s           *Sessions
		method, url string
		want        string
	}{
		{standard, "POST", "/session", "create"},
		{standard, "POST", "http://notary.example/session", "create"}, // absolute form, as the Rust prover sends it
		{standard, "POST", "/session?x=1", "create"},
		{standard, "POST", "/%73ession", "create"},
		{standard, "POST", "/session//", "create"},
		{standard, "GET", "/session", ""},
		{standard, "OPTIONS", "/session", ""},
		{standard, "POST", "/sessions", ""},
		{standard, "POST", "/session/x", ""},
		{standard, "POST", "/Session", ""},
		{standard, "POST", "/", ""},
		{standard, "GET", "/notarize?sessionId=x", "use"},
		{standard, "GET", "/notarize", "use"},
		{standard, "GET", "/notarize/", "use"},
		{standard, "POST", "/notarize", "use"},
		{standard, "GET", "/notarize2", ""},
		{standard, "GET", "/info", ""},
		{named, "POST", "/v1/open", "create"},
		{named, "GET", "/v1/tunnel", "use"},
		{named, "POST", "/session", ""},
		{named, "GET", "/notarize", ""},
	} {
		u, err := url.Parse(test.url)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		r := &http.Request{Method: test.method, URL: u}
		if test.s.IsCreate(r) {
			got += "create"
		}
		if test.s.IsUse(r) {
			got += "use"
		}
		if got != test.want {
			t.Errorf("%s %s: got %q, want %q", test.method, test.url, got, test.want)
		}
	}
}

func TestConfig(t *testing.T) {
	for _, test := range []struct {
		c    Config
		want string
	}{
		{Config{}, ""},
		{Config{Create: "session"}, "want one like /session"},
		{Config{Use: "/notarize/"}, "want one like /session"},
		{Config{Use: "/"}, "want one like /session"},
		{Config{Use: "/notarize?x"}, "want one like /session"},
		{Config{Create: "/notarize"}, "cannot both"},
		{Config{TTL: -1}, "ttl of -1ns"},
		{Config{Longest: -time.Second}, "-1s as the longest"},
		{Config{Max: -1}, "max -1"},
		{Config{MaxPerIdentity: -1}, "max per identity -1"},
		{Config{Concurrency: -1}, "concurrency -1"},
		{Config{MaxSentClaim: []string{"limits", ""}}, "empty"},
		{Config{MaxRecvClaim: []string{""}}, "empty"},
	} {
		s := newSessions(t, Config{})
		for _, err := range []error{s.Reconfigure(test.c), func() error { _, err := New(test.c); return err }()} {
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v: got %v, want %q", test.c, err, test.want)
			}
		}
	}
}

// TestReconfigure: what is open and what waits goes on, and the new bounds count.
func TestReconfigure(t *testing.T) {
	clock := newClock()
	c := Config{Issue: true, Concurrency: 1, TTL: time.Minute, Now: clock.Now}
	s := newSessions(t, c)
	first, second, third := issue(t, s, person("a")), issue(t, s, person("a")), issue(t, s, person("a"))
	one := begin(t, s, first)
	one.Upgraded()
	_, err := s.Begin(use(second), nil, nil)
	refused(t, err, "busy")

	c.Concurrency, c.TTL, c.Max, c.Longest = 2, time.Second, 3, time.Hour
	if err := s.Reconfigure(c); err != nil {
		t.Fatal(err)
	}
	two := begin(t, s, second)
	two.Upgraded()
	if !one.Deadline().IsZero() || !two.Deadline().Equal(clock.Now().Add(time.Hour)) {
		t.Errorf("deadlines: got %v and %v, want none, and an hour from now", one.Deadline(), two.Deadline())
	}
	short := issue(t, s, person("a"))
	clock.advance(time.Second) // the end of the new one, while the old one has its minute
	_, err = s.Begin(use(short), nil, nil)
	refused(t, err, "unknown_session")

	c.Concurrency = 1 // with two open: nobody new until both are over
	if err := s.Reconfigure(c); err != nil {
		t.Fatal(err)
	}
	_, err = s.Begin(use(third), nil, nil)
	refused(t, err, "busy")
	one.End()
	_, err = s.Begin(use(third), nil, nil)
	refused(t, err, "busy")
	two.End()
	three := begin(t, s, third)
	three.Upgraded()
	three.End()
	wantEmpty(t, s)
}
