package nitrotest_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/nitro/nitrotest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

var at = time.Date(2026, 3, 1, 12, 20, 30, 456e6, time.UTC)

func now() time.Time { return at }

func newModule(t *testing.T, c nitrotest.Config) *nitrotest.Module {
	t.Helper()
	if c.Seed == nil {
		c.Seed = make([]byte, 32)
	}
	c.Now = now
	m, err := nitrotest.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSeed: one seed and one instant make one document, whatever was made before; other seeds and instants make others.
func TestSeed(t *testing.T) {
	one, two := newModule(t, nitrotest.Config{}), newModule(t, nitrotest.Config{})
	two.Document(nil, nil, nil, at.Add(-100*time.Hour))
	doc := one.Document([]byte("data"), nil, nil, at)
	if !bytes.Equal(doc, two.Document([]byte("data"), nil, nil, at)) || !one.Root().Equal(two.Root()) {
		t.Error("the same seed makes another document or root")
	}
	if bytes.Equal(doc, one.Document([]byte("data"), nil, nil, at.Add(time.Millisecond))) {
		t.Error("another instant makes the same document")
	}
	other := newModule(t, nitrotest.Config{Seed: bytes.Repeat([]byte{1}, 32)})
	if other.Root().Equal(one.Root()) {
		t.Error("another seed makes the same root")
	}
	fresh, err := nitrotest.New(nitrotest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := nitrotest.New(nitrotest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if fresh.Root().Equal(again.Root()) {
		t.Error("without a seed two modules have the same root")
	}
}

// TestFaultsDiffer: each fault has a name of its own and changes the document, and the root of none. (Under -short: every seventh.)
func TestFaultsDiffer(t *testing.T) {
	sound := newModule(t, nitrotest.Config{})
	seen := map[string]nitrotest.Fault{string(sound.Document(make([]byte, 64), nil, nil, at)): ""}
	for i, f := range nitrotest.Faults() {
		if testing.Short() && i%7 != 0 {
			continue
		}
		m := newModule(t, nitrotest.Config{Fault: f})
		doc := string(m.Document(make([]byte, 64), nil, nil, at))
		if same, ok := seen[doc]; ok {
			t.Errorf("%s makes the document of %q", f, same)
		}
		seen[doc] = f
		if !m.Root().Equal(sound.Root()) {
			t.Errorf("%s changes the root", f)
		}
	}
}

// TestQuote: the evidence says when it ends, and what is asked while the caller has gone is not made.
func TestQuote(t *testing.T) {
	m := newModule(t, nitrotest.Config{})
	data := [64]byte{1, 2, 3}
	e, err := m.Quote(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	if e.Platform != tee.Nitro || e.Collateral != nil || !e.NotAfter.Equal(m.Validity(at).NotAfter) || !bytes.Contains(e.Quote, data[:]) {
		t.Errorf("got %+v", e)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Quote(ended, data); err == nil {
		t.Error("a caller that has gone gets a quote")
	}
}

// TestConcurrent: many may ask at once, each for an hour of its own.
func TestConcurrent(t *testing.T) {
	m := newModule(t, nitrotest.Config{})
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			data := bytes.Repeat([]byte{byte(i)}, 64)
			if doc := m.Document(data, nil, nil, at.Add(time.Duration(i%4)*time.Hour)); !bytes.Contains(doc, data) {
				t.Errorf("%d: the document has other user data", i)
			}
		})
	}
	all.Wait()
}

func TestRootPEM(t *testing.T) {
	m := newModule(t, nitrotest.Config{})
	block, rest := pem.Decode(m.RootPEM())
	if block == nil || len(rest) > 0 {
		t.Fatalf("got %q", m.RootPEM())
	}
	if cert, err := x509.ParseCertificate(block.Bytes); err != nil || !cert.Equal(m.Root()) {
		t.Errorf("got %v and %v", cert, err)
	}
}

func TestErrors(t *testing.T) {
	for want, c := range map[string]nitrotest.Config{
		"nitrotest: seed: got 31 bytes, want at least 32":       {Seed: make([]byte, 31)},
		"nitrotest: PCRs: got a register 32, want 0 to 31":      {PCRs: map[int][48]byte{32: {}}},
		"nitrotest: PCRs: got a register -1, want 0 to 31":      {PCRs: map[int][48]byte{-1: {}}},
		`nitrotest: fault: got "none", want one of Faults()`:    {Fault: "none"},
		"nitrotest: instant: got the year 1, want 2020 to 2045": {Now: func() time.Time { return time.Time{} }},
	} {
		if _, err := nitrotest.New(c); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	defer func() {
		if r, ok := recover().(string); !ok || !strings.Contains(r, "instant: got the year 2046") {
			t.Errorf("got the panic %q", r)
		}
	}()
	newModule(t, nitrotest.Config{}).Document(nil, nil, nil, at.AddDate(20, 0, 0))
}
