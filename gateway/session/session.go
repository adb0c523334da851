// Package session keeps the sessions of the notary's protocol: an id that is
// handed out for a credential, and opens one connection.
//
// It owns the ids (who got them, until when they are good, that each opens one
// connection), the number of connections at once, and the body that asks for an id. It does not
// know how a credential is judged, how a request reaches the upstream, or which
// status and words a refusal has: those are the gateway's.
//
// It starts no goroutine. Ids that have expired make room when the next is asked for.
package session

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// Config says how sessions are kept.
type Config struct {
	Issue  bool   // the gateway hands out the ids; otherwise they are learned from the upstream's answers
	Create string // path of "POST", which hands out an id; empty means "/session"
	Use    string // path that an id opens; empty means "/notarize"

	TTL            time.Duration // how long an id may stay unused; 0 means 10 min
	Max            int           // ids that are not used yet, each some 200 bytes and its token's claims; 0 means 10,000
	MaxPerIdentity int           // the same, of one identity; 0 means Max
	Concurrency    int           // connections at once; 0 means no limit
	Longest        time.Duration // of a connection; 0 means no limit

	// MaxSent and MaxRecv are the largest maxSentData and maxRecvData that may be asked for, in
	// bytes; 0 means no limit. The claims at the paths, if a token has them, lower that: each a
	// number, or a string of one. Who asks for nothing then asks for what his claim allows. Whether
	// more passes than was asked for is the upstream's to see: the notary server's last
	// releases compare with their own configuration alone.
	MaxSent, MaxRecv           uint64
	MaxSentClaim, MaxRecvClaim []string

	// OnUnlearned, if set, is told why an answer of the upstream with status 200 gave no
	// id to remember. The client gets the answer, but can open nothing with it.
	OnUnlearned func(*http.Request, error)

	Now func() time.Time // the clock; nil means time.Now
}

// Sessions are the sessions of one gateway. They live on when it is configured anew.
type Sessions struct {
	config atomic.Pointer[Config] // ready: no default is missing
	store  store
}

// New returns an empty store.
func New(c Config) (*Sessions, error) {
	s := &Sessions{store: newStore()}
	if err := s.Reconfigure(c); err != nil {
		return nil, err
	}
	return s, nil
}

// Reconfigure changes the configuration; the sessions stay, with the TTL and the
// deadline that they began with.
func (s *Sessions) Reconfigure(c Config) error {
	if err := c.complete(); err != nil {
		return err
	}
	s.config.Store(&c)
	return nil
}

// complete sets what is left out, and refuses what makes no sense.
func (c *Config) complete() error {
	orDefault(&c.Create, "/session")
	orDefault(&c.Use, "/notarize")
	orDefault(&c.TTL, 10*time.Minute)
	orDefault(&c.Max, 10_000)
	orDefault(&c.MaxPerIdentity, c.Max)
	if c.Now == nil {
		c.Now = time.Now
	}
	for _, path := range []string{c.Create, c.Use} {
		if !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") || strings.ContainsAny(path, "?#*") {
			return fmt.Errorf("path %q: want one like /session", path)
		}
	}
	switch {
	case c.Create == c.Use:
		return fmt.Errorf("path %q: it cannot both hand out an id and be opened by it", c.Create)
	case c.TTL < 0 || c.Longest < 0:
		return fmt.Errorf("got a ttl of %s and %s as the longest connection, want none below 0", c.TTL, c.Longest)
	case c.Max < 0 || c.MaxPerIdentity < 0 || c.Concurrency < 0:
		return fmt.Errorf("got max %d, max per identity %d, concurrency %d, want none below 0", c.Max, c.MaxPerIdentity, c.Concurrency)
	case slices.Contains(c.MaxSentClaim, "") || slices.Contains(c.MaxRecvClaim, ""):
		return errors.New("a step of a claim's path is empty")
	}
	return nil
}

func orDefault[T comparable](value *T, standard T) {
	var zero T
	if *value == zero {
		*value = standard
	}
}

// IsCreate tells whether a request asks for an id.
func (s *Sessions) IsCreate(r *http.Request) bool {
	return r.Method == http.MethodPost && samePath(r.URL.Path, s.config.Load().Create)
}

// IsUse tells whether a request brings an id, or should.
func (s *Sessions) IsUse(r *http.Request) bool {
	return samePath(r.URL.Path, s.config.Load().Use)
}

// samePath takes slashes at the end for nothing, as some servers do: an upstream's
// session path under another name would otherwise be open to every good credential.
func samePath(got, want string) bool {
	return strings.HasPrefix(got, want) && strings.Trim(got[len(want):], "/") == ""
}

// Counts are for metrics.
type Counts struct {
	Waiting int // ids that were handed out and are not used yet
	Open    int // connections
}

// Counts returns how many sessions there are now.
func (s *Sessions) Counts() Counts { return s.store.counts(s.config.Load().Now()) }

// refuse returns a refusal for the session's own faults.
func refuse(reason access.Reason, public string, err error) *access.Refusal {
	return &access.Refusal{Reason: reason, Mode: access.Session, Public: public, Err: err}
}
