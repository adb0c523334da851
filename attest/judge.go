package attest

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// KeyAppraisal is what is known of one key of a JWKS, or of one certificate.
type KeyAppraisal struct {
	KeyID       string
	Scheme      string            // by which its evidence was read
	Certificate *x509.Certificate // x5c[0], nil if there is none that can be read
	Appraisal   *Appraisal        // nil unless the evidence is genuine and bound
	// Err is nil if the key would be trusted. It is a *RefusalError, with every
	// reason, if its evidence is genuine and bound and yet it would not, and a *BindingError if the evidence is genuine
	// but not of this key. Any other error means that there is no genuine evidence.
	Err error
}

// Appraisals tells of every key of a JWKS what is known of it: it is for
// looking, [NewKeySet] and [ParseKeys] are for trusting. With a policy the keys are judged
// as ParseKeys does, and a key whose evidence is of another scheme is read by that and refused for it; without
// one, it is told whether they are genuine and bound for signing, by c.Scheme or the scheme whose evidence
// they carry, [DICE] before [Original].
//
// A key that is not valid at this time is refused under the key "validity". Under
// the scheme Original it is not: there, the certificate's dates are nobody's word. A
// [KeySet] takes them at it all the same, and does not use such a key.
func Appraisals(ctx context.Context, jwks []byte, c Config) ([]KeyAppraisal, error) {
	j, err := newLook(c)
	if err != nil {
		return nil, err
	}
	set, err := jose.ParseSet(jwks)
	if err != nil {
		return nil, err
	}
	list := make([]KeyAppraisal, len(set))
	for i, k := range set {
		list[i] = j.one(ctx, k)
	}
	return list, nil
}

// AppraiseCertificate tells what [Appraisals] tells, of a certificate by itself, whatever use its key is bound for.
func AppraiseCertificate(ctx context.Context, cert *x509.Certificate, c Config) (a KeyAppraisal, err error) {
	j, err := newLook(c)
	if err != nil {
		return a, err
	}
	a.Certificate = cert
	if j.appraise(ctx, &a); a.Err == nil {
		a.Err = j.verdict(j.refusals(a.Appraisal, a.Appraisal.Binding.Use))
	}
	return a, nil
}

// newLook returns a judge that looks, with or without a policy.
func newLook(c Config) (j *judge, err error) {
	j = &judge{platforms: c.Platforms, scheme: c.Scheme, issuer: c.Issuer, now: c.Now, evidenceNow: c.EvidenceNow}
	if c.Policy != nil {
		if j, err = newJudge(c); err != nil {
			return nil, err
		}
	}
	j.clocks()
	j.looking = true
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
	if j.appraise(ctx, &a); a.Err == nil {
		a.Err = j.verdict(append(checkKeyID(k, a.Scheme), j.refusals(a.Appraisal, UseSignature)...))
	}
	return a
}

// appraise tells whether the evidence of a.Certificate is genuine and bound to its key, whose validity is another question.
func (j *judge) appraise(ctx context.Context, a *KeyAppraisal) {
	a.Scheme = j.scheme
	if carried := Schemes(a.Certificate); j.looking && len(carried) > 0 &&
		(a.Scheme == "" || j.policy != nil && !slices.Contains(carried, a.Scheme)) {
		a.Scheme = carried[0]
	}
	a.Scheme = cmp.Or(a.Scheme, DICE)
	at := within(j.now(), a.Certificate.NotBefore, a.Certificate.NotAfter)
	a.Appraisal, a.Err = Appraise(ctx, a.Certificate, a.Scheme, j.platforms, at, j.evidenceNow())
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
