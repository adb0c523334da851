package nitro_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/nitro"
	"github.com/confidential-token-broker/ctb/attest/nitro/nitrotest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// at is when the tests' documents are made: within an hour, so that lives that begin at whole hours differ from it.
var at = time.Date(2026, 3, 1, 12, 20, 30, 456e6, time.UTC)

var seed = []byte("the seed of the modules that tests of package nitro make")

func newModule(t testing.TB, c nitrotest.Config) *nitrotest.Module {
	t.Helper()
	if c.Seed == nil {
		c.Seed = seed
	}
	c.Now = func() time.Time { return at }
	m, err := nitrotest.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// verify judges a document under the root of the module.
func verify(t testing.TB, m *nitrotest.Module, doc []byte, when time.Time) (*tee.Report, error) {
	t.Helper()
	return (&nitro.Verifier{Root: m.Root()}).Verify(t.Context(), &tee.Evidence{Platform: tee.Nitro, Quote: doc}, when)
}

// genuine is the report of a document that must be genuine.
func genuine(t testing.TB, m *nitrotest.Module, doc []byte) *tee.Report {
	t.Helper()
	r, err := verify(t, m, doc, at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestFacts: everything that a document says is in the report.
func TestFacts(t *testing.T) {
	m := newModule(t, nitrotest.Config{})
	data := bytes.Repeat([]byte{7}, 64)
	r := genuine(t, m, m.Document(data, []byte("nonce"), []byte("key"), at))
	if r.TEE != tee.NitroEnclave || !r.At.Equal(at) || !r.Simulated || r.Debug || !bytes.Equal(r.Data[:], data) {
		t.Errorf("got %+v", r)
	}
	if r.TCB.Status != tee.NotJudged || r.AMD != nil || r.FMSPC != "" {
		t.Errorf("got the TCB %+v, AMD %v, FMSPC %q", r.TCB, r.AMD, r.FMSPC)
	}
	for i, want := range nitrotest.DevPCRs() {
		if name := "pcr" + string(rune('0'+i)); i < 10 && !bytes.Equal(r.Measurements[name], want[:]) {
			t.Errorf("%s: got %x, want %x", name, r.Measurements[name], want)
		}
	}
	if len(r.Measurements) != 16 {
		t.Errorf("got the measurements %v, want pcr0 to pcr15", slices.Sorted(maps.Keys(r.Measurements)))
	}
	a := r.AWS
	if a.ModuleID != nitrotest.DevModuleID || !a.Timestamp.Equal(at) || string(a.Nonce) != "nonce" || string(a.PublicKey) != "key" || !bytes.Equal(a.UserData, data) {
		t.Errorf("got %+v", a)
	}
	if r.Collateral != m.Validity(at) || len(r.Basis) != 5 {
		t.Errorf("got the window %v on %d certificates, want %v on 5", r.Collateral, len(r.Basis), m.Validity(at))
	}
}

// TestUserData: 64 bytes are the report data; others are facts alone, and so is nothing.
func TestUserData(t *testing.T) {
	m := newModule(t, nitrotest.Config{})
	for _, n := range []int{0, 1, 32, 63, 65, 512} {
		data := bytes.Repeat([]byte{7}, n)
		r := genuine(t, m, m.Document(data, nil, nil, at))
		if r.Data != [64]byte{} || !bytes.Equal(r.AWS.UserData, data) || r.AWS.UserData == nil {
			t.Errorf("%d bytes: got %x and %x", n, r.Data, r.AWS.UserData)
		}
	}
	r := genuine(t, m, m.Document(nil, nil, nil, at))
	if r.Data != [64]byte{} || r.AWS.UserData != nil || r.AWS.Nonce != nil || r.AWS.PublicKey != nil {
		t.Errorf("nothing given: got %x and %+v", r.Data, r.AWS)
	}
}

// TestDebug: who has no measurement in the registers 0 to 2 is in debug mode.
func TestDebug(t *testing.T) {
	set := [48]byte{47: 1}
	for name, c := range map[string]struct {
		pcrs  map[int][48]byte
		debug bool
	}{
		"all three are zero":          {map[int][48]byte{0: {}, 1: {}, 2: {}, 8: set}, true},
		"one is set":                  {map[int][48]byte{0: {}, 1: {}, 2: set}, false},
		"none is there":               {map[int][48]byte{8: set}, true},
		"one is there, and is zero":   {map[int][48]byte{0: {}}, true},
		"one is there, and is set":    {map[int][48]byte{0: set}, false},
		"others are set, and not one": {map[int][48]byte{0: {}, 1: {}, 2: {}, 3: set, 4: set, 31: set}, true},
	} {
		m := newModule(t, nitrotest.Config{PCRs: c.pcrs})
		if r := genuine(t, m, m.Document(nil, nil, nil, at)); r.Debug != c.debug || len(r.Measurements) != len(c.pcrs) {
			t.Errorf("%s: got debug %v and %d measurements, want %v and %d", name, r.Debug, len(r.Measurements), c.debug, len(c.pcrs))
		}
	}
	m := newModule(t, nitrotest.Config{Debug: true})
	if r := genuine(t, m, m.Document(nil, nil, nil, at)); !r.Debug {
		t.Error("an enclave in debug mode is not told")
	}
}

// TestTag: COSE_Sign1 may have its tag, and says the same with it.
func TestTag(t *testing.T) {
	m := newModule(t, nitrotest.Config{Tagged: true})
	doc := m.Document(make([]byte, 64), nil, nil, at)
	if doc[0] != 0xd2 {
		t.Fatalf("got a document that begins with %#x, want the tag 18", doc[0])
	}
	genuine(t, m, doc)
	genuine(t, m, doc[1:])
}

// TestInstants: a document is good as long as its leaf is, both ends included, and one is needed to judge at.
func TestInstants(t *testing.T) {
	m := newModule(t, nitrotest.Config{})
	life := m.Validity(at)
	for name, c := range map[string]struct {
		made, judged time.Time
		want         string // "": genuine
	}{
		"the leaf's first second":     {life.NotBefore, life.NotBefore, ""},
		"before it":                   {life.NotBefore, life.NotBefore.Add(-time.Second), "not valid before 2026-03-01T12:00:00Z, judged at 2026-03-01T11:59:59Z"},
		"the leaf's last second":      {at, life.NotAfter, ""},
		"after it":                    {at, life.NotAfter.Add(time.Second), "not valid after 2026-03-01T15:00:00Z"},
		"within the life, but before": {at, life.NotBefore, ""}, // the checker's clock is behind
		"no instant":                  {at, time.Time{}, "not valid before"},
	} {
		_, err := verify(t, m, m.Document(nil, nil, nil, c.made), c.judged)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// TestRoots: a development root passes under itself alone, whatever its name.
func TestRoots(t *testing.T) {
	ours, other := newModule(t, nitrotest.Config{}), newModule(t, nitrotest.Config{Seed: bytes.Repeat([]byte{1}, 32)})
	lookalike := newModule(t, nitrotest.Config{Lookalike: true})
	aws := awsRoot(t)
	if !bytes.Equal(lookalike.Root().RawSubject, aws.RawSubject) {
		t.Errorf("the lookalike has the subject %x, want that of AWS's root, %x", lookalike.Root().RawSubject, aws.RawSubject)
	}
	doc := ours.Document(make([]byte, 64), nil, nil, at)
	if r := genuine(t, ours, doc); !r.Simulated {
		t.Error("it is not called simulated")
	}
	e := &tee.Evidence{Platform: tee.Nitro, Quote: doc}
	for name, c := range map[string]struct {
		verifier nitro.Verifier
		doc      []byte
	}{
		"another root":                  {nitro.Verifier{Root: other.Root()}, doc},
		"AWS's root":                    {nitro.Verifier{}, doc},
		"AWS's root, named":             {nitro.Verifier{Root: aws}, doc},
		"a lookalike under AWS's root":  {nitro.Verifier{}, lookalike.Document(nil, nil, nil, at)},
		"ours under a lookalike's root": {nitro.Verifier{Root: lookalike.Root()}, doc},
	} {
		e.Quote = c.doc
		if r, err := c.verifier.Verify(t.Context(), e, at); r != nil || !errors.Is(err, nitro.ErrUntrustedRoot) {
			t.Errorf("%s: got %v and %v, want ErrUntrustedRoot", name, r, err)
		}
	}
}

// TestNotAsked: what is of another platform or comes too late is not looked at.
func TestNotAsked(t *testing.T) {
	m := newModule(t, nitrotest.Config{})
	v := &nitro.Verifier{Root: m.Root()}
	if v.Platform() != tee.Nitro {
		t.Errorf("got the platform %q", v.Platform())
	}
	doc := m.Document(nil, nil, nil, at)
	if _, err := v.Verify(t.Context(), &tee.Evidence{Platform: tee.DCAP, Quote: doc}, at); err == nil || !strings.Contains(err.Error(), `platform "dcap", want "nitro"`) {
		t.Errorf("got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Verify(ended, &tee.Evidence{Platform: tee.Nitro, Quote: doc}, at); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	for _, empty := range [][]byte{nil, {}, {0xd2}, {0x84}} {
		if _, err := verify(t, m, empty, at); err == nil {
			t.Errorf("%x is genuine", empty)
		}
	}
}
