package nitro

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/hf/nitrite"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Verifier verifies attestation documents of AWS Nitro Enclaves. Its zero value trusts AWS's root. It keeps
// nothing and may be used by many goroutines at once.
type Verifier struct {
	// Root is the trust anchor; nil means the root of AWS's Nitro Enclaves PKI. Under any
	// other root every report is marked as simulated.
	Root *x509.Certificate
}

// Platform returns "nitro".
func (v *Verifier) Platform() string { return tee.Nitro }

// Verify implements [tee.Verifier]. It takes an ECDSA verification for each certificate and for the document, asks nobody, and
// looks at no collateral: a document brings what it needs.
func (v *Verifier) Verify(ctx context.Context, e *tee.Evidence, at time.Time) (*tee.Report, error) {
	if e.Platform != tee.Nitro {
		return nil, fmt.Errorf("evidence of the platform %q, want %q", e.Platform, tee.Nitro)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	root, err := v.anchor()
	if err != nil {
		return nil, err
	}
	// 1 The form.
	d, err := ParseDocument(e.Quote)
	if err != nil {
		return nil, err
	}
	// 2 The chain, its signatures aside.
	c, err := newChain(d, root)
	if err != nil {
		return nil, err
	}
	// 3 The instants.
	if err := c.contain(at); err != nil {
		return nil, err
	}
	if err := c.signedInLife(d.Timestamp); err != nil {
		return nil, err
	}
	// 4 The signatures.
	if err := d.verify(root, at); err != nil {
		return nil, err
	}
	r := facts(d, c)
	r.At, r.Simulated = at, !isAWS(root)
	return r, nil
}

// verify checks the signatures of the chain and of the document.
func (d *Document) verify(root *x509.Certificate, at time.Time) error {
	if at.IsZero() {
		return errors.New("no instant is given to judge at") // which nitrite would take for now
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	got, err := nitrite.Verify(d.sign1, nitrite.VerifyOptions{Roots: roots, CurrentTime: at})
	switch {
	case errors.Is(err, nitrite.ErrBadSignature):
		return errors.New("document: not signed by the key of its certificate")
	case err != nil: // also where there is a result
		return fmt.Errorf("certificate chain: %w", err)
	case got == nil || !got.SignatureOK || !bytes.Equal(got.Payload, d.payload):
		return errors.New("document: its signature is not confirmed") // which a result without an error must be
	}
	return nil
}
