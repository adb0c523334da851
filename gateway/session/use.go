package session

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

const (
	maxID    = 128 // bytes of an id; those of the notary server have 36
	maxShown = 64  // bytes of an id in a message
)

// whenBusy is what a client at the concurrency limit is told to wait, as the notary server does.
const whenBusy = 5 * time.Second

// Begin takes the id that a request for Use brings. shown is whose credential the request
// has, nil if none: it must be the session's. still, if not nil, is asked whether the session's
// identity is good still; it may take its time. The error is a *access.Refusal, or still's; the id is
// then as good as before, so at the concurrency limit. Call the Session's End when the connection is over.
func (s *Sessions) Begin(r *http.Request, shown *access.Identity, still func(*access.Identity) error) (*Session, error) {
	c := s.config.Load()
	id, err := sessionID(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	// 1 the id is good, and nobody else is about to use it
	e, ok := s.store.take(c.Now(), keyOf(id), func(who *access.Identity) bool {
		return shown == nil || shown.ID == idOf(who) // 2 and it is his
	})
	switch {
	case !ok:
		return nil, refuse(access.OtherIdentity, "The session id was handed out for another credential",
			fmt.Errorf("session id %s was handed out for another credential", fingerprint(id)))
	case e == nil:
		return nil, unknown(id)
	}
	began := false
	defer func() {
		if !began {
			s.store.giveBack(c.Now(), e)
		}
	}()
	// 3 whose credential it was is still welcome
	if still != nil {
		if err := still(e.who); err != nil {
			return nil, err
		}
	}
	// 4 there is room
	if !s.store.connect(c.Concurrency) {
		return nil, &access.Refusal{Reason: access.Busy, Mode: access.Session, RetryAfter: whenBusy,
			Public: "As many connections are open as may be; the session id stays good"}
	}
	began = true
	session := &Session{Who: e.who, sessions: s, entry: e}
	if c.Longest > 0 {
		session.deadline = c.Now().Add(c.Longest)
	}
	return session, nil
}

// Session is a connection that an id opens.
type Session struct {
	Who *access.Identity // who asked for the id; nil where no credential is asked for

	sessions *Sessions
	deadline time.Time

	mu    sync.Mutex
	entry *entry // nil: used up, or given back
	over  bool
}

// Deadline is when the connection must end; zero: never.
func (s *Session) Deadline() time.Time { return s.deadline }

// Upgraded uses the id up: call it when the upstream has switched protocols, or has answered with success in
// another way. Without it, End makes the id good again, for clients try again when an upstream is busy.
func (s *Session) Upgraded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entry != nil {
		s.sessions.store.use(s.entry)
		s.entry = nil
	}
}

// End frees the place of the connection. Further calls do nothing.
func (s *Session) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	s.sessions.store.disconnect()
	if s.entry != nil {
		s.sessions.store.giveBack(s.sessions.config.Load().Now(), s.entry)
		s.entry = nil
	}
}

// sessionID finds the one id in a query. A query that two readers could read in two ways is
// refused: the upstream would look for another id than was looked up here. The notary server says all of this
// without the words that its other refusals begin with, so the reason is another too.
func sessionID(rawQuery string) (string, error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return "", refuse(access.BadRequest, "Failed to deserialize query string", errors.New("the query of a session is malformed"))
	}
	switch ids := values["sessionId"]; len(ids) {
	case 0:
		return "", refuse(access.BadRequest, "Failed to deserialize query string: missing field `sessionId`", nil)
	case 1:
		if !isID(ids[0]) {
			return "", unknown(ids[0])
		}
		return ids[0], nil
	}
	return "", refuse(access.BadRequest, "Failed to deserialize query string: duplicate field `sessionId`", nil)
}

// isID tells whether an id can have been handed out: 1 to 128 bytes of visible ASCII.
func isID(id string) bool {
	return id != "" && len(id) <= maxID && !strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c > '~' })
}

// unknown is the refusal of an id that nothing is known of. The client is shown his id, for people look for
// it; the log is not, for it may be good again in a moment.
func unknown(id string) *access.Refusal {
	return refuse(access.UnknownSession, fmt.Sprintf("Session id %s does not exist", harmless(id)),
		fmt.Errorf("session id %s does not exist, or is used, in use or expired", fingerprint(id)))
}

// harmless shows what a client sent, shortened, and such that no browser or terminal finds a meaning in it.
func harmless(id string) string {
	short := strings.Map(func(c rune) rune {
		if c <= ' ' || c > '~' || strings.ContainsRune("<>&'\"`\\", c) {
			return '?'
		}
		return c
	}, id[:min(len(id), maxShown)])
	if len(id) > maxShown {
		return short + "..."
	}
	return short
}

func fingerprint(id string) string {
	k := keyOf(id)
	return fmt.Sprintf("(sha256 %x...)", k[:4])
}
