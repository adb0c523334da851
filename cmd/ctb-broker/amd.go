package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// amd is the maker of SEV-SNP. Package kds verifies the chain and knows whose platform it is about; reports are for
// checkers to verify, who have what the broker does not link.
type amd struct{ root *x509.Certificate }

func (m amd) collateral(ctx context.Context, open *evidence.Collateral, e *attest.Evidence) ([]byte, time.Time, error) {
	source := open.SNP()
	if source == nil {
		return nil, time.Time{}, errors.New("the evidence is AMD's, and collateral names no source of AMD's collateral: want kds or a file of it")
	}
	platform, err := kds.ParsePlatform(e.Quote)
	if err != nil {
		return nil, time.Time{}, err
	}
	var came *kds.Collateral // the host's certificates: of a VLEK nobody else has any
	if len(e.Collateral) > 0 {
		if came, err = kds.ParseCollateral(e.Collateral); err != nil {
			return nil, time.Time{}, fmt.Errorf("what came with the evidence: %w", err)
		}
	}
	c, missing := kds.Staple(ctx, source, e.Quote, came)
	if missing != nil && came == nil {
		return nil, time.Time{}, missing
	}
	chain, err := c.Verify(m.root)
	if err == nil {
		err = chain.About(platform)
	}
	if err == nil {
		err = chain.Valid(time.Now())
	}
	if err == nil && chain.Leaf == nil {
		err = fmt.Errorf("there is no certificate of the key that signs this platform's reports (%v)", platform)
	}
	if err != nil {
		return nil, time.Time{}, errors.Join(missing, err)
	}
	return c.Marshal(), chain.Window().NotAfter, missing
}

func (m amd) view(_ context.Context, e *attest.Evidence) finding {
	c, err := kds.ParseCollateral(e.Collateral)
	if err != nil {
		return finding{slog.LevelError, viewNothing, []any{"err", err.Error()}}
	}
	chain, err := c.Verify(m.root)
	if err == nil {
		err = chain.Revoked()
	}
	if err != nil {
		return finding{slog.LevelError, viewNothing, []any{"err", err.Error()}}
	}
	platform, err := kds.ParsePlatform(e.Quote)
	if err != nil {
		return finding{slog.LevelError, viewNothing, []any{"err", err.Error()}}
	}
	facts := []any{"product", chain.Product, "signed_by", chain.SignedBy, "tcb", fmt.Sprintf("%+v", kds.TCBOf(chain.Product, platform.TCB))}
	if chain.CRL == nil {
		return finding{slog.LevelWarn, viewRefuse, append(facts, "reasons", []string{"unchecked_revocation: there is no revocation list"})}
	}
	return finding{slog.LevelInfo, "checkers can verify this platform; whether its TCB is accepted is their policy's min_tcb to say", facts}
}
