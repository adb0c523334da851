package broker

import (
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/exchange"
)

// When the clock is set, a key is made whose evidence is valid at the new time, and the page is honest until then.
func TestClockIsSet(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	for name, step := range map[string]time.Duration{"forward": 96 * time.Hour, "back": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil, p)
			if _, err := f.TLSCertificate(); err != nil {
				t.Fatal(err)
			}
			f.at(t, 24*time.Hour-announceFor) // a key is announced, for a time that will not come
			f.clock.nanos.Store(noon.Add(step).UnixNano())
			if _, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: p.token(t, f.clock.now())}); codeOf(err) != exchange.TemporarilyUnavailable || f.health().Status != healthUnready {
				t.Errorf("got %v, %+v, want no token without valid evidence", err, f.health())
			}
			f.at(t, step)
			f.verify(t, f.exchangeFor(t, p)) // with new evidence for the same key
			if c, err := f.TLSCertificate(); err != nil || f.clock.now().Before(c.Leaf.NotBefore) || f.clock.now().After(c.Leaf.NotAfter) {
				t.Errorf("the TLS certificate is not valid: %v", err)
			}
			f.at(t, step+announceFor)
			f.verify(t, f.exchangeFor(t, p))
			if f.health().Status != healthReady {
				t.Errorf("got %+v", f.health())
			}
		})
	}
}

// Instants that are kept must not have the monotonic reading of the clock, which does not follow when it is set.
func TestInstantsAreOfTheWall(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, func(c *Config) { c.Now = time.Now }, p)
	if err := f.SetRules(t.Context(), parseRules(t, ruleFile("-new", p))); err != nil {
		t.Fatal(err)
	}
	if _, err := f.TLSCertificate(); err != nil {
		t.Fatal(err)
	}
	key, tls := f.ring.current.Load().key, f.tls.own.Load()
	for name, at := range map[string]time.Time{
		"since": key.since, "from": key.from, "until": key.until, "useNext": f.ring.useNext, "renewAt": key.evidence.renewAt,
		"TLS issued": tls.issued, "TLS renewAt": tls.renewAt, "TLS until": tls.useUntil,
	} {
		if at.IsZero() || at != at.Round(0) {
			t.Errorf("%s is %v", name, at)
		}
	}
}

// A wait for the next attempt ends when the clock is set back before it began.
func TestClockIsSetBackDuringTrouble(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	f.hardware.broken.Store(true)
	f.at(t, 24*time.Hour)
	if f.ring.making.err == nil {
		t.Fatal("no attempt was made")
	}
	f.hardware.broken.Store(false)
	f.at(t, -24*time.Hour)
	if h := f.health(); f.ring.making.err != nil || h.Status != healthReady {
		t.Errorf("the key in use is not certified anew: %v, %+v", f.ring.making.err, h)
	}
}
