package kds

import (
	"context"
	"fmt"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Source finds the collateral of a platform. *Collateral is one, of itself.
type Source interface {
	// Collateral returns what there is. Leaf is empty if the source can have none, of a VLEK or of a chip whose host hides its
	// id: it comes with the evidence then.
	Collateral(ctx context.Context, p Platform) (*Collateral, error)
}

// ErrNoCollateral is returned if neither the evidence nor the verifier has collateral. It is a [tee.ErrUnavailable].
var ErrNoCollateral = fmt.Errorf("no collateral, neither with the evidence nor from the verifier: %w", tee.ErrUnavailable)

// Staple returns all collateral of a report, to go along with it as evidence: what the source has, completed by what came with the report, which may
// be nil. If the source has nothing, it returns what came and the error. Nothing is verified here, since whoever gets it verifies it.
func Staple(ctx context.Context, source Source, report []byte, came *Collateral) (*Collateral, error) {
	if came == nil {
		came = new(Collateral)
	}
	p, err := ParsePlatform(report)
	if err != nil {
		return came, err
	}
	more, err := source.Collateral(ctx, p.Of(came.Leaf))
	if err == nil && more == nil {
		err = ErrNoCollateral
	}
	if err != nil {
		return came, err
	}
	return more.Complete(came), nil
}
