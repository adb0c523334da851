package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/live"
	"github.com/confidential-token-broker/ctb/ctbtest"
)

// jwksSource answers every request with its body, and counts them.
type jwksSource struct {
	mu       sync.Mutex
	body     []byte // nil: it is away
	requests int
}

// serve changes the body, and returns how many requests there were.
func (s *jwksSource) serve(body []byte) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.body = body
	return s.requests
}

func (s *jwksSource) RoundTrip(*http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if s.body == nil {
		return nil, errors.New("nobody is there")
	}
	return &http.Response{
		StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(s.body)), ContentLength: int64(len(s.body)),
	}, nil
}

// TestKeysStayFreshWhileNobodyAsks: a key that was withdrawn in an idle hour is
// not served once more, and the source is asked no more often than it wishes.
func TestKeysStayFreshWhileNobodyAsks(t *testing.T) {
	old, next := ctbtest.NewIssuer(t), ctbtest.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		source := &jwksSource{body: old.JWKS()}
		s, keys := serviceOf(t, source, slog.DiscardHandler)
		go s.keepFresh(t.Context())

		kid := old.Keys()[0].ID
		if _, err := keys.Key(t.Context(), kid); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := source.serve(next.JWKS()); n > 7 { // one in ten minutes, where the source says nothing
			t.Errorf("%d requests in an idle hour", n)
		}
		time.Sleep(time.Hour)
		if _, err := keys.Key(t.Context(), kid); !errors.Is(err, ctb.ErrUnknownKey) {
			t.Errorf("the key that was withdrawn: got %v, want ErrUnknownKey", err)
		}
		if _, err := keys.Key(t.Context(), next.Keys()[0].ID); err != nil {
			t.Error(err)
		}
	})
}

// serviceOf is a service with the keys of one source.
func serviceOf(t *testing.T, source *jwksSource, log slog.Handler) (*service, issuerKeys) {
	t.Helper()
	set := ctb.NewRemoteKeys("https://idp.example.com/jwks", &http.Client{Transport: source})
	held, err := live.Open(nil, func() (*heldKeys, error) { return &heldKeys{set: set, source: set}, nil })
	if err != nil {
		t.Fatal(err)
	}
	keys := issuerKeys{"https://idp.example.com", held}
	now, err := live.Open(nil, func() (*state, error) { return &state{issuers: []issuerKeys{keys}}, nil })
	if err != nil {
		t.Fatal(err)
	}
	return &service{state: now, lasting: lasting{log: slog.New(log)}}, keys
}

// TestHealthOfKeys: a source that goes away leaves its keys in use for a day; each change is told once;
// and one that comes back is found within seconds, though no request comes.
func TestHealthOfKeys(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		source := new(jwksSource)
		var log bytes.Buffer
		s, keys := serviceOf(t, source, slog.NewTextHandler(&log, nil))
		go s.keepFresh(t.Context())
		expect := func(when string, after time.Duration, want keyHealth, told string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if got := keys.health(); got != want {
				t.Errorf("%s: got %s, want %s", when, got, want)
			}
			if got := log.String(); strings.Count(got, "\n") != min(1, len(told)) || !strings.Contains(got, told) {
				t.Errorf("%s: got the log %q, want one line with %q", when, got, told)
			}
			log.Reset()
		}
		expect("at first", time.Second, unavailable, "cannot be had or trusted now")
		expect("a while later", time.Minute, unavailable, "")
		source.serve(iss.JWKS())
		expect("it is there", 40*time.Second, healthy, "keys are at hand") // the longest back-off, and our own wait
		expect("and stays so", time.Hour, healthy, "")
		source.serve(nil)
		expect("it has gone", time.Hour, stale, "those that were had before are used")
		if _, err := keys.Key(t.Context(), iss.Keys()[0].ID); err != nil {
			t.Error(err)
		}
		expect("for a day", 24*time.Hour, unavailable, "cannot be had or trusted now")
		if _, err := keys.Key(t.Context(), iss.Keys()[0].ID); err == nil || errors.Is(err, ctb.ErrUnknownKey) {
			t.Errorf("after a day: got %v, want that the keys cannot be had", err)
		}
	})
}
