package attest

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// How long a judge with a good staple waits for what the verifier's own source has. A key set and a TLS
// handshake wait briefly, as for the staple; a source that was too slow has it at hand when they judge again. Who judges
// once, with a staple at hand, waits longer.
const (
	ownWait     = 2 * time.Second
	ownWaitOnce = fetch.Timeout
)

// opinion is what comes of a certificate, judged by some collateral.
type opinion struct {
	appraisal *Appraisal // nil if the evidence is not genuine, not bound or can't be judged
	refused   []Refusal
	err       error // why there is no appraisal
}

// evidence appraises a certificate, at the instant at, by the collateral that the
// broker staples and by what the platform's verifier has itself, and tells which counts. A verifier without
// a source works by the staple alone, and one with a source does not depend on the staple.
func (j *judge) evidence(ctx context.Context, cert *x509.Certificate, scheme string, at time.Time, refusals func(*Appraisal) []Refusal) opinion {
	s, err := readStatement(cert, scheme)
	if err != nil {
		return opinion{err: err}
	}
	return j.opinion(ctx, s, at, refusals)
}

// opinion judges a statement by all the collateral that there is.
func (j *judge) opinion(ctx context.Context, s *statement, at time.Time, refusals func(*Appraisal) []Refusal) opinion {
	by := func(ctx context.Context, collateral []byte) opinion {
		e := *s.evidence
		e.Collateral = collateral
		a, err := s.appraise(ctx, &e, j.platforms, at, j.evidenceNow())
		if err != nil {
			return opinion{err: err}
		}
		return opinion{appraisal: a, refused: refusals(a)}
	}
	implausible := s.plausible(at)
	if implausible != nil && !j.looking { // nobody needs to be asked for collateral that would not mend it
		own := by(ctx, s.evidence.Collateral)
		if errors.Is(own.err, ErrUnavailable) {
			own.err = unjudged(implausible, own.err)
		}
		return own
	}
	stapled, missing := j.stapled(ctx, s.evidence)
	o := j.compare(ctx, by, s.evidence, stapled)
	if !undecided(o.err) {
		return o
	}
	switch {
	case implausible != nil:
		o.err = unjudged(implausible, o.err)
	case missing != nil:
		o.err = fmt.Errorf("%w; %w", o.err, missing)
	default: // the evidence may be of a machine that the broker runs on since then
		if newer := j.restapled(ctx, s.evidence, stapled); newer != nil {
			return j.compare(ctx, by, s.evidence, newer)
		}
	}
	return o
}

func unjudged(implausible, err error) error {
	return fmt.Errorf("%w (its evidence was not judged: %v)", implausible, err)
}

// compare judges by the staple, if there is one, and by what there is without, and tells which counts.
func (j *judge) compare(ctx context.Context, by func(context.Context, []byte) opinion, e *Evidence, stapled []byte) opinion {
	if len(stapled) == 0 {
		return by(ctx, e.Collateral)
	}
	staple := by(ctx, stapled)
	if isFinal(staple.err) {
		return staple
	}
	if staple.err == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, j.ownWait)
		defer cancel()
	}
	return weigh(staple, by(ctx, nil))
}

// weigh tells which of two opinions counts. Both are by collateral that was verified in full, so a staple that is
// forged has no effect. One that is genuine can be old all the same: who serves it chooses among the revocation lists of a month, and
// among all judgements that the maker still signs. So 1 what either shows to be revoked stays so, and
// 2 the newer judgement counts, of equal ones the one that looked for revocations, and else the verifier's own. Makers
// who judge no platform have no numbers: all their judgements are equal.
func weigh(staple, own opinion) opinion {
	switch {
	case isFinal(own.err):
		return own
	case staple.err != nil && errors.Is(own.err, ErrUnavailable):
		// Whoever can forge a staple can withhold it, so that must have the same effect.
		return opinion{err: fmt.Errorf("%w; the broker's staple: %w", own.err, staple.err)}
	case own.err != nil:
		return staple
	case staple.err != nil || !outdoes(staple.appraisal.Report, own.appraisal.Report):
		return own
	}
	return staple
}

// outdoes tells whether a judgement counts more than another of the same evidence. One of SEV-SNP is the weaker if no
// revocation list could be had for it: then the list in the staple, old as it may be, says more than none.
func outdoes(r, other *Report) bool {
	if n := cmp.Compare(r.TCB.EvaluationNumber, other.TCB.EvaluationNumber); n != 0 {
		return n > 0
	}
	return r.AMD != nil && other.AMD != nil && r.AMD.RevocationChecked && !other.AMD.RevocationChecked
}

// isFinal tells whether other collateral would make no difference to a refusal.
func isFinal(err error) bool {
	var binding *BindingError
	return errors.As(err, &binding) || errors.Is(err, ErrRevoked)
}
