package kds_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// source says what it was told to, and counts.
type source struct {
	mu    sync.Mutex
	c     *kds.Collateral
	err   error
	asked int
}

func (s *source) says(c *kds.Collateral, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.c, s.err = c, err
}

func (s *source) count() int { s.mu.Lock(); defer s.mu.Unlock(); return s.asked }

func (s *source) Collateral(context.Context, kds.Platform) (*kds.Collateral, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.c, s.err
}

// pantry is a platform, a source and a cache before it.
type pantry struct {
	*source
	cache *kds.Cache
	about kds.Platform

	clock sync.Mutex
	now   time.Time
}

func (p *pantry) time() time.Time { p.clock.Lock(); defer p.clock.Unlock(); return p.now }

func (p *pantry) pass(d time.Duration) { p.clock.Lock(); defer p.clock.Unlock(); p.now = p.now.Add(d) }

func newPantry(t testing.TB, chip *snptest.Platform, dir string) *pantry {
	t.Helper()
	p := &pantry{source: new(source), now: t0, about: about(t, chip)}
	cache, err := kds.NewCache(kds.CacheConfig{Source: p, Root: chip.Root(), Dir: dir, Now: p.time})
	if err != nil {
		t.Fatal(err)
	}
	cache.SetRandom(func() float64 { return 1 })
	p.cache = cache
	return p
}

// made is the platform's collateral of that instant.
func made(t testing.TB, at time.Time, change func(*snptest.Config)) *kds.Collateral {
	t.Helper()
	c := snptest.Config{Now: func() time.Time { return at }}
	if change != nil {
		change(&c)
	}
	return platform(t, c).Certificates()
}

var errDown = errors.New("the source is down")

// TestCache: collateral is asked for once a day, and what is good is used while there is nothing better, until it ends.
func TestCache(t *testing.T) {
	chip := platform(t, snptest.Config{})
	p := newPantry(t, chip, "")
	good := chip.Certificates()
	p.says(good, nil)
	for range 3 {
		if got, err := p.cache.Collateral(t.Context(), p.about); err != nil || got != good {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if p.count() != 1 || p.cache.Err() != nil {
		t.Errorf("asked %d times; %v", p.count(), p.cache.Err())
	}
	status := p.cache.Status()
	if len(status) != 1 || status[0].Platform != p.about || !status[0].Issued.Equal(t0.Add(-time.Hour)) || !status[0].NextRefresh.Equal(t0.Add(kds.DefaultRefresh)) || status[0].Window.NotAfter.Sub(t0) != 45*24*time.Hour {
		t.Errorf("got %+v", status)
	}
	p.says(nil, errDown)
	p.pass(44 * 24 * time.Hour)
	p.cache.Refresh(t.Context())
	if got, err := p.cache.Collateral(t.Context(), p.about); err != nil || got != good || !errors.Is(p.cache.Err(), errDown) {
		t.Errorf("got %v, %v; %v", got, err, p.cache.Err())
	}
	p.pass(2 * 24 * time.Hour)
	if got, err := p.cache.Collateral(t.Context(), p.about); got != nil || !errors.Is(err, errDown) || !strings.Contains(err.Error(), "valid from 2026-03-01T11:00:00Z to 2026-04-15T12:00:00Z only") {
		t.Errorf("got %v, %v, want nothing beyond its end", got, err)
	}
}

// TestLies: what a source says is believed only if AMD, or the development root, said it about this chip, and it is not of before.
func TestLies(t *testing.T) {
	chip := platform(t, snptest.Config{})
	good := chip.Certificates()
	later := t0.Add(kds.DefaultRefresh)
	for name, c := range map[string]struct {
		says *kds.Collateral
		want string
	}{
		"nothing":                   {nil, "no collateral"},
		"no list":                   {&kds.Collateral{Leaf: good.Leaf, CA: good.CA, Root: good.Root}, "the revocation list is missing"},
		"no certificate of the key": {&kds.Collateral{CRL: good.CRL, CA: good.CA, Root: good.Root}, "the VCEK certificate is missing"},
		"another chip":              {made(t, later, func(c *snptest.Config) { c.Chip = 1 }), "not the given development root"},
		"another chip of the maker": {with(good, func(c *kds.Collateral) { c.Leaf = leafOf(t, snptest.Config{Chip: 1}) }), "it is of the chip"},
		"another TCB":               {with(good, func(c *kds.Collateral) { c.Leaf = leafOf(t, snptest.Config{TCB: tee.AMDTCB{SNP: 1}}) }), "it is for the TCB"},
		"another product":           {made(t, later, func(c *snptest.Config) { c.Product = kds.Genoa }), "not the given development root"},
		"the cloud's key": {with(good, func(c *kds.Collateral) {
			v := made(t, t0, func(c *snptest.Config) { c.SignedBy = kds.VLEK })
			c.CA, c.Leaf = v.CA, v.Leaf
		}), "the CA certifies a vlek"},
		"a list of before":       {with(good, func(c *kds.Collateral) { c.CRL = listOf(t, chip, t0.Add(-time.Hour)) }), "revocation list: got one of 2026-03-01T10:00:00Z, want none before 2026-03-01T11:00:00Z"},
		"a list that ended":      {with(good, func(c *kds.Collateral) { c.CRL = listOf(t, chip, t0.AddDate(0, -3, 0)) }), "revocation list: valid from"},
		"a list that is to come": {with(good, func(c *kds.Collateral) { c.CRL = listOf(t, chip, t0.AddDate(0, 3, 0)) }), "revocation list: valid from"},
		"a list that is none":    {with(good, func(c *kds.Collateral) { c.CRL = good.CA }), "revocation list: "},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPantry(t, chip, "")
			p.says(good, nil)
			if _, err := p.cache.Collateral(t.Context(), p.about); err != nil {
				t.Fatal(err)
			}
			p.says(c.says, nil)
			p.pass(kds.DefaultRefresh)
			p.cache.Refresh(t.Context())
			if got, err := p.cache.Collateral(t.Context(), p.about); err != nil || got != good {
				t.Errorf("got %v, %v, want what is good", got, err)
			}
			wantError(t, p.cache.Err(), c.want)
		})
	}
}

func with(c *kds.Collateral, change func(*kds.Collateral)) *kds.Collateral {
	d := *c
	change(&d)
	return &d
}

func leafOf(t testing.TB, c snptest.Config) []byte { return platform(t, c).Certificates().Leaf }

// listOf is the list that the root of chip signed at that instant. All development roots have one key.
func listOf(t testing.TB, chip *snptest.Platform, at time.Time) []byte {
	t.Helper()
	return platform(t, snptest.Config{CRL: func(l *x509.RevocationList) {
		l.ThisUpdate, l.NextUpdate = at.Add(-time.Hour), at.Add(45*24*time.Hour)
	}}).CRL()
}

// TestRevokedIsTold: a cache does not hide behind an older list that the CA is revoked.
func TestRevokedIsTold(t *testing.T) {
	chip := platform(t, snptest.Config{})
	p := newPantry(t, chip, "")
	p.says(chip.Certificates(), nil)
	if _, err := p.cache.Collateral(t.Context(), p.about); err != nil {
		t.Fatal(err)
	}
	revoked := with(chip.Certificates(), func(c *kds.Collateral) { c.CRL = platform(t, snptest.Config{Revoked: true}).CRL() })
	p.says(revoked, nil)
	p.pass(kds.DefaultRefresh)
	p.cache.Refresh(t.Context())
	got, err := p.cache.Collateral(t.Context(), p.about)
	if err != nil || got != revoked {
		t.Fatalf("got %v, %v", got, err)
	}
	ch, err := got.Verify(chip.Root())
	if err != nil || !errors.Is(ch.Revoked(), tee.ErrRevoked) {
		t.Errorf("got %v, %v", ch, err)
	}
}

// TestDisk: a program that starts anew needs no network, and believes no file.
func TestDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	chip := platform(t, snptest.Config{})
	first := newPantry(t, chip, dir)
	good := chip.Certificates()
	first.says(good, nil)
	if _, err := first.cache.Collateral(t.Context(), first.about); err != nil {
		t.Fatal(err)
	}
	first.cache.Refresh(t.Context()) // its flight has written the file
	name := filepath.Join(dir, kds.FileName(first.about))
	if want := "milan-vcek-" + hwid + "-7308000000000003.json"; filepath.Base(name) != want {
		t.Errorf("got the file %s, want %s", filepath.Base(name), want)
	}
	again := newPantry(t, chip, dir)
	again.says(nil, errDown)
	if got, err := again.cache.Collateral(t.Context(), again.about); err != nil || !reflect.DeepEqual(got, good) || again.count() != 0 {
		t.Errorf("got %v, %v, asked %d times", got, err, again.count())
	}
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for want, content := range map[string][]byte{
		"want a JSON object": nil, "malformed JSON": whole[:len(whole)/2], `got the name "CA"`: bytes.Replace(whole, []byte(`"ca"`), []byte(`"CA"`), 1),
		"it is of the chip": with(good, func(c *kds.Collateral) { c.Leaf = leafOf(t, snptest.Config{Chip: 9}) }).Marshal(),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		c := newPantry(t, chip, dir)
		c.says(nil, errDown)
		if got, err := c.cache.Collateral(t.Context(), c.about); got != nil || !errors.Is(err, errDown) {
			t.Errorf("%s: got %v, %v", want, got, err)
		}
		wantError(t, c.cache.Err(), want, "on disk")
	}
}

// TestConfigOfACache: what would not work is refused at once.
func TestConfigOfACache(t *testing.T) {
	for _, c := range []kds.CacheConfig{{}, {Source: new(source), Refresh: -1}, {Source: new(source), MaxPlatforms: -1}} {
		if _, err := kds.NewCache(c); err == nil {
			t.Errorf("%+v: was taken", c)
		}
	}
	p := newPantry(t, platform(t, snptest.Config{}), "")
	_, err := p.cache.Collateral(t.Context(), kds.Platform{Product: "../x", SignedBy: kds.VCEK})
	wantError(t, err, "platform: product")
}
