package attest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// unnumbered is a verifier as that of SEV-SNP: its maker numbers no judgements, a revocation list may be missing, and the
// collateral says for itself until which day it is valid.
type unnumbered struct {
	*fakeTEE
	own string // collateral; empty: none is to be had
}

func (u unnumbered) Verify(ctx context.Context, e *attest.Evidence, at time.Time) (*attest.Report, error) {
	text := u.own
	if e.Collateral != nil {
		text = string(e.Collateral)
	}
	if text == "" {
		return nil, fmt.Errorf("no collateral: %w", attest.ErrUnavailable)
	}
	var c struct {
		Microcode uint8 // which is told apart by
		List      bool
		Revoked   bool
		Until     int
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, err
	}
	if c.Revoked {
		return nil, fmt.Errorf("VLEK CA: %w", attest.ErrRevoked)
	}
	r, err := u.fakeTEE.Verify(ctx, e, at)
	if err != nil {
		return nil, err
	}
	if c.Until != 0 {
		r.Collateral.NotAfter = day(c.Until)
	}
	if at.After(r.Collateral.NotAfter) {
		return nil, errors.New("the revocation list is out of date")
	}
	r.TCB.EvaluationNumber = 0
	r.AMD = &tee.AMDFacts{Product: "Milan", RevocationChecked: c.List, Current: tee.AMDTCB{Microcode: c.Microcode}}
	return r, nil
}

func newUnnumbered(own string) unnumbered { return unnumbered{newOther("snp", snpReport), own} }

// Of judgements without numbers the verifier's own counts, unless it did not look for revocations and the staple did.
func TestStapleWithoutNumbers(t *testing.T) {
	hardware := newUnnumbered("")
	cert := certify(t, hardware.fakeTEE, newP256(t), binding())
	for name, test := range map[string]struct {
		staple, own string
		counts      uint8
		want        string
	}{
		"both have a list":                 {staple: `{"microcode":1,"list":true}`, own: `{"microcode":2,"list":true}`, counts: 2},
		"neither has":                      {staple: `{"microcode":1}`, own: `{"microcode":2}`, counts: 2},
		"only our own has":                 {staple: `{"microcode":1}`, own: `{"microcode":2,"list":true}`, counts: 2},
		"only the staple has":              {staple: `{"microcode":1,"list":true}`, own: `{"microcode":2}`, counts: 1},
		"no source":                        {staple: `{"microcode":1}`, counts: 1},
		"no staple":                        {own: `{"microcode":2}`, counts: 2},
		"neither":                          {want: "no collateral"},
		"a staple that revokes":            {staple: `{"revoked":true}`, own: `{"microcode":2,"list":true}`, want: "VLEK CA: revoked"},
		"a source that revokes":            {staple: `{"microcode":1,"list":true}`, own: `{"revoked":true}`, want: "VLEK CA: revoked"},
		"a staple that is out of date":     {staple: `{"list":true,"until":-1,"microcode":1}`, own: `{"microcode":2,"list":true}`, counts: 2},
		"a staple of junk":                 {staple: `{"microcode":-1}`, own: `{"microcode":2}`, counts: 2},
		"a staple of junk, and no source":  {staple: `{"microcode":-1}`, want: "the broker's staple: evidence: json"},
		"a list that ended, and no source": {staple: `{"list":true,"until":-1}`, want: "the broker's staple: evidence: the revocation list is out of date"},
	} {
		t.Run(name, func(t *testing.T) {
			doc := document(cert, nil)
			doc.Collateral = nil
			if test.staple != "" {
				doc.Collateral = map[string]json.RawMessage{"snp": json.RawMessage(test.staple), "dcap": json.RawMessage(`{"of":"another"}`)}
			}
			c := attest.Config{Platforms: []attest.Verifier{newTEE(), newUnnumbered(test.own)}, Now: newClock(day(1)).now, Staple: doc}
			a := made(attest.AppraiseCertificate(t.Context(), cert, c))
			if test.want != "" {
				wantError(t, a.Err, test.want)
				return
			}
			if a.Err != nil {
				t.Fatal(a.Err)
			}
			if got := a.Appraisal.Report.AMD.Current.Microcode; got != test.counts {
				t.Errorf("the judgement %d counts, want %d", got, test.counts)
			}
		})
	}
}

// A trusted key stays so while its judgement holds, if all that is wrong with a new one is that it lacks a revocation list:
// whoever is between could withhold that.
func TestMissingRevocationListTakesNoKeyAway(t *testing.T) {
	b, now := newBroker(t), newClock(day(1).Add(12*time.Hour))
	hardware := newUnnumbered("")
	bound := binding()
	bound.Issuer, bound.Expires = b.URL, day(300)
	cert := certify(t, hardware.fakeTEE, newP256(t), bound)
	b.publish(jwk(t, cert))
	policy := made(attest.ParsePolicy([]byte("builds:\n  - tee: sev-snp\n    measurement: " + strings.Repeat("ab", 48) + "\n    min_tcb: {bootloader: 0, tee: 0, snp: 0, microcode: 0}\n")))
	hardware.report.TEE, hardware.report.TCB.Status = tee.SEVSNP, tee.NotJudged
	hardware.report.Measurements = map[string][]byte{
		"measurement": policy.Builds[0].Measurements["measurement"], "guest_policy": {0, 0, 0, 0, 0, 3, 0, 0},
	}
	staple := func(text string) {
		doc := document(cert, nil)
		doc.Collateral = map[string]json.RawMessage{"snp": json.RawMessage(text)}
		b.setStaple(answerJSON(made(doc.Marshal())))
	}
	set := made(attest.NewKeySet(attest.Config{URL: b.URL, Policy: policy, Platforms: []attest.Verifier{hardware}, Client: b.Client(), Now: now.now}))
	for _, step := range []struct {
		staple string
		after  time.Duration
		want   string
	}{
		{staple: `{"list":true,"until":2}`},
		{staple: `{"until":2}`, after: time.Hour},
		{staple: `{"until":25}`, after: 10 * time.Hour},
		{staple: `{"until":25}`, after: time.Hour, want: "builds[0].unchecked_revocation"},
		{staple: `{"until":25,"list":true}`, after: time.Hour},
		{staple: `{"until":25}`, after: time.Hour},
	} {
		staple(step.staple)
		now.advance(step.after + 11*time.Minute)
		_ = set.Refresh(t.Context(), 0)
		if _, err := set.Key(t.Context(), kidOf(cert)); step.want != "" {
			wantError(t, err, step.want)
		} else if err != nil {
			t.Errorf("%s: %v", step.staple, err)
		}
	}
}
