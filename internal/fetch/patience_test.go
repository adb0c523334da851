package fetch

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

var patienceNow = time.Date(2025, 8, 20, 12, 0, 0, 0, time.UTC)

// TestPatience: a server that says when to come again is asked again then, at most twice.
func TestPatience(t *testing.T) {
	status := func(code int, after string) error {
		return &StatusError{code, http.Header{"Retry-After": {after}}}
	}
	other := errors.New("other")
	const s = time.Second
	for name, c := range map[string]struct {
		answers []error
		want    error // nil: the last of the answers
		waited  []time.Duration
	}{
		"an answer":                {[]error{nil}, nil, nil},
		"not now, then an answer":  {[]error{status(503, ""), nil}, nil, []time.Duration{s}},
		"too many, with a time":    {[]error{status(429, "3"), nil}, nil, []time.Duration{3 * s}},
		"too many, with a date":    {[]error{status(429, "Wed, 20 Aug 2025 12:00:04 GMT"), nil}, nil, []time.Duration{4 * s}},
		"it never has time":        {[]error{status(503, ""), status(503, ""), status(503, "")}, nil, []time.Duration{s, 2 * s}},
		"it wants more than we":    {[]error{status(429, "6")}, nil, nil},
		"what no time can mend":    {[]error{status(404, "1")}, nil, nil},
		"an error of another kind": {[]error{other}, other, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var waited []time.Duration
			p := Patience{Now: func() time.Time { return patienceNow }, Wait: func(_ context.Context, d time.Duration) error {
				waited = append(waited, d)
				return nil
			}}
			asked := 0
			err := p.Ask(t.Context(), func() error { asked++; return c.answers[asked-1] })
			if err != c.answers[len(c.answers)-1] || asked != len(c.answers) || !slices.Equal(waited, c.waited) {
				t.Errorf("got %v after %d questions, having waited %v", err, asked, waited)
			}
		})
	}
}

func TestPatienceEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := (Patience{}).sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v want the end of the context", err)
		}
		begin := time.Now()
		if err := (Patience{}).sleep(t.Context(), time.Hour); err != nil || time.Since(begin) != time.Hour {
			t.Errorf("got %v after %v, want an hour", err, time.Since(begin))
		}
	})
}

// FuzzRetryAfter: no header is an instruction to come back in the past.
func FuzzRetryAfter(f *testing.F) {
	f.Add("120")
	f.Add("Wed, 20 Aug 2025 12:00:07 GMT")
	f.Fuzz(func(t *testing.T, header string) {
		if d := RetryAfter(http.Header{"Retry-After": {header}}, patienceNow); d < 0 {
			t.Errorf("%q: got %v", header, d)
		}
	})
}
