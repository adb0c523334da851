package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
)

// TestRefreshWhatHasChanged: a signal alone throws nothing away.
func TestRefreshWhatHasChanged(t *testing.T) {
	path := write(t, "value", "one")
	loads := 0
	l, err := newLive("value", []string{path, ""}, func() (string, error) {
		loads++
		text, err := os.ReadFile(path)
		if string(text) == "bad" {
			err = errors.New("this is not good")
		}
		return string(text), err
	})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	for _, step := range []struct {
		name, text, want string
		loads            int
	}{
		{"unchanged", "one", "one", 1},
		{"changed", "two", "two", 2},
		{"unchanged since", "two", "two", 2},
		{"bad", "bad", "two", 3},
		{"still bad", "bad", "two", 4}, // the operator who asks again is told again
		{"as it was", "two", "two", 4},
	} {
		replace(t, path, []byte(step.text))
		l.refresh(log)
		if l.get() != step.want || loads != step.loads {
			t.Errorf("%s: got %q after %d loads, want %q after %d", step.name, l.get(), loads, step.want, step.loads)
		}
	}
}

// jwksSource answers every request with its body, and counts them.
type jwksSource struct {
	mu       sync.Mutex
	body     []byte
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
		l, err := newLive("keys", nil, func() (ctb.KeySet, error) {
			return ctb.NewRemoteKeys("https://idp.example.com/jwks", &http.Client{Transport: source}), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		keys := liveKeys{l}
		go keys.keepFresh(t.Context(), touchEvery, func(ctb.KeySet) {})

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
