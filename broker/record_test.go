package broker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// edit changes one member of the only record.
func (s *shelf) edit(t *testing.T, change func(map[string]any)) {
	t.Helper()
	for name, text := range s.records {
		var r map[string]any
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		change(r)
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		s.records[name] = again
	}
}

func TestDamagedRecords(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	other, err := jose.GenerateKey(jose.ES256, 0)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := (&tlsKeys{config: &Config{Issuer: brokerURL, RotateEvery: time.Hour}, digest: func() (d [32]byte) { return d }}).withoutEvidence(other, noon)
	if err != nil {
		t.Fatal(err)
	}
	set := func(member string, value any) func(*testing.T, *shelf) {
		return func(t *testing.T, s *shelf) { s.edit(t, func(r map[string]any) { r[member] = value }) }
	}
	whole := func(text string) func(*testing.T, *shelf) {
		return func(_ *testing.T, s *shelf) {
			for name := range s.records {
				s.records[name] = []byte(text)
			}
		}
	}
	for says, damage := range map[string]func(*testing.T, *shelf){
		"not JSON":                      whole("{"),
		"not a JSON object":             whole(`[]`),
		"not JSON at byte":              whole(""),
		"a member name stands twice":    whole(`{"version":1,"version":1}`),
		"got 262146 bytes":              whole(strings.Repeat(" ", MaxRecord+2)),
		"got version 2, want 1":         set("version", 2),
		"got version 0":                 func(t *testing.T, s *shelf) { s.edit(t, func(r map[string]any) { delete(r, "version") }) },
		"JSON member /more":             set("more", 1),
		`got kid \"x\"`:                 set("kid", "x"),
		`got alg \"none\"`:              set("alg", "none"),
		"does not fit alg":              set("alg", "RS256"),
		"got token_lifetime 0":          set("token_lifetime", 0),
		"got token_lifetime 86401":      set("token_lifetime", 86401),
		"no instant of this age":        set("retired", -1),
		"no instant of this age ":       set("evidence_end", 1<<50),
		"of another issuer's key":       set("issuer", "https://other.example.com"),
		"certificate: x509":             set("certificate", "AAAA"),
		"of another key than kid names": nil,
		"it carries no evidence":        nil,
	} {
		t.Run(says, func(t *testing.T) {
			c, s := newClock(noon), newShelf()
			old := started(t, c, s, p, nil).ring.current.Load().key.id
			switch says {
			case "it carries no evidence":
				damage = set("certificate", plain.cert.Raw)
			case "of another key than kid names":
				f := started(t, c, newShelf(), p, nil)
				damage = set("certificate", f.ring.current.Load().key.evidence.cert.Raw)
			}
			damage(t, s)
			was := s.records[old]
			var log bytes.Buffer
			f := started(t, c, s, p, func(c *Config) { c.Logger = slog.New(slog.NewJSONHandler(&log, nil)) })
			if ids := f.published(t); len(ids) != 1 || !bytes.Equal(s.records[old], was) {
				t.Errorf("got %v, or the record was touched", ids)
			}
			if !strings.Contains(log.String(), strings.TrimSpace(says)) || !strings.Contains(log.String(), old) {
				t.Errorf("got the log %s, want … %s", &log, says)
			}
			if h := f.health(); h.Status != healthReady || h.State.Unread == (says == "of another issuer's key") {
				t.Errorf("got %+v, %+v", h, h.State)
			}
			f.exchangeFor(t, p)
		})
	}
}

// Who can write to the state can have us publish genuine evidence of other software. Checkers refuse it as they would anywhere.
func TestForeignKeyGainsNothing(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	hardware, err := simulated.New(simulated.Config{Now: noon, Seed: bytes.Repeat([]byte{7}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	other, err := simulated.New(simulated.Config{Now: noon, Seed: bytes.Repeat([]byte{7}, 32), MRENCLAVE: [32]byte{6}}) // on the same platform
	if err != nil {
		t.Fatal(err)
	}
	c, s := newClock(noon), newShelf()
	foreign := started(t, c, s, p, func(c *Config) { c.Quoter = other }) // another build, under the same issuer URL
	forged := foreign.exchangeFor(t, p)
	f := started(t, c, s, p, func(c *Config) { c.Quoter = hardware })
	if ids := f.published(t); len(ids) != 2 {
		t.Fatalf("got %v", ids)
	}
	keys, err := attest.ParseKeys(t.Context(), f.ring.published.Load().body, attest.Config{
		Policy: &attest.Policy{
			Builds: []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": simulated.DevMRENCLAVE[:]}}},
			Issuer: brokerURL, SimulatedRoot: "root.pem",
		},
		Now: c.now, Platforms: []attest.Verifier{&dcap.Verifier{Root: hardware.Root(), Collateral: hardware.Collateral()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := ctb.NewVerifier(ctb.Config{Issuer: brokerURL, Audience: "https://api.example.com/a", Keys: keys, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), f.exchangeFor(t, p)); err != nil {
		t.Errorf("our token: %v", err)
	}
	if _, err := v.Verify(t.Context(), forged); err == nil || !strings.Contains(err.Error(), "mrenclave") {
		t.Errorf("the other build's token: got %v, want it refused for its mrenclave", err)
	}
}

// Who fills the state can keep a broker from signing, as who stops it can, for as long as a token may live. The key set stays readable.
func TestStateIsFilled(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	c, s := newClock(noon), newShelf()
	f := started(t, c, s, p, nil)
	template := f.ring.current.Load().key
	for range 3 * jose.MaxKeys {
		private, err := jose.GenerateKey(jose.ES256, 0)
		if err != nil {
			t.Fatal(err)
		}
		plan := f.config.signingPlan(template.digest)
		evidence, err := f.quoting.certify(t.Context(), private, plan)
		if err != nil {
			t.Fatal(err)
		}
		k := &signingKey{id: evidence.id, algorithm: jose.ES256, lifetime: 24 * time.Hour, evidence: evidence}
		if s.records[k.id], err = k.record(brokerURL).marshal(); err != nil {
			t.Fatal(err)
		}
	}
	f = started(t, c, s, p, nil)
	ids := f.published(t)
	if len(ids) > jose.MaxKeys {
		t.Fatalf("got %d keys", len(ids))
	}
	if f.health().Status != healthUnready {
		t.Errorf("got %+v, want no key in use for which there is no room", f.health())
	}
	for h := 1; h <= 26; h++ {
		f.at(t, time.Duration(h)*time.Hour)
	}
	f.verify(t, f.exchangeFor(t, p))
	if n := len(f.published(t)); n > 2 {
		t.Errorf("got %d keys", n)
	}
}

func FuzzRecord(f *testing.F) {
	s := newShelf()
	p := newIDP(f, "https://idp.example.com/", "ES256")
	newFixture(f, func(c *Config) { c.State = s }, p)
	for name, text := range s.records {
		f.Add(name, text)
		f.Add(name, text[:len(text)/2])
		f.Add("x", bytes.ReplaceAll(text, []byte(name), []byte("x")))
	}
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		r, err := parseRecord(name, text)
		if err != nil || len(text) > MaxRecord-len(`"issuer":"",`) { // what others leave out and we don't may not fit
			return
		}
		again, err := r.marshal()
		if err != nil {
			t.Fatal(err)
		}
		second, err := parseRecord(name, again)
		if err != nil {
			t.Fatal(err)
		}
		if third, err := second.marshal(); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("got %s, %v, want %s", third, err, again)
		}
		if k, err := restored(r, noon, noon); err != nil || k.id != name || k.held() || fmt.Sprint(k.goneAt()) == "" {
			t.Fatal(err)
		}
	})
}
