package broker

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// attestation reads the document from the broker's socket.
func (f *fixture) attestation(t testing.TB) *attest.Attestation {
	t.Helper()
	resp, text := f.get(t, "/.well-known/attestation")
	if resp.StatusCode != 200 {
		t.Fatalf("got %s: %s", resp.Status, text)
	}
	a, err := attest.ParseAttestation([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// named are the names of the document's keys for a use.
func named(a *attest.Attestation, use string) []string {
	var ids []string
	for _, k := range a.Keys {
		if k.Use == use {
			ids = append(ids, k.KeyID)
		}
	}
	return ids
}

func TestAttestationIsServed(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, func(c *Config) { c.Simulated = true }, p)
	const path = "/.well-known/attestation"
	resp, text := f.get(t, path)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Cache-Control") != "public, max-age=60" {
		t.Errorf("got %s %v", resp.Status, resp.Header)
	}
	a := f.attestation(t)
	if a.Issuer != brokerURL || !a.Simulated || a.RulesDigest != f.ring.current.Load().rules.DigestString() {
		t.Errorf("got issuer %q, simulated %v, rules %q", a.Issuer, a.Simulated, a.RulesDigest)
	}
	if got, want := fmt.Sprint(named(a, attest.UseSignature)), fmt.Sprint(f.published(t)); got != want {
		t.Errorf("got keys %s, want those of the key set, %s", got, want)
	}
	if got := named(a, attest.UseTLS); got != nil {
		t.Errorf("got TLS keys %v before one was made", got)
	}

	r, _ := http.NewRequest(http.MethodGet, f.server.URL+path, nil)
	r.Header.Set("If-None-Match", resp.Header.Get("Etag"))
	if resp, text := f.do(t, r); resp.StatusCode != http.StatusNotModified || text != "" {
		t.Errorf("the same again: got %s %s", resp.Status, text)
	}
	r.Method = http.MethodHead
	r.Header.Del("If-None-Match")
	if resp, _ := f.do(t, r); resp.StatusCode != 200 || resp.ContentLength != int64(len(text)) {
		t.Errorf("HEAD: got %s, length %d, want %d", resp.Status, resp.ContentLength, len(text))
	}

	// With the TLS key, the same path has another document.
	cert, err := f.TLSCertificate()
	if err != nil {
		t.Fatal(err)
	}
	with := f.attestation(t)
	if n := len(with.Keys); n != 2 || with.Keys[1].Use != attest.UseTLS || !bytes.Equal(with.Keys[1].Certificates[0], cert.Leaf.Raw) {
		t.Errorf("got %d keys, want the TLS key as the second", n)
	}
	if again, _ := f.get(t, path); again.Header.Get("Etag") == resp.Header.Get("Etag") {
		t.Error("another document has the same tag")
	}
}

// What is served is all that it takes to verify the keys, with nobody else to ask.
func TestAttestationVerifiesItsKeys(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, func(c *Config) { c.Original, c.Algorithm = true, "RS256" }, p)
	if _, err := f.TLSCertificate(); err != nil {
		t.Fatal(err)
	}
	hardware, err := platform()
	if err != nil {
		t.Fatal(err)
	}
	a := f.attestation(t)
	stapled, err := dcap.ParseCollateral(a.Collateral["dcap"])
	if err != nil {
		t.Fatal(err)
	}
	platforms := []attest.Verifier{&dcap.Verifier{Root: hardware.Root(), Collateral: stapled}}
	for _, k := range a.Keys {
		cert, err := x509.ParseCertificate(k.Certificates[0])
		if err != nil {
			t.Fatal(err)
		}
		appraisal, err := attest.Appraise(t.Context(), cert, attest.DICE, platforms, noon, noon)
		if err != nil {
			t.Fatal(err)
		}
		if got := appraisal.Binding; got.Use != k.Use || got.Issuer != a.Issuer || "sha256:"+fmt.Sprintf("%x", got.RulesDigest) != a.RulesDigest {
			t.Errorf("key %s: the document does not say what the evidence says: %+v", k.KeyID, got)
		}
	}
}

func TestAttestationFollowsTheKeys(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	old := f.attestation(t).RulesDigest
	f.exchangeFor(t, p) // its key will stay until the token has expired
	check := func(when, rules string, n int) {
		t.Helper()
		a := f.attestation(t)
		got, want := named(a, attest.UseSignature), f.published(t)
		if fmt.Sprint(got) != fmt.Sprint(want) || len(got) != n || a.RulesDigest != rules {
			t.Errorf("%s: got keys %v under %s, want %d, those of the key set %v, under %s", when, got, a.RulesDigest, n, want, rules)
		}
	}
	next := parseRules(t, ruleFile("-new", p))
	if err := f.SetRules(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	check("announced", old, 2)
	f.at(t, announceFor)
	check("in use", next.DigestString(), 2)
	f.at(t, 2*time.Hour)
	check("the old key is gone", next.DigestString(), 1)
}

// However many keys are retired, and however large they are, readers take the document: the oldest are left out.
func TestAttestationIsBounded(t *testing.T) {
	for name, c := range map[string]struct{ keys, size, want int }{
		"all fit":  {60, 6 << 10, 61},
		"too many": {100, 1 << 10, 100},
		"too much": {60, 16 << 10, 31},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttestation(&Config{Issuer: brokerURL})
			of := func(size int) *certified {
				return &certified{id: "tls", cert: &x509.Certificate{Raw: make([]byte, size)}}
			}
			keys := make([]*signingKey, c.keys)
			for i := range keys {
				keys[i] = &signingKey{id: fmt.Sprintf("key-%d", i), evidence: of(c.size), retiredAt: noon.Add(time.Duration(i))}
			}
			keys[0].retiredAt, keys[1].retiredAt = time.Time{}, time.Time{} // the oldest retired one is the third
			a.setKeys([32]byte{1}, keys)
			a.setCollateral("dcap", []byte(`{"x":"`+strings.Repeat("x", maxCollateral-8)+`"}`))
			a.setTLSKeys([]*certified{of(6 << 10)})
			doc, err := attest.ParseAttestation(a.published.Load().document.body)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, k := range doc.Keys {
				ids = append(ids, k.KeyID)
			}
			if len(ids) != c.want || fmt.Sprint(ids[:4]) != fmt.Sprintf("[key-0 key-1 tls key-%d]", c.keys-1) {
				t.Errorf("got %d keys %v, want %d: those that sign, the TLS key, and the newest of the retired", len(ids), ids, c.want)
			}
		})
	}
}
