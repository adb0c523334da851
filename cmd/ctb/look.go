package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// looking is how evidence is looked at.
type looking struct {
	scheme         string    // empty where the policy or the certificate names it
	issuer         string    // that keys must be bound to where the policy names none; empty: any
	at, evidenceAt time.Time // the instants at which keys and evidence are judged
}

// findings says what is known of evidence by itself, or of each key of the other kinds of input.
func (j *judge) findings(ctx context.Context, in *input, l looking) ([]finding, error) {
	if in.evidence != nil {
		return []finding{j.bare(ctx, in.evidence, l.evidenceAt)}, nil
	}
	list, err := j.appraise(ctx, in, l)
	if err != nil {
		return nil, err
	}
	findings := make([]finding, len(list))
	for i, a := range list {
		findings[i] = j.finding(a, l)
		if in.set() {
			findings[i].KeyID = a.KeyID
		}
		if in.keys != nil {
			findings[i].Algorithm = in.keys[i].Algorithm
		}
	}
	return findings, nil
}

// appraise asks for the verdict on keys, which is package attest's, the one by which servers trust them.
func (j *judge) appraise(ctx context.Context, in *input, l looking) ([]attest.KeyAppraisal, error) {
	c := attest.Config{
		Issuer: l.issuer, Policy: j.policy, Platforms: j.platforms, Scheme: l.scheme, Staple: j.staple,
		Now: func() time.Time { return l.at }, EvidenceNow: func() time.Time { return l.evidenceAt },
	}
	if in.jwks != nil {
		list, err := attest.Appraisals(ctx, in.jwks, c)
		if err == nil && len(list) != len(in.keys) {
			err = fmt.Errorf("got %d verdicts on %d keys", len(list), len(in.keys))
		}
		return plainly(list), err
	}
	if in.cert != nil {
		a, err := attest.AppraiseCertificate(ctx, in.cert, c)
		return plainly([]attest.KeyAppraisal{a}), err
	}
	var list []attest.KeyAppraisal
	for _, k := range in.attestation.Keys {
		cert, err := x509.ParseCertificate(k.Certificates[0])
		a := attest.KeyAppraisal{Err: err}
		if err == nil {
			if a, err = attest.AppraiseCertificate(ctx, cert, c); err != nil {
				return nil, err
			}
		}
		a.KeyID = k.KeyID
		a.Err = labelled(a, k)
		list = append(list, a)
	}
	return plainly(list), nil
}

// labelled adds to the verdict on a key what an attestation document says of it and its evidence does not.
func labelled(a attest.KeyAppraisal, k attest.AttestedKey) error {
	var all *attest.RefusalError
	if a.Appraisal == nil || a.Err != nil && !errors.As(a.Err, &all) {
		return a.Err
	}
	var more []attest.Refusal
	if use := a.Appraisal.Binding.Use; k.Use != use {
		more = append(more, attest.Refusal{Key: "use", Want: use + ", which the evidence binds", Got: k.Use})
	}
	if id, err := jose.Thumbprint(a.Appraisal.Key); a.Scheme == attest.DICE && (err != nil || k.KeyID != id) {
		more = append(more, attest.Refusal{Key: "kid", Want: id + ", the key's thumbprint", Got: k.KeyID})
	}
	if len(more) == 0 {
		return a.Err
	}
	if all != nil {
		more = append(more, all.Refusals...)
	}
	return &attest.RefusalError{Refusals: more}
}

// begin is a finding that knows no facts yet.
func (j *judge) begin(at time.Time) finding {
	return finding{At: at.UTC().Truncate(time.Second), Policy: j.policyName(), noPolicy: j.policy == nil}
}

// bare says what is known of evidence by itself, which binds nothing that is known here.
func (j *judge) bare(ctx context.Context, e *attest.Evidence, at time.Time) finding {
	x := j.begin(at)
	r, err := j.verify(ctx, e, at)
	if err != nil {
		x.Unverified = claims(e)
		x.fix = x.Unverified.fixFor(at)
		return x.notGenuine(err)
	}
	j.facts(&x, r)
	var rs []attest.Refusal
	if j.policy != nil {
		rs = refusals(j.policy.Check(r, nil))
	}
	return x.judged(j.byDefault(r, rs))
}

// finding says in our words what package attest says of a key.
func (j *judge) finding(a attest.KeyAppraisal, l looking) finding {
	x := j.begin(l.evidenceAt)
	if a.Certificate != nil {
		x.Certificate = certificateFacts(a.Certificate, l.at)
	}
	var other *attest.BindingError
	if errors.As(a.Err, &other) {
		j.facts(&x, other.Report)
		x.unbound = true
		return x.judged([]attest.Refusal{{
			Key: "binding", Want: "evidence that vouches for this key", Got: other.Error(),
			Fix: "ask for the certificate that this evidence was made for",
		}})
	}
	if a.Appraisal == nil {
		if a.Certificate != nil {
			x.Unverified = claims(evidenceIn(a.Certificate))
			x.fix = otherScheme(a.Certificate, a.Scheme)
		}
		return x.notGenuine(a.Err)
	}
	j.facts(&x, a.Appraisal.Report)
	x.Binding = bindingFacts(a.Appraisal)
	return x.judged(j.byDefault(a.Appraisal.Report, refusals(a.Err)))
}

// facts copies the report of genuine evidence, and who brought what it rests on.
func (j *judge) facts(x *finding, r *attest.Report) {
	x.facts(r)
	x.Collateral.Source = j.whose(platformOf(r.TEE).about(r))
}
