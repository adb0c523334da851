package session

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

// clock is a clock that a test sets.
type clock struct{ now atomic.Pointer[time.Time] }

func newClock() *clock {
	c := new(clock)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c.now.Store(&start)
	return c
}

func (c *clock) Now() time.Time { return *c.now.Load() }

func (c *clock) advance(d time.Duration) {
	now := c.Now().Add(d)
	c.now.Store(&now)
}

func newSessions(tb testing.TB, c Config) *Sessions {
	tb.Helper()
	s, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// person is an identity with an API key.
func person(name string) *access.Identity {
	return &access.Identity{Mode: access.APIKey, ID: "key:" + name, Name: name}
}

// bearer is an identity with a token of these claims, and a few more.
func bearer(tb testing.TB, claims string) *access.Identity {
	tb.Helper()
	token, err := ctb.UnverifiedToken([]byte(`{"exp": 4102444800, "sub": "alice"` + claims + `}`))
	if err != nil {
		tb.Fatal(err)
	}
	return &access.Identity{Mode: access.JWT, ID: "jwt:alice", Token: token}
}

const tcp = `{"clientType":"Tcp"}`

// post is a request for an id.
func post(body string) *http.Request {
	r := httptest.NewRequest("POST", "/session", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func use(id string) *http.Request { return httptest.NewRequest("GET", "/notarize?sessionId="+id, nil) }

// answers is an upstream that hands out an id.
func answers(id string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"sessionId":%q}`, id)
	})
}

// noUpstream is for requests that must not reach one.
func noUpstream(tb testing.TB) http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { tb.Error("the upstream was asked") })
}

var idAnswer = regexp.MustCompile(`^\{"sessionId":"([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})"\}$`)

// issue gets an id from a gateway that hands them out.
func issue(tb testing.TB, s *Sessions, who *access.Identity) string {
	tb.Helper()
	w := httptest.NewRecorder()
	if err := s.Create(w, post(tcp), who, noUpstream(tb)); err != nil {
		tb.Fatal(err)
	}
	m := idAnswer.FindStringSubmatch(w.Body.String())
	if w.Code != 200 || m == nil || w.Header().Get("Content-Type") != "application/json" {
		tb.Fatalf("got %d %v %q, want an id", w.Code, w.Header(), w.Body)
	}
	return m[1]
}

// begin is Begin without a credential.
func begin(tb testing.TB, s *Sessions, id string) *Session {
	tb.Helper()
	session, err := s.Begin(use(url.QueryEscape(id)), nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return session
}

// refused returns the refusal in err, and fails if it is not of this reason.
func refused(tb testing.TB, err error, want access.Reason) access.Refusal {
	tb.Helper()
	refusal, ok := errors.AsType[*access.Refusal](err)
	if !ok || refusal.Reason != want || refusal.Public == "" {
		tb.Fatalf("got %#v, want to be refused with %s and a text", err, want)
	}
	return *refusal
}

func wantCounts(tb testing.TB, s *Sessions, waiting, open int) {
	tb.Helper()
	if got, want := s.Counts(), (Counts{waiting, open}); got != want {
		tb.Fatalf("got %+v, want %+v", got, want)
	}
}

// wantEmpty fails unless nothing is remembered of sessions that are over.
func wantEmpty(tb testing.TB, s *Sessions) {
	tb.Helper()
	wantCounts(tb, s, 0, 0)
	if st := &s.store; len(st.ids) != 0 || len(st.ofWhom) != 0 || st.promised != 0 {
		tb.Fatalf("after all sessions are over %d ids, %d identities and %d promises are left", len(st.ids), len(st.ofWhom), st.promised)
	}
}

func body(tb testing.TB, r io.Reader) string {
	tb.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}
