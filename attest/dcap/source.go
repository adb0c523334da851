package dcap

import (
	"context"
	"errors"
	"fmt"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Source finds the collateral of a platform. *Collateral is one, of itself.
type Source interface {
	Collateral(ctx context.Context, p Platform) (*Collateral, error)
}

// Platform is what collateral is about, and what it is asked for by.
type Platform struct {
	TEE   string  // "sgx" or "tdx": each has TCB info and a quoting enclave of its own
	FMSPC [6]byte // the family of the platform, from its PCK certificate
	CA    string  // which CA certified the PCK: "processor" or "platform"
}

// String returns "sgx 00606a000000 (platform CA)".
func (p Platform) String() string { return fmt.Sprintf("%s %x (%s CA)", p.TEE, p.FMSPC, p.CA) }

// Platform returns what to ask collateral for, from the PCK certificate of the quote. Nothing of it is
// verified: who fetches collateral for a quote fetches it for whatever the quote says.
func (q *Quote) Platform() (Platform, error) {
	chain, err := q.Signature.Certification.Chain()
	if err != nil {
		return Platform{}, fmt.Errorf("quote: %w", err)
	}
	pck, err := ParsePCK(chain[0])
	if err != nil {
		return Platform{}, fmt.Errorf("quote: %w", err)
	}
	ca, err := pckCA(chain[1])
	if err != nil {
		return Platform{}, fmt.Errorf("quote: PCK certificate chain: %w", err)
	}
	return Platform{q.TEE(), pck.FMSPC, ca}, nil
}

// Sources is a [Source] that asks each in turn: the first that has the collateral gives it.
type Sources []Source

// ErrNoCollateral is returned if neither the evidence nor the verifier has collateral. It is a [tee.ErrUnavailable].
var ErrNoCollateral = fmt.Errorf("no collateral, neither with the evidence nor from the verifier: %w", tee.ErrUnavailable)

// Collateral implements [Source]. Its error has those of all sources.
func (s Sources) Collateral(ctx context.Context, p Platform) (*Collateral, error) {
	errs := make([]error, 0, len(s))
	for _, source := range s {
		c, err := ask(ctx, source, p)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, ErrNoCollateral
	}
	return nil, errors.Join(errs...)
}

// ask asks a source, which may have nothing to say.
func ask(ctx context.Context, s Source, p Platform) (*Collateral, error) {
	c, err := s.Collateral(ctx, p)
	if err == nil && c == nil {
		err = ErrNoCollateral
	}
	return c, err
}
