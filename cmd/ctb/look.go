package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
)

// looking is how evidence is looked at.
type looking struct {
	scheme         string    // empty where the policy or the certificate names it
	issuer         string    // that keys must be bound to where the policy names none; empty: any
	at, evidenceAt time.Time // the instants at which keys and evidence are judged
}

// findings says what is known of a quote, a certificate, or each key of a set.
// The verdict on keys is package attest's, the one by which servers trust them.
func (j *judge) findings(ctx context.Context, in *input, l looking) ([]finding, error) {
	if in.quote != nil {
		return []finding{j.quote(ctx, in.quote, l.evidenceAt)}, nil
	}
	c := attest.Config{
		Issuer: l.issuer, Policy: j.policy, Platforms: j.platforms, Scheme: l.scheme,
		Now: func() time.Time { return l.at }, EvidenceNow: func() time.Time { return l.evidenceAt },
	}
	if in.cert != nil {
		a, err := attest.AppraiseCertificate(ctx, in.cert, c)
		if err != nil {
			return nil, err
		}
		return []finding{j.finding(a, l)}, nil
	}
	list, err := attest.Appraisals(ctx, in.jwks, c)
	if err != nil {
		return nil, err
	}
	if len(list) != len(in.keys) {
		return nil, fmt.Errorf("got %d verdicts on %d keys", len(list), len(in.keys))
	}
	findings := make([]finding, len(list))
	for i, a := range list {
		findings[i] = j.finding(a, l)
		findings[i].KeyID, findings[i].Algorithm = in.keys[i].KeyID, in.keys[i].Algorithm
	}
	return findings, nil
}

// begin is a finding that knows no facts yet.
func (j *judge) begin(at time.Time) finding {
	return finding{At: at.UTC().Truncate(time.Second), Policy: j.policyName(), noPolicy: j.policy == nil}
}

// quote says what is known of a bare quote, which binds nothing that is known here.
func (j *judge) quote(ctx context.Context, quote []byte, at time.Time) finding {
	x := j.begin(at)
	r, err := j.platform("dcap").Verify(ctx, &attest.Evidence{Platform: "dcap", Quote: quote}, at)
	if err != nil {
		x.Unverified = claims(quote)
		return x.notGenuine(err)
	}
	x.facts(r)
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
		x.facts(other.Report)
		x.unbound = true
		return x.judged([]attest.Refusal{{
			Key: "binding", Want: "evidence that vouches for this key", Got: other.Error(),
			Fix: "ask for the certificate that this evidence was made for",
		}})
	}
	if a.Appraisal == nil {
		if a.Certificate != nil {
			x.Unverified = claims(quoteIn(a.Certificate))
			x.fix = otherScheme(a.Certificate, a.Scheme)
		}
		return x.notGenuine(a.Err)
	}
	x.facts(a.Appraisal.Report)
	x.Binding = bindingFacts(a.Appraisal)
	return x.judged(j.byDefault(a.Appraisal.Report, refusals(a.Err)))
}
