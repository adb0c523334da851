package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/internal/watch"
)

// staple gets the collateral that the broker serves beside its evidence. It verifies
// what it gets, so that neither a bad service nor an old file makes the broker serve junk;
// checkers verify it once more, and believe nobody but the hardware's maker.
type staple struct {
	source evidence.Source
	root   *x509.Certificate // of the evidence; nil means the hardware maker's
	log    *slog.Logger

	open *evidence.Collateral
	seen []watch.Content // the files that it was opened with
	told string          // what was logged of the platform last
}

// maker is what is particular to the collateral of one hardware maker.
type maker interface {
	// collateral returns what verifies the evidence, itself verified, about its platform and valid now, and
	// until when it is. An error beside it tells why there is no better.
	collateral(ctx context.Context, open *evidence.Collateral, e *attest.Evidence) (data []byte, until time.Time, err error)
	// view is how checkers see the evidence by its collateral.
	view(ctx context.Context, e *attest.Evidence) finding
}

// finding is a line of the log.
type finding struct {
	level slog.Level
	text  string
	facts []any
}

// makerOf chooses by the platform that made the evidence.
func (s *staple) makerOf(platform string) (maker, error) {
	switch platform {
	case tee.DCAP:
		return intel{s.root}, nil
	case tee.SNP:
		return amd{s.root}, nil
	}
	// Of Nitro there is none: a document has all that it is verified by.
	return nil, fmt.Errorf("got evidence of %q: there is no source of collateral for it", platform)
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
	m, err := s.makerOf(e.Platform)
	if err != nil {
		return nil, time.Time{}, err
	}
	data, until, err := m.collateral(ctx, s.open, e)
	if data == nil {
		return nil, time.Time{}, err
	}
	s.tell(m.view(ctx, &attest.Evidence{Platform: e.Platform, Quote: e.Quote, Collateral: data}))
	return data, until, cmp.Or(err, s.open.Err())
}

// tell logs how checkers see this platform by the collateral, once and whenever that
// changes, so that its operator learns of a weakness when they do. What they see is served
// whether it is welcome or not.
func (s *staple) tell(f finding) {
	if now := fmt.Sprint(f.text, f.facts); now != s.told {
		s.told = now
		s.log.Log(context.Background(), f.level, f.text, f.facts...)
	}
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
	if slices.Contains(now, watch.Content{}) {
		s.log.Warn("a file of the collateral's source is absent or no regular file any more; what was read last is kept")
		return // to read a pipe would wait for who writes it
	}
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
	return "from " + c.Collateral.String() + "; served beside the evidence"
}
