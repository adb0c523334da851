package attest

import (
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
	by := func(ctx context.Context, collateral []byte) opinion {
		e := *s.evidence
		e.Collateral = collateral
		a, err := s.appraise(ctx, cert, &e, j.platforms, at, j.evidenceNow())
		if err != nil {
			return opinion{err: err}
		}
		return opinion{appraisal: a, refused: refusals(a)}
	}
	var stapled []byte
	var missing error
	if s.plausible(cert, at) || j.looking { // else nobody needs to be asked
		stapled, missing = j.stapled(ctx, s.evidence)
	}
	if len(stapled) == 0 {
		own := by(ctx, s.evidence.Collateral)
		if missing != nil && errors.Is(own.err, ErrUnavailable) {
			own.err = fmt.Errorf("%w; %w", own.err, missing)
		}
		return own
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
// 2 the newer judgement counts, of equal ones the verifier's own.
func weigh(staple, own opinion) opinion {
	switch {
	case isFinal(own.err):
		return own
	case staple.err != nil && errors.Is(own.err, ErrUnavailable):
		// Whoever can forge a staple can withhold it, so that must have the same effect.
		return opinion{err: fmt.Errorf("%w; the broker's staple: %w", own.err, staple.err)}
	case own.err != nil:
		return staple
	case staple.err != nil || own.appraisal.evaluation() >= staple.appraisal.evaluation():
		return own
	}
	return staple
}

func (a *Appraisal) evaluation() uint32 { return a.Report.TCB.EvaluationNumber }

// isFinal tells whether other collateral would make no difference to a refusal.
func isFinal(err error) bool {
	var binding *BindingError
	return errors.As(err, &binding) || errors.Is(err, ErrRevoked)
}
