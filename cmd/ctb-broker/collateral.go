package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/internal/watch"
)

// staple gets the collateral that the broker serves beside its evidence. It verifies
// what it gets, so that neither a bad service nor an old file makes the broker serve junk;
// checkers verify it once more, and believe nobody but the hardware's maker.
type staple struct {
	source evidence.Source
	root   *x509.Certificate // of the evidence; nil means Intel's
	log    *slog.Logger

	open *evidence.Collateral
	seen []watch.Content // the files that it was opened with
	told string          // what was logged of the platform last
}

// newStaple reads the files that the configuration names, and asks nobody yet.
func newStaple(c *config, root *x509.Certificate, log *slog.Logger) (*staple, error) {
	s := &staple{source: c.Collateral, root: root, log: log}
	s.seen = s.look() // before they are read, so that no change is missed
	var err error
	if s.open, err = s.source.Open(root); err != nil {
		return nil, c.file.Fault("collateral", "%w", err)
	}
	return s, nil
}

// collateral is for broker.Config, which asks from one goroutine.
func (s *staple) collateral(ctx context.Context, e *attest.Evidence) ([]byte, time.Time, error) {
	s.reopen()
	platform, err := platformOf(e)
	if err != nil {
		return nil, time.Time{}, err
	}
	c, err := s.open.Collateral(ctx, platform)
	if err != nil {
		return nil, time.Time{}, err
	}
	judged, err := (&dcap.Verifier{Root: s.root}).Inspect(c, time.Now())
	if err != nil {
		return nil, time.Time{}, err
	}
	if judged.Platform != platform {
		return nil, time.Time{}, fmt.Errorf("got collateral of %v, want that of %v, where this broker runs", judged.Platform, platform)
	}
	data := c.Marshal()
	s.tell(ctx, &attest.Evidence{Platform: e.Platform, Quote: e.Quote, Collateral: data})
	return data, judged.Window.NotAfter, s.open.Err()
}

// tell logs how checkers see this platform by the collateral, once and whenever that
// changes, so that its operator learns of a weakness when they do. What they see is served
// whether it is welcome or not.
func (s *staple) tell(ctx context.Context, e *attest.Evidence) {
	report, err := (&dcap.Verifier{Root: s.root}).Verify(ctx, e, time.Now())
	if err != nil {
		s.once(slog.LevelError, "no checker takes the evidence of this platform for genuine", "err", err.Error())
		return
	}
	tcb := []any{"status", string(report.TCB.Status), "advisories", append([]string{}, report.TCB.Advisories...), "evaluation_number", report.TCB.EvaluationNumber}
	report.Simulated = false // which is warned of at the start
	refused := attest.DefaultRefusals(report)
	if len(refused) == 0 {
		s.once(slog.LevelInfo, "checkers accept this platform", tcb...)
		return
	}
	var reasons []string
	for _, r := range refused {
		reasons = append(reasons, r.String())
	}
	s.once(slog.LevelWarn, "checkers refuse this platform, unless their policy says otherwise",
		append(tcb, "reasons", reasons, "remedies", report.TCB.Remedies)...)
}

func (s *staple) once(level slog.Level, finding string, facts ...any) {
	if now := fmt.Sprint(finding, facts); now != s.told {
		s.told = now
		s.log.Log(context.Background(), level, finding, facts...)
	}
}

// platformOf is what collateral for the evidence is asked by.
func platformOf(e *attest.Evidence) (dcap.Platform, error) {
	if e.Platform != "dcap" {
		return dcap.Platform{}, fmt.Errorf("got evidence of %q: there is no source of collateral for it", e.Platform)
	}
	quote, err := dcap.ParseQuote(e.Quote)
	if err != nil {
		return dcap.Platform{}, err
	}
	return quote.Platform()
}

// look is what is in the source's files now.
func (s *staple) look() []watch.Content {
	var now []watch.Content
	for _, f := range s.source.Files() {
		now = append(now, watch.Look(f))
	}
	return now
}

// reopen opens the source again when one of its files has changed. Files that can't be
// read (one caught half written, say) change nothing.
func (s *staple) reopen() {
	now := s.look()
	if slices.Equal(now, s.seen) {
		return
	}
	s.seen = now
	open, err := s.source.Open(s.root)
	if err != nil {
		s.log.Warn("the files of the collateral's source have changed and can't be used; what was read last is kept", "err", err)
		return
	}
	s.open = open
}

// checkCollateral reads the files that the source names, and asks nobody.
func (c *config) checkCollateral() error {
	_, err := c.Collateral.Warnings()
	if err == nil && c.Collateral.File != "" {
		_, err = evidence.ReadCollateral(c.Collateral.File)
	}
	if err != nil {
		return c.file.Fault("collateral", "%w", err)
	}
	return nil
}

func collateralWords(c *config) string {
	if c.Collateral.Empty() {
		return "what comes with the evidence is served beside it; where nothing does, checkers need a way to the hardware's maker, or files"
	}
	return "that of " + c.Collateral.String() + ", is served beside the evidence"
}
