package broker

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// model is one broker after the other over one state, on hardware and a state that fail at random, with rules that change
// at random; and what a checker must find, whatever happens:
//
//   - a token verifies by the key set of each moment until it has expired, by a certificate that outlives it;
//   - its key was in the key set for the time of the caches before, unless there was no other that could sign;
//   - its key was kept before it was published, by a certificate that outlives the token;
//   - its key's evidence names the rules that decided, and never others;
//   - readers can read the key set.
type model struct {
	*fixture
	t      *testing.T
	random *rand.Rand
	idp    *idp
	state  *moody
	quotes attest.Quoter
	ending bool // evidence ends after some hours, so that what an outage leaves can't be verified for as long

	rules    [][]byte
	digests  map[string][32]byte // by the name of the rule
	bound    map[string][32]byte // what a key's certificates name, by its id
	judged   map[string]bool     // certificates
	shown    map[string]time.Time
	first    string                       // the first key of this run
	body     []byte                       // the key set that was read last
	there    map[string]*x509.Certificate // and what is in it
	tokens   []*modelToken
	issued   int
	restarts int
}

type modelToken struct {
	kid     string
	expires time.Time
}

// moody is a state that fails, before it has done what it was asked for or after.
type moody struct {
	*shelf
	random *rand.Rand
	bad    bool
}

var errMoody = errors.New("the disk is gone")

func (m *moody) Load(ctx context.Context) (map[string][]byte, error) {
	if m.bad && m.random.IntN(3) > 0 {
		return nil, errMoody
	}
	return m.shelf.Load(ctx)
}

func (m *moody) Keep(ctx context.Context, name string, record []byte) error {
	if m.bad && m.random.IntN(3) > 0 {
		return errMoody
	}
	err := m.shelf.Keep(ctx, name, record)
	if m.bad && m.random.IntN(2) == 0 {
		return errMoody // the record is there, and nobody knows
	}
	return err
}

func (m *moody) Forget(ctx context.Context, name string) error {
	if m.bad && m.random.IntN(2) == 0 {
		return errMoody
	}
	return m.shelf.Forget(ctx, name)
}

func TestRingModel(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	seeds := 10
	if testing.Short() {
		seeds = 3
	}
	issued, restarts := 0, 0
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newModel(t, p, uint64(seed))
			for range 250 {
				m.step()
			}
			m.recovers()
			issued, restarts = issued+m.issued, restarts+m.restarts
		})
	}
	if issued < seeds*20 || restarts < seeds {
		t.Errorf("%d tokens and %d restarts in %d runs: the model shows nothing", issued, restarts, seeds)
	}
}

func newModel(t *testing.T, p *idp, seed uint64) *model {
	random := rand.New(rand.NewPCG(seed, 17))
	h := newHardware(t)
	m := &model{
		t: t, random: random, idp: p, state: &moody{shelf: newShelf(), random: random}, quotes: h, ending: seed%2 == 1,
		fixture: &fixture{clock: newClock(noon), hardware: h, audit: &events{}},
		digests: map[string][32]byte{}, bound: map[string][32]byte{}, judged: map[string]bool{},
	}
	if m.ending {
		m.quotes = &ending{hardware: h, clock: m.clock, lasts: 3 * time.Hour}
	}
	for i := range 3 {
		name := fmt.Sprint("-", i)
		m.rules = append(m.rules, ruleFile(name, p))
		m.digests["rule-0"+name] = parseRules(t, m.rules[i]).Digest()
	}
	m.restart()
	return m
}

func (m *model) restart() {
	b, err := New(m.t.Context(), Config{
		Issuer: brokerURL, Quoter: m.quotes, Audit: m.audit, Now: m.clock.now, Client: trusting(10 * time.Second),
		Rules: parseRules(m.t, m.rules[m.random.IntN(len(m.rules))]), State: m.state, RotateEvery: time.Hour,
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.Broker, m.shown, m.first, m.body = b, map[string]time.Time{}, "", nil
	m.restarts++
	m.look()
}

// step does one thing at random, and looks.
func (m *model) step() {
	switch n := m.random.IntN(100); {
	case n < 45:
		m.pass([]time.Duration{time.Second, 20 * time.Second, time.Minute, 10 * time.Minute, 40 * time.Minute, 3 * time.Hour}[m.random.IntN(6)])
	case n < 50: // the machine slept
		m.clock.add(time.Duration(m.random.IntN(200)) * time.Minute)
		m.ring.advance(m.t.Context())
	case n < 58:
		m.hardware.broken.Store(m.random.IntN(2) == 0)
	case n < 66:
		m.state.bad = m.random.IntN(2) == 0
	case n < 72:
		if err := m.SetRules(m.t.Context(), parseRules(m.t, m.rules[m.random.IntN(len(m.rules))])); err != nil {
			m.t.Fatal(err)
		}
	case n < 76:
		m.restart()
	case n < 80:
		if c, err := m.TLSCertificate(); err != nil || m.clock.now().After(c.Leaf.NotAfter) || m.clock.now().Before(c.Leaf.NotBefore) {
			m.t.Errorf("got %v, %v, want a TLS certificate of now", c, err)
		}
	default:
		m.ask()
	}
	m.look()
}

// pass lets time pass, with a ring that does what is due when it is.
func (m *model) pass(d time.Duration) {
	for end := m.clock.now().Add(d); m.clock.now().Before(end); {
		due := earlier(m.ring.advance(m.t.Context()), end)
		m.look()
		m.clock.nanos.Store(max(due.UnixNano(), m.clock.now().Add(time.Second).UnixNano()))
	}
	m.ring.advance(m.t.Context())
}

// ask asks for a token, and tells whether there was one.
func (m *model) ask() bool {
	event := m.newEvent(asker{})
	response, err := m.issue(m.t.Context(), event, strict, &exchange.Request{SubjectToken: m.idp.token(m.t, m.clock.now())})
	if err != nil {
		if !errors.Is(err, errNoKey) {
			m.t.Fatal(err)
		}
		return false
	}
	m.issued++
	now := m.clock.now()
	m.verify(m.t, response.AccessToken)
	token := &modelToken{event.KeyID, now.Add(time.Hour)}
	m.tokens = append(m.tokens, token)
	since, ok := m.shown[token.kid]
	switch {
	case !ok:
		m.t.Fatalf("%s signs and was not published", token.kid)
	case now.Sub(since) < announceFor && token.kid != m.first:
		m.t.Fatalf("%s signs %v after it was published", token.kid, now.Sub(since))
	case m.bound[token.kid] != m.digests[event.Rule]:
		m.t.Fatalf("%s decided, and the evidence of the key names other rules", event.Rule)
	}
	kept, err := parseRecord(token.kid, m.state.records[token.kid])
	if err != nil || kept.cert.NotAfter.Before(token.expires) {
		m.t.Fatalf("what is kept of the key does not outlive the token: %v", err)
	}
	return true
}

// look is a checker's look at the key set.
func (m *model) look() {
	now := m.clock.now()
	there := m.read(now)
	if e := m.ring.current.Load(); m.first == "" && e.key != nil {
		m.first = e.key.id
	}
	if !m.ring.kept.loaded {
		return // nobody can know the keys of earlier runs
	}
	alive := m.tokens[:0]
	for _, token := range m.tokens {
		if !now.Before(token.expires.Add(ctb.Leeway)) {
			continue
		}
		alive = append(alive, token)
		cert := there[token.kid]
		if cert == nil || cert.NotAfter.Before(token.expires) || cert.NotBefore.After(now) {
			m.t.Fatalf("the key %s of a token that lives until %v can't be verified at %v", token.kid, token.expires, now)
		}
	}
	m.tokens = alive
}

// read reads the key set, if it is another than before.
func (m *model) read(now time.Time) map[string]*x509.Certificate {
	body := m.ring.published.Load().body
	if bytes.Equal(body, m.body) {
		return m.there
	}
	set, err := jose.ParseSet(body)
	if err != nil {
		m.t.Fatal(err)
	}
	there := map[string]*x509.Certificate{}
	for _, k := range set {
		if there[k.KeyID] = m.judge(k); m.shown[k.KeyID].IsZero() {
			m.shown[k.KeyID] = now
		}
		if !m.state.has(k.KeyID) {
			m.t.Fatalf("%s is published and not kept", k.KeyID)
		}
	}
	for kid := range m.shown {
		if there[kid] == nil {
			delete(m.shown, kid)
		}
	}
	m.body, m.there = body, there
	return there
}

// judge judges the evidence of a key, once.
func (m *model) judge(k jose.JWK) *x509.Certificate {
	if k.Err != nil {
		m.t.Fatal(k.Err)
	}
	cert, err := x509.ParseCertificate(k.Certificate[0])
	if err != nil {
		m.t.Fatal(err)
	}
	if m.judged[string(cert.Raw)] {
		return cert
	}
	m.judged[string(cert.Raw)] = true
	binding := appraise(m.t, cert).Binding
	if was, ok := m.bound[k.KeyID]; ok && was != binding.RulesDigest || binding.Issuer != brokerURL || binding.Use != attest.UseSignature {
		m.t.Fatalf("the evidence of %s names %+v", k.KeyID, binding)
	}
	m.bound[k.KeyID] = binding.RulesDigest
	return cert
}

// recovers mends everything: then the wanted rules are in force soon, and tokens are given.
func (m *model) recovers() {
	m.hardware.broken.Store(false)
	m.state.bad = false
	m.pass(maxRetryAfter + announceFor + time.Minute)
	if e := m.ring.current.Load(); e.rules.Digest() != m.ring.wanted.Digest() || !m.ask() {
		m.t.Errorf("the broker does not recover: %+v", m.health())
	}
	m.look()
}
