package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// How checkers see a platform, in the words of the log.
const (
	viewAccept  = "checkers accept this platform"
	viewRefuse  = "checkers refuse this platform, unless their policy says otherwise"
	viewNothing = "no checker takes the evidence of this platform for genuine"
)

// intel is the maker of SGX and TDX.
type intel struct{ root *x509.Certificate }

func (m intel) collateral(ctx context.Context, open *evidence.Collateral, e *attest.Evidence) ([]byte, time.Time, error) {
	source := open.DCAP()
	if source == nil {
		return nil, time.Time{}, errors.New("the evidence is Intel's, and collateral names no source of Intel's collateral: want pcs or a file of it")
	}
	quote, err := dcap.ParseQuote(e.Quote)
	if err != nil {
		return nil, time.Time{}, err
	}
	platform, err := quote.Platform()
	if err != nil {
		return nil, time.Time{}, err
	}
	c, err := source.Collateral(ctx, platform)
	if err != nil {
		return nil, time.Time{}, err
	}
	judged, err := (&dcap.Verifier{Root: m.root}).Inspect(c, time.Now())
	if err != nil {
		return nil, time.Time{}, err
	}
	if judged.Platform != platform {
		return nil, time.Time{}, fmt.Errorf("got collateral of %v, want that of %v, where this broker runs", judged.Platform, platform)
	}
	return c.Marshal(), judged.Window.NotAfter, nil
}

func (m intel) view(ctx context.Context, e *attest.Evidence) finding {
	report, err := (&dcap.Verifier{Root: m.root}).Verify(ctx, e, time.Now())
	if err != nil {
		return finding{slog.LevelError, viewNothing, []any{"err", err.Error()}}
	}
	tcb := []any{"status", string(report.TCB.Status), "advisories", append([]string{}, report.TCB.Advisories...), "evaluation_number", report.TCB.EvaluationNumber}
	report.Simulated = false // which is warned of at the start
	refused := attest.DefaultRefusals(report)
	if len(refused) == 0 {
		return finding{slog.LevelInfo, viewAccept, tcb}
	}
	var reasons []string
	for _, r := range refused {
		reasons = append(reasons, r.String())
	}
	return finding{slog.LevelWarn, viewRefuse, append(tcb, "reasons", reasons, "remedies", report.TCB.Remedies)}
}
