package snp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Verifier verifies attestation reports of SEV-SNP. Its zero value trusts AMD's roots and uses the collateral that comes with the
// evidence. It remembers the certificate chain that it verified last, and may be used by many goroutines at once. It must not be copied.
type Verifier struct {
	// Root is the trust anchor; nil means AMD's root keys of Milan, Genoa and Turin. Under any other root every report is marked as simulated.
	Root *x509.Certificate
	// Collateral finds collateral for evidence that brings none, brings what is refused, or brings no revocation list. Nil: none is to be had.
	Collateral kds.Source

	memo memo
}

// Platform returns "snp".
func (v *Verifier) Platform() string { return tee.SNP }

// Verify implements [tee.Verifier]. It takes one ECDSA P-384 and five RSA-4096 verifications, of which three are
// spared while the certificates and the list are those of the time before. Collateral that came with the evidence goes
// first. What is missing of it is asked of the source; if that can't tell, a revocation list may be missing, and
// nothing else. Of a key whose certificate no source has (a VLEK's, or that of a chip whose host hides its id) the source is asked for the rest all the same, for a second. If what came is
// refused, the source is asked for all of it, and if that is refused too, the error has both reasons. What a list revokes, other collateral can't lift, but for a chain by another CA that is on none of the lists.
func (v *Verifier) Verify(ctx context.Context, e *tee.Evidence, at time.Time) (*tee.Report, error) {
	if e.Platform != tee.SNP {
		return nil, fmt.Errorf("evidence of the platform %q, want %q", e.Platform, tee.SNP)
	}
	report, err := ParseReport(e.Quote)
	if err != nil {
		return nil, err
	}
	s := &subject{v: v, report: report, at: at}
	came := new(kds.Collateral)
	var refused error
	if len(e.Collateral) > 0 {
		if came, refused = kds.ParseCollateral(e.Collateral); refused != nil {
			came = new(kds.Collateral)
		}
	}
	if len(came.Leaf) > 0 {
		r, err := s.stapled(ctx, came)
		if err == nil || v.Collateral == nil {
			return r, err
		}
		refused = err
	}
	r, err := s.sourced(ctx, came)
	switch {
	case err == nil || refused == nil || errors.Is(err, tee.ErrRevoked):
		return r, err
	case errors.Is(refused, tee.ErrRevoked): // and not that it can't be told
		return nil, refused
	}
	return nil, fmt.Errorf("collateral that came with the evidence: %w; and from the source: %w", refused, err)
}

// subject is a report, and the instant that it is judged at.
type subject struct {
	v      *Verifier
	report *Report
	at     time.Time
	list   *x509.RevocationList // by which a chain of this report was refused: it counts for every other, too
}

// sourceWait is how long a source is waited for where it is not needed: a TLS handshake may wait, which has 5 s for all that it waits for.
const sourceWait = time.Second

// stapled judges by what came with the evidence, completed by the source: the host's certificate table has no revocation list.
func (s *subject) stapled(ctx context.Context, came *kds.Collateral) (*tee.Report, error) {
	about := s.report.About.Of(came.Leaf)
	whole := len(came.CRL) > 0 && len(came.CA) > 0 && len(came.Root) > 0
	switch {
	case whole && !about.Served() && s.v.Collateral != nil:
		return s.overruled(ctx, came, about)
	case whole || s.v.Collateral == nil:
		return s.judge(came)
	}
	more, err := s.ask(ctx, about)
	if err == nil {
		// CA, root and list belong together; the key's certificate is the one that came.
		return s.judge((&kds.Collateral{Leaf: came.Leaf}).Complete(more))
	}
	if len(came.CA) == 0 || len(came.Root) == 0 && s.v.Root == nil {
		return nil, err
	}
	return s.judge(came)
}

// overruled judges by what came, and by what the source has in the place of all but the leaf, which no source has. Whoever brought it chose
// the list, and without the leaf nobody else could judge by a newer one.
func (s *subject) overruled(ctx context.Context, came *kds.Collateral, about kds.Platform) (*tee.Report, error) {
	if r, err := s.judge(came); err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, sourceWait)
	defer cancel()
	if more, err := s.ask(ctx, about); err == nil {
		r, err := s.judge((&kds.Collateral{Leaf: came.Leaf}).Complete(more))
		if err == nil && r.AMD.RevocationChecked {
			return r, nil
		}
	}
	return s.judge(came) // which the source's list may have refused by now
}

// sourced judges by what the source has. It has no certificate of a VLEK: that must have come with the evidence.
func (s *subject) sourced(ctx context.Context, came *kds.Collateral) (*tee.Report, error) {
	about := s.report.About
	if !about.Served() { // else what came, which may be about anything, does not say whom to ask about
		about = about.Of(came.Leaf)
	}
	if s.v.Collateral == nil {
		return nil, fmt.Errorf("platform %v: %w", about, kds.ErrNoCollateral)
	}
	c, err := s.ask(ctx, about)
	if err != nil {
		return nil, err
	}
	if len(c.Leaf) == 0 {
		c = c.Complete(&kds.Collateral{Leaf: came.Leaf})
	}
	return s.judge(c)
}

func (s *subject) ask(ctx context.Context, about kds.Platform) (*kds.Collateral, error) {
	c, err := s.v.Collateral.Collateral(ctx, about)
	if err == nil && c == nil {
		err = kds.ErrNoCollateral
	}
	if err != nil {
		return nil, fmt.Errorf("collateral of the platform %v: %w: %w", about, err, tee.ErrUnavailable)
	}
	return c, nil
}

// judge takes the steps 2 to 5 of the package's documentation.
func (s *subject) judge(c *kds.Collateral) (*tee.Report, error) {
	if len(c.Leaf) == 0 {
		return nil, fmt.Errorf("the certificate of the key that signed the report is missing (%s): %w", s.report.About.SignedBy, kds.ErrNoCollateral)
	}
	// 2 The root vouches for the CA, the CA for the key.
	ch, err := s.v.memo.verify(c, s.v.Root)
	if err != nil {
		return nil, err
	}
	// 3 It is of the key of this report, and of no other.
	if err := ch.About(s.report.About); err != nil {
		return nil, err
	}
	// 4 All of it is valid at the instant, and not revoked.
	if err := s.revoked(ch); err != nil {
		return nil, err
	}
	if err := ch.Valid(s.at); err != nil {
		return nil, err
	}
	// 5 The key signed the report.
	if err := verifySignature(s.report, ch, s.at); err != nil {
		return nil, notSigned(s.report, err)
	}
	r := s.report.facts(ch.Product)
	r.At, r.Simulated, r.Collateral, r.Basis = s.at, !ch.AMD, ch.Window(), ch.Basis()
	r.AMD.RevocationChecked = ch.CRL != nil
	return r, nil
}

// revoked tells whether the chain's own list revokes it, or one that has revoked another chain of the key: AMD certifies CAs anew, so
// that a chain is revoked does not say that another of the same key is.
func (s *subject) revoked(ch *kds.Chain) error {
	err := ch.Revoked()
	if err == nil {
		return ch.RevokedBy(s.list)
	}
	// Of a VLEK, and of a chip whose host hides its id, the certificate alone does not say whose report it is about.
	if other := signature(s.report, ch); other != nil {
		return notSigned(s.report, other)
	}
	s.list = ch.CRL
	return err
}

func notSigned(r *Report, err error) error {
	return fmt.Errorf("report: not signed by its %s: %w", r.About.SignedBy, err)
}
