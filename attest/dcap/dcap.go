package dcap

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Verifier verifies quotes. Its zero value trusts Intel's root and uses the
// collateral that comes with the evidence. It keeps nothing and may be used by
// many goroutines at once.
type Verifier struct {
	// Root is the trust anchor; nil means the Intel SGX Root CA. Under any
	// other root every report is marked as simulated.
	Root *x509.Certificate
	// Collateral finds collateral for evidence that brings none, or brings what is refused. Nil: none is to be had.
	Collateral Source
}

// platformName is what evidence of this kind is called.
const platformName = "dcap"

// Platform returns "dcap".
func (v *Verifier) Platform() string { return platformName }

// Verify implements [tee.Verifier]. It takes nine ECDSA verifications, for TDX as for SGX, and
// little else, and asks the source for collateral only about a quote that the root vouches for. Collateral
// that came with the evidence goes first; if both that and the source's are refused, the error has both reasons. A revoked
// PCK or PCK CA certificate is final: no other collateral is asked for.
func (v *Verifier) Verify(ctx context.Context, e *tee.Evidence, at time.Time) (*tee.Report, error) {
	if e.Platform != platformName {
		return nil, fmt.Errorf("evidence of the platform %q, want %q", e.Platform, platformName)
	}
	root, err := newAnchor(v.Root)
	if err != nil {
		return nil, err
	}
	// 1 Parse, strictly.
	q, err := ParseQuote(e.Quote)
	if err != nil {
		return nil, err
	}
	// 2 The root vouches for the PCK.
	p, err := root.platform(&q.Signature.Certification)
	if err != nil {
		return nil, err
	}
	// 3 The PCK vouches for the quoting enclave, it for the attestation key, that for the quote.
	if err := q.verify(p.key); err != nil {
		return nil, err
	}
	// 4 to 8 What the collateral says of them.
	r, err := v.judge(ctx, e.Collateral, &subject{root, q, p, at})
	if err != nil {
		return nil, err
	}
	r.At, r.Simulated = at, !root.intel
	return r, nil
}

// judge uses the collateral that came with the evidence, and if there is none or it is refused, that of the source.
func (v *Verifier) judge(ctx context.Context, staple []byte, s *subject) (*tee.Report, error) {
	about := Platform{s.quote.TEE(), s.platform.pck.FMSPC, s.platform.which}
	var refused error
	if len(staple) > 0 {
		r, err := s.stapled(staple)
		if err == nil || v.Collateral == nil || errors.As(err, new(finalError)) {
			return r, err
		}
		refused = err
	}
	if v.Collateral == nil {
		return nil, fmt.Errorf("platform %v: %w", about, ErrNoCollateral)
	}
	r, err := s.sourced(ctx, v.Collateral, about)
	if err != nil && refused != nil {
		err = fmt.Errorf("collateral that came with the evidence: %w; and from the source: %w", refused, err)
	}
	return r, err
}

// subject is a quote that the root vouches for, and the instant that it is judged at.
type subject struct {
	root     *anchor
	quote    *Quote
	platform *platform
	at       time.Time
}

func (s *subject) stapled(staple []byte) (*tee.Report, error) {
	c, err := ParseCollateral(staple)
	if err != nil {
		return nil, err
	}
	return s.judge(c)
}

func (s *subject) sourced(ctx context.Context, source Source, about Platform) (*tee.Report, error) {
	c, err := ask(ctx, source, about)
	if err != nil {
		return nil, fmt.Errorf("collateral of the platform %v: %w: %w", about, err, tee.ErrUnavailable)
	}
	return s.judge(c)
}

func (s *subject) judge(c *Collateral) (*tee.Report, error) {
	// 4 The root vouches for the collateral.
	j, err := s.root.judge(c, s.platform.ca, s.quote.TEE())
	if err != nil {
		return nil, err
	}
	return conclude(s.quote, s.platform, j, s.at)
}

// finalError is a refusal that no other collateral lifts: a certificate of the platform is revoked, and stays so. It is a [tee.ErrRevoked].
type finalError struct{ error }

func (e finalError) Is(target error) bool { return target == tee.ErrRevoked }

func (e finalError) Unwrap() error { return e.error }

// conclude takes the steps that follow the signatures.
func conclude(q *Quote, p *platform, j *judgement, at time.Time) (*tee.Report, error) {
	// 5 All that was used is valid at the instant, and 6 the PCK is not revoked.
	all := slices.Concat(p.basis, j.basis)
	if err := all.contain(at); err != nil {
		return nil, err
	}
	if err := j.pckCRL.check("PCK certificate", p.cert); err != nil {
		return nil, finalError{err}
	}
	// 7 The documents are about this platform and this quoting enclave.
	if err := j.tcb.match(p.pck); err != nil {
		return nil, err
	}
	if err := j.qe.match(&q.Signature.QE.Report); err != nil {
		return nil, err
	}
	// 8 How up to date all parts are.
	tcb, err := j.level(q, p.pck)
	if err != nil {
		return nil, err
	}
	r := facts(q, p)
	r.TCB, r.Collateral, r.Basis = *tcb, all.window(), all
	return r, nil
}

// verify checks the signatures within the quote, from the PCK's key upward.
func (q *Quote) verify(pck *ecdsa.PublicKey) error {
	s := &q.Signature
	if err := verifyECDSA(pck, s.QE.Report.Marshal(), s.QE.Signature[:]); err != nil {
		return fmt.Errorf("quote: report of the quoting enclave: not signed by the PCK: %w", err)
	}
	// The quoting enclave vouches for the attestation key: SHA-256(key ‖ auth data) ‖ 0³².
	digest := sha256.Sum256(slices.Concat(s.Key[:], s.QE.AuthData))
	if want := [64]byte(slices.Concat(digest[:], make([]byte, 32))); s.QE.Report.ReportData != want {
		return fmt.Errorf("quote: attestation key: the quoting enclave's report data is %x, want %x", s.QE.Report.ReportData, want)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, s.Key[:]))
	if err != nil {
		return fmt.Errorf("quote: attestation key: %w", err)
	}
	if err := verifyECDSA(key, q.Signed(), s.Quote[:]); err != nil {
		return fmt.Errorf("quote: not signed by its attestation key: %w", err)
	}
	return nil
}
