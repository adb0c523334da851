package broker

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/confidential-token-broker/ctb/rules"
)

// at moves the clock to d after noon and lets the ring do what is due.
func (f *fixture) at(t *testing.T, d time.Duration) {
	t.Helper()
	f.clock.nanos.Store(noon.Add(d).UnixNano())
	f.ring.advance(t.Context())
}

// published are the key ids of the key set, in its order.
func (f *fixture) published(t *testing.T) []string {
	t.Helper()
	set, err := jose.ParseSet(f.ring.published.Load().body)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range set {
		if k.Err != nil {
			t.Fatal(k.Err)
		}
		ids = append(ids, k.KeyID)
	}
	return ids
}

func TestLifeOfAKey(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, func(c *Config) { c.RotateEvery = 6 * time.Hour }, p)
	first := f.ring.current.Load().key
	keys := func(at time.Duration, n int) []string {
		t.Helper()
		f.at(t, at)
		got := f.published(t)
		if len(got) != n || got[0] != f.ring.current.Load().key.id {
			t.Fatalf("at %v: got keys %v, want %d with the one in use first", at, got, n)
		}
		return got
	}
	const rotate = 6 * time.Hour
	keys(0, 1)
	keys(rotate-announceFor-time.Second, 1)
	announced := keys(rotate-announceFor, 2)[1]
	old := f.exchangeFor(t, p)
	keys(rotate-time.Second, 2)
	if used := f.verify(t, f.exchangeFor(t, p)).KeyID; used != first.id {
		t.Errorf("the announced key %s signs before its time", used)
	}
	if got := keys(rotate, 2); got[0] != announced || got[1] != first.id {
		t.Fatalf("got %v, want %s in use and %s retired", got, announced, first.id)
	}
	if used := f.verify(t, f.exchangeFor(t, p)).KeyID; used != announced {
		t.Errorf("%s signs, want %s", used, announced)
	}
	f.verify(t, old)
	// The last token of the first key was given a second before the change and lives for an hour.
	keys(rotate-time.Second+time.Hour+ctb.Leeway-time.Second, 2)
	keys(rotate-time.Second+time.Hour+ctb.Leeway, 1)
	if err := first.reserve(noon.Add(9 * time.Hour)); !errors.Is(err, errNoKey) {
		t.Errorf("a key that left the set may sign: %v", err)
	}
}

// What the evidence says is what the key does.
func TestEvidenceOutlivesEveryToken(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	set, err := jose.ParseSet(f.ring.published.Load().body)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(set[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	key := f.ring.current.Load().key
	if last := key.until.Add(24*time.Hour + ctb.Leeway); cert.NotAfter.Before(last) {
		t.Errorf("the evidence ends %v, the last token may live until %v", cert.NotAfter, last)
	}
	a := appraise(t, cert)
	if b := a.Binding; b.Use != attest.UseSignature || b.Issuer != brokerURL || b.RulesDigest != f.ring.current.Load().rules.Digest() || !b.Expires.Equal(cert.NotAfter) {
		t.Errorf("bound: %+v", b)
	}
}

// appraise verifies the evidence, at the time when it was made.
func appraise(t *testing.T, cert *x509.Certificate) *attest.Appraisal {
	t.Helper()
	p, _ := platform()
	verifier := &dcap.Verifier{Root: p.Root(), Collateral: p.Collateral()}
	made := cert.NotBefore.Add(ctb.Leeway)
	a, err := attest.Appraise(t.Context(), cert, attest.DICE, []attest.Verifier{verifier}, made, made)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestNewRulesAndTheirKeyTakeEffectTogether(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	before := f.ring.current.Load()
	next := parseRules(t, ruleFile("-new", p))
	if err := f.SetRules(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if ids := f.published(t); len(ids) != 2 {
		t.Fatalf("got keys %v, want the next one announced", ids)
	}
	if h := f.health(); h.Announced == nil || h.Announced.Rules != next.DigestString() || h.Rules == next.DigestString() {
		t.Errorf("health: %+v", h)
	}
	f.exchangeFor(t, p)
	if e := f.audit.last(t); e.Rule != "rule-0" || e.KeyID != before.key.id {
		t.Errorf("before their time: %+v", e)
	}
	f.at(t, announceFor-time.Second)
	if f.ring.current.Load() != before {
		t.Fatal("the rules took effect too early")
	}
	f.at(t, announceFor)
	f.exchangeFor(t, p)
	if e := f.audit.last(t); e.Rule != "rule-0-new" || e.KeyID == before.key.id {
		t.Errorf("after: %+v", e)
	}
	if now := f.ring.current.Load(); now.key.digest != next.Digest() || now.issuers[p.name] != before.issuers[p.name] {
		t.Error("another digest, or the provider's cached keys are lost")
	}
}

func TestEqualRulesChangeNothing(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	quotes := f.hardware.quotes.Load()
	if err := f.SetRules(t.Context(), parseRules(t, ruleFile("", p))); err != nil {
		t.Fatal(err)
	}
	if len(f.published(t)) != 1 || f.hardware.quotes.Load() != quotes {
		t.Error("equal rules made a key")
	}
}

func TestLaterRulesReplaceAnnouncedOnes(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	set := func(comment string, after time.Duration) {
		t.Helper()
		f.clock.nanos.Store(noon.Add(after).UnixNano())
		if err := f.SetRules(t.Context(), parseRules(t, ruleFile(comment, p))); err != nil {
			t.Fatal(err)
		}
	}
	set("-two", 0)
	second := f.published(t)[1]
	set("-three", time.Minute)
	ids := f.published(t)
	if len(ids) != 2 || ids[1] == second {
		t.Fatalf("got %v, want the key %s gone, which signed nothing", ids, second)
	}
	f.at(t, announceFor)
	if e := f.ring.current.Load(); e.key.id == ids[1] {
		t.Error("the third rules took the second's time")
	}
	f.at(t, time.Minute+announceFor)
	if e := f.ring.current.Load(); e.key.id != ids[1] {
		t.Error("the third rules did not take effect")
	}
	// Back to what is in force, while something else is announced: nothing is to be done.
	set("-four", 10*time.Minute)
	set("-three", 11*time.Minute)
	if got := f.published(t); len(got) != 1 || got[0] != ids[1] || f.health().Status != healthReady {
		t.Errorf("got %v, %+v", got, f.health())
	}
	f.at(t, 20*time.Minute)
	if e := f.ring.current.Load(); e.key.id != ids[1] {
		t.Error("withdrawn rules took effect")
	}
}

func TestWithoutEvidenceTheOldKeyServesAndSaysSo(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	first := f.ring.current.Load()
	f.hardware.broken.Store(true)
	if err := f.SetRules(t.Context(), parseRules(t, ruleFile("-new", p))); err != nil {
		t.Fatal(err)
	}
	f.exchangeFor(t, p)
	if h := f.health(); h.Status != healthDegraded || len(h.Reasons) != 1 || strings.Contains(h.Reasons[0], "answer") {
		t.Errorf("health: %+v", h)
	}
	// It is tried again after 1 s, 2 s, 4 s …, a minute at most.
	var attempts []time.Duration
	last := f.ring.making.failures
	for s := range 200 {
		f.at(t, time.Duration(s)*time.Second)
		if f.ring.making.failures != last {
			last = f.ring.making.failures
			attempts = append(attempts, time.Duration(s)*time.Second)
		}
	}
	if want := []time.Duration{1, 3, 7, 15, 31, 63, 123, 183}; len(attempts) != len(want) || attempts[3] != 15*time.Second || attempts[7] != 183*time.Second {
		t.Errorf("attempts at %v, want seconds %v", attempts, want)
	}
	f.hardware.broken.Store(false)
	f.at(t, 5*time.Minute)
	f.at(t, 5*time.Minute+announceFor)
	if e := f.ring.current.Load(); e == first || f.health().Status != healthReady {
		t.Errorf("the new rules are not in force when evidence can be had again: %+v", f.health())
	}
}

func TestEvidenceFailsAtRotation(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	f.hardware.broken.Store(true)
	for h := range 49 {
		f.at(t, time.Duration(h)*time.Hour)
		f.exchangeFor(t, p) // the old key, in its reserve
	}
	if f.health().Status != healthDegraded {
		t.Errorf("health: %+v", f.health())
	}
	f.at(t, 49*time.Hour)
	_, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: p.token(t, f.clock.now())})
	if codeOf(err) != exchange.TemporarilyUnavailable || f.health().Status != healthUnready {
		t.Errorf("got %v, %+v: want no token of a key that has served its time", err, f.health())
	}
	f.hardware.broken.Store(false)
	f.at(t, 50*time.Hour)
	f.at(t, 51*time.Hour)
	f.verify(t, f.exchangeFor(t, p))
}

// The key set stays readable however often the rules change, and they change without waiting until then.
func TestRetiredKeysAreBounded(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	daily := func(comment string) *rules.Set {
		return parseRules(t, bytes.ReplaceAll(ruleFile(comment, p), []byte(`"expiration":3600`), []byte(`"expiration":86400`)))
	}
	f := newFixture(t, func(c *Config) { c.Rules = daily("") }, p)
	waited := 0
	for i := range 110 {
		f.at(t, time.Duration(i)*announceFor)
		f.exchangeFor(t, p)
		_ = f.SetRules(t.Context(), daily(fmt.Sprint("-", i)))
		if n := len(f.published(t)); n > jose.MaxKeys {
			t.Fatalf("%d keys are published", n)
		}
		if f.health().Status == healthDegraded && waited == 0 {
			waited = i
		}
	}
	if waited != jose.MaxKeys-1 {
		t.Errorf("change %d had to wait, want the one with which the readers' bound is reached", waited)
	}
	f.at(t, 30*time.Hour)
	f.at(t, 31*time.Hour)
	if e := f.ring.current.Load(); e.rules.Digest() != f.ring.wanted.Digest() || f.health().Status != healthReady {
		t.Errorf("the newest rules never take effect: %+v", f.health())
	}
}

// Keys that are rotated faster than their tokens expire would fill the key set.
func TestRotationFitsTheLifetimes(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	longer := parseRules(t, bytes.Replace(ruleFile("", p), []byte(`"expiration":3600`), []byte(`"expiration":7200`), 1))
	f := newFixture(t, func(c *Config) { c.RotateEvery = 5 * time.Minute }, p)
	const want = "got 5m0s with access tokens that live 2h0m0s, want 5m3s or more"
	if err := f.SetRules(t.Context(), longer); err == nil || !strings.Contains(err.Error(), want) || len(f.published(t)) != 1 {
		t.Errorf("got %v, want … %s", err, want)
	}
	c := f.config
	c.Rules = longer
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want … %s", err, want)
	}
	c.RotateEvery += 3 * time.Second
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// While keys rotate and rules change, every token verifies against the key set
// of that moment, and its key's evidence names the rules that decided.
func TestExchangesDuringChange(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, func(c *Config) { c.RotateEvery = minRotateEvery }, p)
	digests := map[string][32]byte{} // by the name of the rule
	var sets [][]byte
	for _, comment := range []string{"", "-1", "-2", "-3"} {
		text := ruleFile(comment, p)
		sets = append(sets, text)
		digests["rule-0"+comment] = parseRules(t, text).Digest()
	}
	var bound sync.Map // key id to the digest that its certificate was made for
	note := func() {
		f.ring.mu.Lock()
		defer f.ring.mu.Unlock()
		for _, e := range []*epoch{f.ring.current.Load(), f.ring.next} {
			if e != nil {
				bound.Store(e.key.id, e.rules.Digest())
			}
		}
	}
	note()
	raw := p.token(t, noon, map[string]any{"exp": noon.Add(1000 * time.Hour).Unix()})
	ctx, cancel := context.WithCancel(t.Context())
	var askers sync.WaitGroup
	issued := make([]int, 3)
	for i := range issued {
		askers.Go(func() {
			for ctx.Err() == nil {
				event := f.newEvent(asker{})
				response, err := f.issue(context.WithoutCancel(ctx), event, strict, &exchange.Request{SubjectToken: raw})
				if err != nil {
					t.Errorf("refused: %v", err)
					return
				}
				token, err := f.verifier(t).Verify(t.Context(), response.AccessToken)
				if err != nil {
					t.Errorf("not verified: %v", err)
					return
				}
				if digest, ok := bound.Load(token.KeyID); !ok || digest != digests[event.Rule] {
					t.Errorf("%s decided, the key %s names other rules", event.Rule, token.KeyID)
					return
				}
				issued[i]++
			}
		})
	}
	used := map[string]bool{}
	for step := range 80 {
		if step%7 == 0 {
			if err := f.SetRules(t.Context(), parseRules(t, sets[step/7%len(sets)])); err != nil {
				t.Error(err)
			}
			note()
		}
		f.clock.add(41 * time.Second)
		f.ring.advance(t.Context())
		note()
		used[f.ring.current.Load().key.id] = true
		time.Sleep(time.Millisecond) // lets the askers in; nothing depends on it
	}
	cancel()
	askers.Wait()
	if len(used) < 10 {
		t.Errorf("only %d keys were used", len(used))
	}
	t.Logf("%v tokens under %d keys", issued, len(used))
}
