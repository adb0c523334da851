// Package dcap verifies the evidence of Intel SGX (DCAP quotes of version 3),
// with the standard library only. Quotes of TDX (versions 4 and 5) are refused
// as not yet supported.
//
// It owns the question whether a quote is genuine: its layout, every
// signature in it, the certificates and revocation lists, and what Intel's signed
// documents (TCB info, QE identity) say of the platform. It answers with facts, also of
// a platform that is out of date or revoked: what to accept is the
// question of a policy (package attest). It fetches nothing; see [Source].
//
// The rules are those of Intel's "SGX ECDSA QuoteGenReference" and "PCK
// Certificate and CRL Profile Specification", and of the PCS API v4.
package dcap

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
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
	// Collateral finds collateral for evidence that brings none. Nil: none is to be had.
	Collateral Source
}

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

// ErrNoCollateral is returned if neither the evidence nor the verifier has collateral.
var ErrNoCollateral = errors.New("no collateral, neither with the evidence nor from the verifier")

// platformName is what evidence of this kind is called.
const platformName = "dcap"

// Platform returns "dcap".
func (v *Verifier) Platform() string { return platformName }

// Verify implements [tee.Verifier]. It takes nine ECDSA verifications and
// little else, and asks the source for collateral only about a quote that Intel's root vouches for.
// A chain with another root is an [ErrUntrustedRoot]; a failure of the source is an [tee.ErrUnavailable].
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
	// 4 The root vouches for the collateral.
	c, err := v.collateral(ctx, e, p)
	if err != nil {
		return nil, err
	}
	j, err := root.judge(c, p.ca)
	if err != nil {
		return nil, err
	}
	r, err := conclude(q, p, j, at)
	if err != nil {
		return nil, err
	}
	r.Simulated = !root.intel
	return r, nil
}

// conclude takes the steps that follow the signatures.
func conclude(q *Quote, p *platform, j *judgement, at time.Time) (*tee.Report, error) {
	// 5 All that was used is valid at the instant, and 6 the PCK is not revoked.
	all := slices.Concat(p.spans, j.spans)
	if err := all.contain(at); err != nil {
		return nil, err
	}
	if err := j.pckCRL.check("PCK certificate", p.cert); err != nil {
		return nil, err
	}
	// 7 The documents are about this platform and this quoting enclave.
	if err := j.tcb.match(p.pck); err != nil {
		return nil, err
	}
	if err := j.qe.match(&q.Signature.QE.Report); err != nil {
		return nil, err
	}
	// 8 How up to date both are.
	tcb, err := j.level(q, p.pck)
	if err != nil {
		return nil, err
	}
	r := facts(q, p)
	r.TCB, r.Collateral = *tcb, all.window()
	return r, nil
}

// collateral returns that of the evidence, else that of the source.
func (v *Verifier) collateral(ctx context.Context, e *tee.Evidence, p *platform) (*Collateral, error) {
	if len(e.Collateral) > 0 {
		return ParseCollateral(e.Collateral)
	}
	about := Platform{TEE: "sgx", FMSPC: p.pck.FMSPC, CA: p.which}
	if v.Collateral == nil {
		return nil, fmt.Errorf("platform %v: %w", about, ErrNoCollateral)
	}
	c, err := v.Collateral.Collateral(ctx, about)
	if err == nil && c == nil {
		err = ErrNoCollateral
	}
	if err != nil {
		return nil, fmt.Errorf("collateral of the platform %v: %w: %w", about, err, tee.ErrUnavailable)
	}
	return c, nil
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

// level finds how up to date the platform and its quoting enclave are.
func (j *judgement) level(q *Quote, pck *PCK) (*tee.TCB, error) {
	platform, short, err := j.tcb.level(pck)
	if err != nil {
		return nil, err
	}
	qe, qeShort, err := j.qe.level(&q.Signature.QE.Report)
	if err != nil {
		return nil, err
	}
	return &tee.TCB{
		Status:           converge(platform.status, qe.status),
		Platform:         platform.status,
		QE:               qe.status,
		Advisories:       mergeAdvisories(platform.advisories, qe.advisories),
		EvaluationNumber: min(j.tcb.evaluation, j.qe.evaluation),
		Shortfalls:       slices.Concat(short, qeShort),
	}, nil
}

// facts returns what the quote says of its enclave, and the certificate of its platform.
func facts(q *Quote, p *platform) *tee.Report {
	e := q.Enclave
	return &tee.Report{
		TEE:   "sgx",
		Data:  e.ReportData,
		Debug: e.Debug(),
		Measurements: map[string][]byte{
			"mrenclave":    e.MRENCLAVE[:],
			"mrsigner":     e.MRSIGNER[:],
			"attributes":   e.Attributes[:],
			"miscselect":   e.MiscSelect[:],
			"cpusvn":       e.CPUSVN[:],
			"configid":     e.ConfigID[:],
			"configsvn":    {byte(e.ConfigSVN), byte(e.ConfigSVN >> 8)},
			"isvextprodid": e.ISVExtProdID[:],
			"isvfamilyid":  e.ISVFamilyID[:],
		},
		ISVProdID: e.ISVProdID,
		ISVSVN:    e.ISVSVN,
		FMSPC:     hex.EncodeToString(p.pck.FMSPC[:]),
		PCKCA:     p.which,
	}
}
