package attest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// judgement is a verifier whose word depends on the collateral alone: that of the evidence, or its own.
type judgement struct {
	*fakeTEE
	own string // empty: none is to be had
}

func (j judgement) Verify(ctx context.Context, e *attest.Evidence, at time.Time) (*attest.Report, error) {
	text := j.own
	if e.Collateral != nil {
		text = string(e.Collateral)
	}
	var c struct {
		Status  attest.Status
		Number  uint32
		Forged  bool
		Revoked bool
	}
	if text == "" {
		return nil, fmt.Errorf("no collateral: %w", attest.ErrUnavailable)
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil || c.Forged {
		return nil, errors.New("collateral is forged")
	}
	if c.Revoked {
		return nil, fmt.Errorf("PCK certificate: %w", attest.ErrRevoked)
	}
	r, err := j.fakeTEE.Verify(ctx, e, at)
	if err == nil {
		r.TCB = attest.TCB{Status: c.Status, EvaluationNumber: c.Number}
	}
	return r, err
}

// Which of two judgements counts, both of them genuine.
func TestStapleAgainstSource(t *testing.T) {
	const fine, older, newer = `{"status":"UpToDate","number":17}`, `{"status":"UpToDate","number":16}`, `{"status":"UpToDate","number":18}`
	const outdated, outdatedLater = `{"status":"OutOfDate","number":17}`, `{"status":"OutOfDate","number":18}`
	tee := newTEE()
	cert := certify(t, tee, newP256(t), binding())
	for name, test := range map[string]struct{ staple, own, want string }{
		"both are fine":                             {fine, fine, ""},
		"no source":                                 {fine, "", ""},
		"no staple":                                 {`{}`, fine, ""},
		"a forged staple":                           {`{"forged":true}`, fine, ""},
		"a forged staple, and no source":            {`{"forged":true}`, "", "collateral is forged"},
		"a staple that the policy finds too old":    {older, fine, ""},
		"the same, and no source":                   {older, "", "tcb.evaluation_number: got 16"},
		"the same, and a source that says worse":    {older, outdated, "tcb.accept: got OutOfDate"},
		"both are too old":                          {older, older, "tcb.evaluation_number: got 16"},
		"a staple that says worse":                  {outdated, fine, ""}, // of the same number: which is in doubt
		"a newer staple that says worse":            {outdatedLater, fine, "tcb.accept: got OutOfDate"},
		"a newer source that says better":           {outdated, newer, ""},
		"a staple that says worse, and no source":   {outdated, "", "tcb.accept: got OutOfDate"},
		"a source that says worse":                  {fine, outdated, "tcb.accept: got OutOfDate"},
		"a newer source that says worse":            {fine, outdatedLater, "tcb.accept: got OutOfDate"},
		"an older source that says worse":           {newer, outdated, ""},
		"a source that is too old":                  {fine, older, ""},
		"a source that revokes":                     {fine, `{"revoked":true}`, "PCK certificate: revoked"},
		"a newer staple, and a source that revokes": {newer, `{"revoked":true}`, "PCK certificate: revoked"},
		"a forged source":                           {fine, `{"forged":true}`, ""},
		"a staple that says worse, a forged source": {outdated, `{"forged":true}`, "tcb.accept: got OutOfDate"},
	} {
		t.Run(name, func(t *testing.T) {
			p := anyPolicy()
			p.TCB.EvaluationNumber = 17
			doc := document(cert, []byte(test.staple))
			if test.staple == `{}` {
				doc.Collateral = nil
			}
			c := attest.Config{Policy: p, Platforms: []attest.Verifier{judgement{tee, test.own}}, Now: newClock(day(1)).now, Staple: doc}
			check := func(door string, err error) {
				t.Helper()
				if test.want == "" && err != nil {
					t.Errorf("%s: %v", door, err)
				} else if test.want != "" {
					wantError(t, err, test.want)
				}
			}
			_, err := made(attest.ParseKeys(t.Context(), jwkSet(jwk(t, cert)), c)).Key(t.Context(), kidOf(cert))
			check("ParseKeys", err)
			check("Appraisals", made(attest.Appraisals(t.Context(), jwkSet(jwk(t, cert)), c))[0].Err)
			check("AppraiseCertificate", made(attest.AppraiseCertificate(t.Context(), cert, c)).Err)
		})
	}
}

// Whoever serves the staple can serve an older revocation list as long as it is valid. A verifier that
// knows better by its own source is not talked out of it.
func TestOlderStapleAgainstSource(t *testing.T) {
	s := newStapled(t)
	newer, _ := machine(t, simulated.Config{Fault: simulated.PCKRevoked})
	_, err := made(attest.NewKeySet(s.config(newer.Collateral()))).Key(t.Context(), kidOf(s.cert))
	wantError(t, err, "revoked")
}

// A source that does not answer soon is not waited for by who has a good staple.
func TestStapleBeforeSlowSource(t *testing.T) {
	s := newStapled(t)
	c := s.config(silence{})
	c.Staple = document(s.cert, s.hardware.Collateral().Marshal())
	staple := made(c.Staple.Marshal())
	synctest.Test(t, func(t *testing.T) {
		c.Client = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			body := *s.jwks.Load()
			if r.URL.Path == attest.WellKnownAttestation {
				body = staple
			}
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
		})}
		for most, keys := range map[time.Duration]func() (*attest.KeySet, error){
			2 * time.Second:  func() (*attest.KeySet, error) { return attest.NewKeySet(c) },
			10 * time.Second: func() (*attest.KeySet, error) { return attest.ParseKeys(t.Context(), *s.jwks.Load(), c) },
		} {
			begin := time.Now()
			if _, err := made(keys()).Key(t.Context(), kidOf(s.cert)); err != nil {
				t.Error(err)
			}
			if waited := time.Since(begin); waited > most {
				t.Errorf("waited %v, want at most %v", waited, most)
			}
		}
	})
}

// silence is a source that never answers.
type silence struct{}

func (silence) Collateral(ctx context.Context, _ dcap.Platform) (*dcap.Collateral, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A staple that is older than the policy wants says nothing of today, so it takes no trusted key away.
func TestOlderStapleTakesNoKeyAway(t *testing.T) {
	b, tee, now := newBroker(t), newTEE(), newClock(day(1))
	bound := binding()
	bound.Issuer = b.URL
	cert := certify(t, tee, newP256(t), bound)
	b.publish(jwk(t, cert))
	p := anyPolicy()
	p.TCB.EvaluationNumber = 17
	set := made(attest.NewKeySet(attest.Config{URL: b.URL, Policy: p, Platforms: []attest.Verifier{judgement{fakeTEE: tee}}, Client: b.Client(), Now: now.now}))
	for _, step := range []struct{ staple, want string }{
		{`{"status":"UpToDate","number":17}`, ""},
		{`{"status":"UpToDate","number":16}`, ""},
		{`{"status":"OutOfDate","number":17}`, "tcb.accept: got OutOfDate"},
		{`{"status":"UpToDate","number":16}`, "tcb.evaluation_number: got 16"}, // and gives none back
		{`{"status":"UpToDate","number":18}`, ""},
	} {
		b.setStaple(answerJSON(made(document(cert, []byte(step.staple)).Marshal())))
		now.advance(11 * time.Minute)
		set.Refresh(t.Context(), 0)
		if _, err := set.Key(t.Context(), kidOf(cert)); step.want != "" {
			wantError(t, err, step.want)
		} else if err != nil {
			t.Errorf("%s: %v", step.staple, err)
		}
	}
}
