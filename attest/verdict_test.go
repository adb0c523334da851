package attest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
)

// live is a key set of a broker whose keys come and go.
func live(t *testing.T) (b *broker, tee *fakeTEE, now *clock, set *attest.KeySet, bound attest.Binding) {
	b, tee, now = newBroker(t), newTEE(), newClock(day(1))
	bound = binding()
	bound.Issuer = b.URL
	set = made(attest.NewKeySet(attest.Config{URL: b.URL, Policy: anyPolicy(), Platforms: platforms(tee), Client: b.Client(), Now: now.now}))
	return
}

// Anybody can name a key whose time is over. That is a bad token while another
// key can be used, and an outage when none can.
func TestKeyOutOfTimeIsUnknown(t *testing.T) {
	b, tee, now, set, bound := live(t)
	short, later := bound, bound
	short.Expires = day(1).Add(time.Hour)
	later.Issued = day(1).Add(20 * time.Hour)
	old, next, current := certify(t, tee, newP256(t), short), certify(t, tee, newP256(t), later), certify(t, tee, newP256(t), bound)
	ctx := context.Background()
	unknown := func(kid, why string) {
		t.Helper()
		_, err := set.Key(ctx, kid)
		wantError(t, err, why)
		if !errors.Is(err, ctb.ErrUnknownKey) {
			t.Errorf("got %v, want ErrUnknownKey", err)
		}
	}
	b.publish(jwk(t, old), jwk(t, next), jwk(t, current))
	if _, err := set.Key(ctx, kidOf(old)); err != nil {
		t.Fatal(err)
	}
	unknown(kidOf(next), "not valid before")
	now.set(day(1).Add(time.Hour + 61*time.Second))
	unknown(kidOf(old), "the key expired at") // by the old verdict or by a new one
	now.advance(11 * time.Minute)
	unknown(kidOf(old), "the key expired at")

	// If none can be used, it is not the token's fault.
	b.publish(jwk(t, old), jwk(t, next))
	now.advance(31 * time.Second)
	for _, kid := range []string{kidOf(old), kidOf(next)} {
		if _, err := set.Key(ctx, kid); err == nil || errors.Is(err, ctb.ErrUnknownKey) {
			t.Errorf("got %v, want an error that is not ErrUnknownKey", err)
		}
	}
}

// While what a verifier needs can't be had, a key that was trusted stays so, as long as its collateral is valid.
func TestKeyStaysWhileItCantBeJudged(t *testing.T) {
	b, tee, now, set, bound := live(t)
	bound.Expires = day(60)
	cert := certify(t, tee, newP256(t), bound)
	b.publish(jwk(t, cert))
	ctx := context.Background()
	if _, err := set.Key(ctx, kidOf(cert)); err != nil {
		t.Fatal(err)
	}
	tee.failure = fmt.Errorf("collateral: timeout: %w", attest.ErrUnavailable)
	now.advance(31 * time.Second)
	// This makes it fetch. The keys can be had, so whether one exists can be told.
	_, err := set.Key(ctx, "of nobody")
	if !errors.Is(err, ctb.ErrUnknownKey) {
		t.Errorf("got %v, want that the key is unknown", err)
	}
	if _, err := set.Key(ctx, kidOf(cert)); err != nil {
		t.Errorf("got %v for a key whose verdict holds", err)
	}
	wantError(t, set.Err(), "timeout")

	// Evidence that is refused is refused at once, and so is what could never be judged.
	tee.failure = errors.New("signature is wrong")
	now.advance(31 * time.Second)
	set.Key(ctx, "of nobody")
	_, err = set.Key(ctx, kidOf(cert))
	wantError(t, err, "signature is wrong")
	tee.failure = fmt.Errorf("collateral: timeout: %w", attest.ErrUnavailable)
	now.advance(31 * time.Second)
	_, err = set.Key(ctx, kidOf(cert))
	wantError(t, err, "refused: evidence: collateral: timeout")
}

// Beyond its collateral's end no verdict holds, whatever can be had.
func TestKeyGoesWithItsCollateral(t *testing.T) {
	b, tee, now, set, bound := live(t)
	now.set(day(30))
	bound.Expires = day(60)
	cert := certify(t, tee, newP256(t), bound)
	b.publish(jwk(t, cert))
	ctx := context.Background()
	if _, err := set.Key(ctx, kidOf(cert)); err != nil {
		t.Fatal(err)
	}
	tee.failure = fmt.Errorf("collateral: timeout: %w", attest.ErrUnavailable)
	now.advance(31 * time.Second)
	_, err := set.Key(ctx, kidOf(cert))
	wantError(t, err, "refused: evidence: collateral: timeout")
}

// An empty key set is an answer: every key is withdrawn.
func TestKeysAreWithdrawn(t *testing.T) {
	b, tee, now, set, bound := live(t)
	cert := certify(t, tee, newP256(t), bound)
	b.publish(jwk(t, cert))
	ctx := context.Background()
	if _, err := set.Key(ctx, kidOf(cert)); err != nil {
		t.Fatal(err)
	}
	empty := []byte(`{"keys":[]}`)
	b.jwks.Store(&empty)
	now.advance(31 * time.Second)
	set.Key(ctx, "of nobody")
	for range 2 {
		_, err := set.Key(ctx, kidOf(cert))
		wantError(t, err, "none is accepted: the key set is empty")
		if errors.Is(err, ctb.ErrUnknownKey) {
			t.Error("looks like a bad token")
		}
	}
	wantError(t, set.Err(), "the key set is empty")
}

// Where the policy names no issuer, the configuration may: for keys at hand, and before that of the URL.
func TestConfigIssuer(t *testing.T) {
	b, tee := newBroker(t), newTEE()
	cert := certify(t, tee, newP256(t), binding())
	jwks := jwkSet(jwk(t, cert))
	b.jwks.Store(&jwks)
	ctx := context.Background()
	for named, want := range map[string]string{
		issuer: "", issuer + "/": "", "https://staging.example.net": "issuer: got " + issuer + ", want https://staging.example.net",
	} {
		c := attest.Config{URL: b.URL, Issuer: named, Policy: anyPolicy(), Platforms: platforms(tee), Client: b.Client(), Now: newClock(day(1)).now}
		for _, set := range []*attest.KeySet{made(attest.ParseKeys(ctx, jwks, c)), made(attest.NewKeySet(c))} {
			if _, err := set.Key(ctx, kidOf(cert)); want != "" {
				wantError(t, err, want)
			} else if err != nil {
				t.Error(err)
			}
		}
		if err := made(attest.Appraisals(ctx, jwks, c))[0].Err; (err != nil) != (want != "") {
			t.Errorf("appraisal: got %v", err)
		}
		c.Policy = anyPolicy()
		c.Policy.Issuer = issuer // which goes before
		if _, err := made(attest.ParseKeys(ctx, jwks, c)).Key(ctx, kidOf(cert)); err != nil {
			t.Error(err)
		}
	}
}

// A certificate by itself is judged as a key set's is, whatever its use.
func TestAppraiseCertificate(t *testing.T) {
	tee := newTEE()
	forTLS := binding()
	forTLS.Use = attest.UseTLS
	cert := certify(t, tee, newP256(t), forTLS)
	both := certify(t, tee, keys.rsa(), binding(), attest.DICE, attest.Original)
	original := certify(t, tee, keys.rsa(), binding(), attest.Original)
	ofOriginal := anyPolicy()
	ofOriginal.Scheme = attest.Original
	ctx := context.Background()
	look := func(c attest.Config) attest.Config {
		c.Platforms = platforms(tee)
		if c.Now == nil {
			c.Now = newClock(day(1)).now
		}
		return c
	}
	good := func(a attest.KeyAppraisal, err error) attest.KeyAppraisal {
		t.Helper()
		if err != nil || a.Err != nil || a.Appraisal == nil {
			t.Fatalf("got %+v and the error %v", a, err)
		}
		return a
	}
	good(attest.AppraiseCertificate(ctx, cert, look(attest.Config{})))
	good(attest.AppraiseCertificate(ctx, cert, look(attest.Config{Policy: anyPolicy()})))
	if a := good(attest.AppraiseCertificate(ctx, both, look(attest.Config{}))); a.Scheme != attest.DICE {
		t.Errorf("got scheme %s", a.Scheme)
	}
	if a := good(attest.AppraiseCertificate(ctx, both, look(attest.Config{Scheme: attest.Original}))); a.Scheme != attest.Original {
		t.Errorf("got scheme %s", a.Scheme)
	}
	wantError(t, made(attest.AppraiseCertificate(ctx, cert, look(attest.Config{Scheme: attest.Original}))).Err, "no evidence by the scheme original, only by dice")

	// Its validity decides where it is bound, give or take what clocks may be apart.
	late := newClock(day(2).Add(61 * time.Second)).now
	wantError(t, made(attest.AppraiseCertificate(ctx, cert, look(attest.Config{Policy: anyPolicy(), Now: late}))).Err, "validity: got expired at")
	good(attest.AppraiseCertificate(ctx, cert, look(attest.Config{Policy: anyPolicy(), Now: newClock(day(2).Add(time.Minute)).now})))
	good(attest.AppraiseCertificate(ctx, original, look(attest.Config{Policy: ofOriginal, Now: late})))
}

// A policy that was never validated accepts nothing that a valid one would not.
func TestCheckOfUnsoundPolicy(t *testing.T) {
	for name, change := range map[string]func(*attest.Policy){
		"a build that names its TEE alone": func(p *attest.Policy) { p.Builds = []attest.Build{{TEE: "sgx"}} },
		"beside a sound one":               func(p *attest.Policy) { p.Builds = append(p.Builds, attest.Build{TEE: "sgx"}) },
		"rules that are empty":             func(p *attest.Policy) { p.Rules = []string{} },
	} {
		p, r, b := anyPolicy(), newTEE().report, binding()
		b.Scheme = attest.DICE
		if err := p.Check(&r, &b); err != nil {
			t.Fatal(err)
		}
		change(p)
		var refused *attest.RefusalError
		if err := p.Check(&r, &b); !errors.As(err, &refused) || !strings.Contains(err.Error(), "want a policy without faults") {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
}

// What may be secret in a URL is not repeated.
func TestURLsAreRedacted(t *testing.T) {
	for _, url := range []string{
		"http://user:hunter2@broker.example.com/?key=hunter2", "https://user:hunter2@broker.example.com",
		"https://broker.example.com/?key=hunter2", "https://user:hunter2@broker.example.com/.well-known/jwks.json", "https://cdn.example.com/keys.json?key=hunter2",
	} {
		c := attest.Config{URL: url, Policy: anyPolicy(), Platforms: platforms(newTEE())}
		_, err := attest.NewKeySet(c)
		_, tlsErr := attest.TLSConfig(c)
		for _, err := range []error{err, tlsErr} {
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: got %v", url, err)
			}
		}
	}
}
