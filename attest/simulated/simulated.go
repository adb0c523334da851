// Package simulated is a development root of trust: it makes evidence of the
// genuine format, with collateral, under a root of its own. Nothing that
// matters may trust it; verifiers accept it only where a caller passes its
// root, and mark every report as simulated.
//
// A [Platform] is one simulated machine with Intel SGX or TDX: it has the keys, the
// certificates, the revocation lists and the judgements (TCB info, QE identity)
// that a genuine machine gets from Intel, and makes quotes of version 3, 4 or 5.
// [Config] says in which state the machine is; a [Fault] spoils one thing in
// its evidence, as a forger or a careless host would. [Variants] lists all of
// them together with what a correct verifier says.
//
// A [PCS] is Intel's web service for such machines: it issues their judgements anew, at any time
// and of any edition, and fails or lies when it is told to.
//
// The package does not verify anything: that is the work of package dcap, which
// shares no code with it, so that neither can hide a mistake of the other.
//
// What it is not: a hardware emulator. There is no enclave, nothing is
// isolated, and MRENCLAVE is what the configuration says.
package simulated

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Platform is simulated hardware. It is an [tee.Quoter], safe for concurrent use.
type Platform struct {
	root       *x509.Certificate
	collateral dcap.Collateral
	marshaled  []byte // collateral in its JSON form

	config Config // settled
	keys   *keyring

	head   []byte // header and report; the report data is still zero
	dataAt int    // where the report data goes
	tail   []byte // attestation key, QE report, certificates: all that follows the signature
	key    *ecdsa.PrivateKey
	spoil  func(quote []byte) []byte // a fault that strikes after signing; nil for none
}

// New makes a platform.
func New(c Config) (*Platform, error) {
	pl, err := newPlatform(c)
	if err != nil {
		return nil, fmt.Errorf("simulated: %w", err)
	}
	return pl, nil
}

func newPlatform(c Config) (*Platform, error) {
	c, err := c.settle()
	if err != nil {
		return nil, err
	}
	p, err := newPlan(c, collateralLife(c.Now))
	if err != nil {
		return nil, err
	}
	keys, err := newKeyring(slices.Clone(c.Seed))
	if err != nil {
		return nil, err
	}
	pl, err := build(p, keys)
	if err != nil {
		return nil, err
	}
	pl.config, pl.keys = c, keys
	return pl, nil
}

// Root returns the development root's certificate. It depends on the seed alone.
func (p *Platform) Root() *x509.Certificate { return p.root }

// RootPEM returns the development root's certificate for a file, such as a policy's simulated_root.
func (p *Platform) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.root.Raw})
}

// Collateral returns a copy of the platform's collateral.
func (p *Platform) Collateral() *dcap.Collateral {
	c := p.collateral
	c.RootCACRL, c.PCKCRL = slices.Clone(c.RootCACRL), slices.Clone(c.PCKCRL)
	c.TCBInfoSignature, c.QEIdentitySignature = slices.Clone(c.TCBInfoSignature), slices.Clone(c.QEIdentitySignature)
	return &c
}

// Validity is the window in which the evidence of a sound platform made at the instant now can be verified.
func Validity(now time.Time) tee.Window {
	l := collateralLife(wholeSeconds(now))
	return tee.Window{NotBefore: l.from, NotAfter: l.to}
}

// Quote implements [tee.Quoter] with a quote and the collateral beside it.
// The evidence shares its collateral with all evidence of the platform: do not modify it.
func (p *Platform) Quote(ctx context.Context, data [64]byte) (*tee.Evidence, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q, err := p.quote(data)
	if err != nil {
		return nil, fmt.Errorf("simulated: sign quote: %w", err)
	}
	return &tee.Evidence{Platform: "dcap", Quote: q, Collateral: p.marshaled}, nil
}
