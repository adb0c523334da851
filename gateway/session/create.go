package session

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// maxBody bounds a request for an id, and the answer to it, in bytes.
const maxBody = 64 << 10

// Create answers a request for an id, which who may ask for. Without Issue, next is the proxy,
// and the id is learned from its answer; with it, the answer is written here and next is not
// called. The error is a *access.Refusal: then nothing has been written.
func (s *Sessions) Create(w http.ResponseWriter, r *http.Request, who *access.Identity, next http.Handler) error {
	c := s.config.Load()
	sent, recv, err := c.bounds(who)
	if err != nil {
		return err
	}
	text, err := readBody(w, r)
	if err != nil {
		return err
	}
	body, err := parseCreate(text)
	if err != nil {
		return err
	}
	if err := body.within(sent, recv); err != nil {
		return err
	}
	if err := s.store.reserve(c, who); err != nil {
		return tooMany(err, who)
	}
	kept := false
	defer func() { // also when next panics, as proxies do whose upstream was cut off
		if !kept {
			s.store.cancel(who)
		}
	}()
	if c.Issue {
		var id string
		for !kept { // two ids are never the same, and yet nobody would get another's
			id = newID()
			kept = s.store.keep(c, keyOf(id), who)
		}
		writeID(w, id)
		return nil
	}
	l := &learner{ResponseWriter: w, learn: func(id string) error {
		if kept = s.store.keep(c, keyOf(id), who); !kept {
			return errors.New("the upstream handed out an id that is good already")
		}
		return nil
	}}
	next.ServeHTTP(l, forUpstream(r, body.capped(sent, recv)))
	if err := l.finish(); err != nil && c.OnUnlearned != nil {
		c.OnUnlearned(r, err)
	}
	return nil
}

// tooMany is the refusal of somebody who has, or of all who have, too many unused ids.
func tooMany(err error, who *access.Identity) *access.Refusal {
	// Any of them may be used at any time, or not for as long as the TTL.
	refusal := &access.Refusal{Reason: access.TooManySessions, Public: "Too many sessions wait to be used", Err: err, RetryAfter: whenBusy}
	if who != nil {
		refusal.Mode = who.Mode
	}
	return refusal
}

// The words of a refused body are the notary server's.
func badBody(public string, err error) *access.Refusal {
	return refuse(access.BadSessionQuery, public, err)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if !isJSON(r.Header) {
		return nil, badBody("Expected request with `Content-Type: application/json`", nil)
	}
	if r.Body == nil { // not a server's request
		return nil, nil
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, badBody("Failed to buffer the request body", fmt.Errorf("body of a request for a session: %w", err))
	}
	return text, nil
}

// isJSON tells whether a body is of a type that the notary server reads as JSON (RFC 6838 section 4.2.8), and as it stands.
func isJSON(h http.Header) bool {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	encoding := h.Get("Content-Encoding")
	return err == nil && strings.HasPrefix(t, "application/") && (t == "application/json" || strings.HasSuffix(t, "+json")) &&
		(encoding == "" || encoding == "identity")
}

// forUpstream is a request with a body that was read, and an answer to it that can be.
func forUpstream(r *http.Request, body []byte) *http.Request {
	out := r.WithContext(r.Context())
	out.Header = r.Header.Clone()
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	out.TransferEncoding, out.Trailer = nil, nil
	out.Header.Set("Content-Length", strconv.Itoa(len(body)))
	out.Header.Set("Accept-Encoding", "identity") // a compressed answer would hide the id
	for _, name := range []string{
		"Expect",            // the body is here
		"Trailer",           // and has ended
		"Upgrade",           // asking for an id opens no tunnel, in which nothing could be learned
		"Range", "If-Range", // a part of the answer would hide the id too (RFC 9110 section 14)
	} {
		out.Header.Del(name)
	}
	return out
}

// newID returns a random UUID (RFC 9562 section 5.4), with 122 bits that nobody guesses.
func newID() string {
	var u [16]byte
	rand.Read(u[:]) // never fails
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func writeID(w http.ResponseWriter, id string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	// Who has gone does not read it; the id then waits until it expires.
	_, _ = io.WriteString(w, `{"sessionId":"`+id+`"}`)
}
