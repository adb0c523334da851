package attest

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// judge holds what every key is judged by.
type judge struct {
	policy      *Policy // nil: only whether evidence is genuine and bound
	scheme      string
	issuer      string // that the evidence must bind where the policy names none; empty: any
	looking     bool   // facts are wanted, of all keys, and every reason against them
	platforms   []Verifier
	staple      *stapling     // nil: there is none to be had
	ownWait     time.Duration // for the verifier's own collateral, where a staple is good
	now         func() time.Time
	evidenceNow func() time.Time
}

func newJudge(c Config) (*judge, error) {
	if c.Policy == nil {
		return nil, errors.New("attest: no policy; without one every build would be accepted")
	}
	if err := c.Policy.Validate(); err != nil {
		return nil, fmt.Errorf("attest: policy: %w", err)
	}
	if len(c.Platforms) == 0 {
		return nil, errors.New("attest: no platform verifier, such as &dcap.Verifier{}")
	}
	j := &judge{
		policy: c.Policy, scheme: cmp.Or(c.Policy.Scheme, DICE),
		platforms: slices.Clone(c.Platforms), now: c.Now, evidenceNow: c.EvidenceNow,
	}
	if c.Policy.Issuer == "" { // which checks it, if it names one
		j.issuer = c.Issuer
	}
	j.clocks()
	j.hold(c.Staple)
	return j, nil
}

// hold makes a document that is at hand the one that staples.
func (j *judge) hold(doc *Attestation) {
	if doc != nil {
		j.staple = &stapling{fixed: doc}
		j.ownWait = ownWaitOnce
	}
}

// ask makes the broker that the URL names the one that staples, if it names one.
func (j *judge) ask(client *http.Client, issuer string) {
	j.staple = nil
	if issuer != "" {
		j.staple = newStapling(client, issuer, j.now)
		j.ownWait = ownWait
	}
}

// expect makes the issuer of a URL the one that keys must be bound to, unless
// the policy or the configuration names one, or the scheme binds none.
func (j *judge) expect(issuer string) error {
	if j.scheme != DICE || j.policy.Issuer != "" || j.issuer != "" {
		return nil
	}
	if j.issuer = issuer; issuer == "" {
		return errors.New("names no issuer; set issuer in the policy, or the keys of every broker of the same build would be accepted")
	}
	return nil
}

func (j *judge) clocks() {
	if j.now == nil {
		j.now = time.Now
	}
	if j.evidenceNow == nil {
		j.evidenceNow = j.now
	}
}

// newLook returns a judge that looks, with or without a policy.
func newLook(c Config) (*judge, error) {
	if c.Policy != nil {
		j, err := newJudge(c)
		if err != nil {
			return nil, err
		}
		j.looking = true
		return j, nil
	}
	j := &judge{looking: true, platforms: c.Platforms, scheme: c.Scheme, issuer: c.Issuer, now: c.Now, evidenceNow: c.EvidenceNow}
	j.clocks()
	j.hold(c.Staple)
	return j, nil
}

// one judges a key of a JWKS: 1 its certificate is for it, 2 the evidence in
// it is genuine and bound to it, 3 by its name, for signing, by the issuer, 4 in a build and
// under rules that the policy accepts.
//
// The key's validity is judged by each use of it, so that a key that is
// announced before its time is not refused when that has come.
func (j *judge) one(ctx context.Context, k jose.JWK) (a KeyAppraisal) {
	a.KeyID = k.KeyID
	if a.Err = k.Err; a.Err != nil {
		return a
	}
	if a.Certificate, a.Err = certificateOf(k); a.Err != nil {
		return a
	}
	if to := a.Certificate.NotAfter; j.now().After(to.Add(ctb.Leeway)) && !j.looking {
		a.Err = &untimelyError{fmt.Errorf("the key expired at %s", stamp(to))} // spares the verification
		return a
	}
	j.appraise(ctx, &a, func(p *Appraisal) []Refusal {
		return append(checkKeyID(k, a.Scheme), j.refusals(p, UseSignature)...)
	})
	return a
}

// appraise tells whether the evidence of a.Certificate is genuine and bound to its key, whose validity is
// another question, and whether anything is refused.
func (j *judge) appraise(ctx context.Context, a *KeyAppraisal, refusals func(*Appraisal) []Refusal) {
	a.Scheme = j.scheme
	if carried := Schemes(a.Certificate); j.looking && len(carried) > 0 &&
		(a.Scheme == "" || j.policy != nil && !slices.Contains(carried, a.Scheme)) {
		a.Scheme = carried[0]
	}
	a.Scheme = cmp.Or(a.Scheme, DICE)
	at := within(j.now(), a.Certificate.NotBefore, a.Certificate.NotAfter)
	o := j.evidence(ctx, a.Certificate, a.Scheme, at, refusals)
	if a.Appraisal, a.Err = o.appraisal, o.err; a.Err == nil {
		a.Err = j.verdict(o.refused)
	}
}

// refusals are all that keeps a key with genuine evidence from being trusted for this use.
func (j *judge) refusals(a *Appraisal, use string) []Refusal {
	refusals := j.checkPurpose(a.Binding, use)
	if j.policy != nil {
		refusals = append(refusals, j.policy.refusals(a.Report, a.Binding)...)
	}
	if j.looking && a.Binding.Scheme == DICE {
		refusals = append(refusals, j.checkValidity(a.Binding)...)
	}
	return refusals
}

// verdict makes an error of the reasons, nil if there are none.
func (j *judge) verdict(refusals []Refusal) error {
	return cmp.Or(j.policy, &Policy{}).verdict(refusals)
}

// certificateOf returns the certificate that is published for a key. RFC 7517
// section 4.7: the key in it must be the JWK's.
func certificateOf(k jose.JWK) (*x509.Certificate, error) {
	if len(k.Certificate) == 0 {
		return nil, errors.New(`no evidence: the JWK has no "x5c"`)
	}
	cert, err := x509.ParseCertificate(k.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("x5c[0]: %w", err)
	}
	if !jose.SameKey(k.Key, cert.PublicKey) {
		return nil, errors.New("x5c[0] is of another key than the JWK")
	}
	return cert, nil
}

// checkKeyID compares the key id with the key's thumbprint. The original's is
// a hash that nobody else can make, so under its scheme it is any string.
func checkKeyID(k jose.JWK, scheme string) []Refusal {
	if scheme == Original {
		return nil
	}
	want, err := jose.Thumbprint(k.Key)
	if err == nil && k.KeyID == want {
		return nil
	}
	return []Refusal{{
		Key: "kid", Want: "the key's thumbprint " + orNone(want), Got: orNone(clipTo(k.KeyID, maxNamed)),
		Fix: "publish the key under its thumbprint (RFC 7638)",
	}}
}

// checkPurpose tells whether the key is bound for this use, by the right issuer.
func (j *judge) checkPurpose(b *Binding, use string) []Refusal {
	var refusals []Refusal
	if b.Use != use {
		refusals = append(refusals, Refusal{
			Key: "use", Want: use, Got: orNone(b.Use), Fix: "use a key for what it is bound for",
		})
	}
	// A slash at the end does not make another broker. Tokens are compared exactly, by their verifier.
	if b.Scheme == DICE && j.issuer != "" && strings.TrimSuffix(b.Issuer, "/") != strings.TrimSuffix(j.issuer, "/") {
		refusals = append(refusals, Refusal{
			Key: "issuer", Want: j.issuer, Got: orNone(clip(b.Issuer)), Fix: "ask the broker that you mean, or name its issuer in the policy",
		})
	}
	return refusals
}

// checkValidity tells whether the key may be used now, give or take what clocks may be apart.
func (j *judge) checkValidity(b *Binding) []Refusal {
	at := lenient(j.now(), b.Issued, b.Expires)
	if b.validAt(at) == nil {
		return nil
	}
	got := "expired at " + stamp(b.Expires)
	if at.Before(b.Issued) {
		got = "not valid before " + stamp(b.Issued)
	}
	return []Refusal{{
		Key: "validity", Want: "valid at " + stamp(at), Got: got,
		Fix: "get the keys of today, or judge this one at a time when it was valid",
	}}
}

// within returns the instant of the span that is nearest to t.
func within(t, from, to time.Time) time.Time {
	if t.Before(from) {
		return from
	}
	if t.After(to) {
		return to
	}
	return t
}

// lenient moves t into the span if it is outside by no more than clocks may be apart.
func lenient(t, from, to time.Time) time.Time {
	if near := within(t, from, to); t.Sub(near).Abs() <= ctb.Leeway {
		return near
	}
	return t
}
