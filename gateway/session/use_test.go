package session

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// TestOneUse: an id opens one connection, and is then unknown, as it was before.
func TestOneUse(t *testing.T) {
	s := newSessions(t, Config{Issue: true})
	alice := person("alice")
	id := issue(t, s, alice)
	wantCounts(t, s, 1, 0)
	session := begin(t, s, id)
	if session.Who != alice || !session.Deadline().IsZero() {
		t.Errorf("got the session of %v until %s, want alice's, for ever", session.Who, session.Deadline())
	}
	wantCounts(t, s, 0, 1)
	whileInUse := func(when string) {
		t.Helper()
		_, err := s.Begin(use(id), nil, nil)
		if r := refused(t, err, access.UnknownSession); r.Public != "Session id "+id+" does not exist" {
			t.Errorf("%s: got %q", when, r.Public)
		} else if strings.Contains(r.Error(), id) || !strings.Contains(r.Error(), fingerprint(id)) {
			t.Errorf("%s: the log gets %q, want a digest instead of the id", when, r.Error())
		}
	}
	whileInUse("before the upstream has answered")
	session.Upgraded()
	session.Upgraded()
	whileInUse("upgraded")
	session.End()
	session.End()
	whileInUse("over")
	wantEmpty(t, s)
}

// TestRetry: an upstream that is busy, or refuses, uses up neither the id nor its time.
func TestRetry(t *testing.T) {
	clock := newClock()
	s := newSessions(t, Config{Issue: true, TTL: time.Minute, Now: clock.Now})
	id := issue(t, s, person("alice"))
	for range 5 {
		session := begin(t, s, id)
		clock.advance(10 * time.Second)
		session.End()
		session.End()
		wantCounts(t, s, 1, 0)
	}
	session := begin(t, s, id)
	clock.advance(10 * time.Second) // the minute is over
	session.End()
	_, err := s.Begin(use(id), nil, nil)
	refused(t, err, access.UnknownSession)
	wantEmpty(t, s)

	// Time that runs out during the upstream's answer harms nobody.
	session = begin(t, s, issue(t, s, person("alice")))
	clock.advance(time.Hour)
	session.Upgraded()
	wantCounts(t, s, 0, 1)
	session.End()
	wantEmpty(t, s)
}

func TestBusy(t *testing.T) {
	s := newSessions(t, Config{Issue: true, Concurrency: 1})
	first, second := issue(t, s, person("alice")), issue(t, s, person("bob"))
	open := begin(t, s, first)
	open.Upgraded()
	for range 3 {
		_, err := s.Begin(use(second), nil, nil)
		if r := refused(t, err, access.Busy); r.RetryAfter != 5*time.Second {
			t.Errorf("got Retry-After %s, want 5s", r.RetryAfter)
		}
		wantCounts(t, s, 1, 1)
	}
	open.End()
	open.End() // a second call frees nobody else's place
	next := begin(t, s, second)
	third := issue(t, s, person("alice"))
	_, err := s.Begin(use(third), nil, nil)
	refused(t, err, access.Busy)
	next.End()
	begin(t, s, third).End()
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // on the usual clock
		s := newSessions(t, Config{Issue: true})
		early, late := issue(t, s, person("a")), issue(t, s, person("a"))
		time.Sleep(10*time.Minute - time.Nanosecond)
		begin(t, s, early).Upgraded()
		time.Sleep(time.Nanosecond)
		_, err := s.Begin(use(late), nil, nil)
		refused(t, err, access.UnknownSession)
		wantCounts(t, s, 0, 1)
	})
}

func TestOfWhom(t *testing.T) {
	s := newSessions(t, Config{Issue: true, Concurrency: 1})
	alice := person("alice")
	id := issue(t, s, alice)
	// Another credential, at first.
	_, err := s.Begin(use(id), person("mallory"), func(*access.Identity) error { t.Error("asked for nothing"); return nil })
	if r := refused(t, err, access.OtherIdentity); strings.Contains(r.Error()+r.Public, id) {
		t.Errorf("got %q and %q, want no id", r.Public, r.Error())
	}
	// Then one that is good no more, or cannot be judged now.
	gone := errors.New("the key is retired")
	_, err = s.Begin(use(id), nil, func(who *access.Identity) error {
		if who != alice {
			t.Errorf("asked for %v, want alice", who)
		}
		if _, err := s.Begin(use(id), nil, nil); err == nil { // no lock is held, and the id is nobody else's
			t.Error("an id was used twice at once")
		}
		return gone
	})
	if err != gone {
		t.Errorf("got %v, want %v", err, gone)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = s.Begin(use(id), nil, func(*access.Identity) error { panic("an authenticator's fault") })
	}()
	wantCounts(t, s, 1, 0)
	// The same credential, in another request.
	session, err := s.Begin(use(id), person("alice"), func(*access.Identity) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	session.Upgraded()
	session.End()
	wantEmpty(t, s)

	// Where no credential is asked for.
	id = issue(t, s, nil)
	_, err = s.Begin(use(id), alice, nil)
	refused(t, err, access.OtherIdentity)
	if session := begin(t, s, id); session.Who != nil {
		t.Errorf("got %v, want nobody", session.Who)
	}
}

func TestQuery(t *testing.T) {
	s := newSessions(t, Config{Issue: true})
	id := issue(t, s, person("alice"))
	long := strings.Repeat("x", 200)
	for _, test := range []struct {
		query  string
		reason access.Reason
		public string
	}{
		{"", access.BadRequest, "Failed to deserialize query string: missing field `sessionId`"},
		{"sessionid=" + id, access.BadRequest, "Failed to deserialize query string: missing field `sessionId`"},
		{"session=" + id, access.BadRequest, "Failed to deserialize query string: missing field `sessionId`"},
		{"sessionId=" + id + "&sessionId=" + id, access.BadRequest, "Failed to deserialize query string: duplicate field `sessionId`"},
		{"sessionId=" + id + "&session%49d=", access.BadRequest, "Failed to deserialize query string: duplicate field `sessionId`"},
		{"sessionId=" + id + ";x", access.BadRequest, "Failed to deserialize query string"},
		{"sessionId=%zz", access.BadRequest, "Failed to deserialize query string"},
		{"sessionId=" + id + "&x=%", access.BadRequest, "Failed to deserialize query string"},
		{"sessionId=", access.UnknownSession, "Session id  does not exist"},
		{"sessionId", access.UnknownSession, "Session id  does not exist"},
		{"sessionId=unknown", access.UnknownSession, "Session id unknown does not exist"},
		{"sessionId=" + strings.ToUpper(id), access.UnknownSession, "Session id " + strings.ToUpper(id) + " does not exist"},
		{"sessionId=" + id + "%20", access.UnknownSession, "Session id " + id + "? does not exist"},
		{"sessionId=%3Cscript%3E%0d%0aX:%201%00%1b[31m", access.UnknownSession, "Session id ?script???X:?1??[31m does not exist"},
		{"sessionId=%ff%C3%A4", access.UnknownSession, "Session id ?? does not exist"},
		{"sessionId=" + long, access.UnknownSession, "Session id " + long[:64] + "... does not exist"},
	} {
		r := httptest.NewRequest("GET", "/notarize", nil)
		r.URL.RawQuery = test.query
		_, err := s.Begin(r, nil, nil)
		if got := refused(t, err, test.reason); got.Public != test.public || got.Mode != access.Session {
			t.Errorf("%s: got %s %q, want %q", test.query, got.Mode, got.Public, test.public)
		}
	}
	r := httptest.NewRequest("GET", "/notarize?a=b&session%49d="+url.QueryEscape(id)+"&c", nil)
	if _, err := s.Begin(r, nil, nil); err != nil {
		t.Errorf("the id, percent-encoded among others: got %v", err)
	}
}

// TestOneWins: of many who use an id at the same time, one gets the connection.
func TestOneWins(t *testing.T) {
	s := newSessions(t, Config{Issue: true, Concurrency: 3})
	for range 200 {
		id := issue(t, s, person("alice"))
		var won atomic.Int32
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				session, err := s.Begin(use(id), nil, func(*access.Identity) error { return nil })
				if err == nil {
					won.Add(1)
					session.Upgraded()
					session.End()
				}
			})
		}
		group.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d connections were opened with one id", won.Load())
		}
	}
	wantEmpty(t, s)
}

// TestStorm has all calls at once, for the race detector.
func TestStorm(t *testing.T) {
	s := newSessions(t, Config{Issue: true, Max: 50, Concurrency: 4, TTL: time.Millisecond})
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			who := person(fmt.Sprint(g % 3))
			for i := range 300 {
				w := httptest.NewRecorder()
				if s.Create(w, post(tcp), who, nil) != nil {
					continue
				}
				session, err := s.Begin(use(idAnswer.FindStringSubmatch(w.Body.String())[1]), who, nil)
				if err != nil {
					continue
				}
				if i%3 > 0 {
					session.Upgraded()
				}
				if n := s.Counts().Open; n > 4 {
					t.Errorf("%d connections are open, want at most 4", n)
				}
				session.End()
				if i%50 == 0 {
					if err := s.Reconfigure(Config{Issue: true, Max: 50, Concurrency: 3 + i/50%2, TTL: time.Millisecond}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	s.store.forgetExpired(time.Now().Add(time.Hour))
	wantEmpty(t, s)
}
