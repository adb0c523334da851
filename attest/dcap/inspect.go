package dcap

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Judged is what verified collateral says of itself.
type Judged struct {
	Platform  Platform // that it is about
	PCEID     [2]byte
	Simulated bool // it is below a development root, not Intel's

	EvaluationNumber uint32    // the smaller of the two below
	TCBEvaluation    uint32    // tcbEvaluationDataNumber of the TCB info
	QEEvaluation     uint32    // and of the QE identity
	Issued           time.Time // when the TCB info was issued

	Window tee.Window  // in which all of it is valid
	Basis  []tee.Basis // its parts and the certificates above them, from the root on
}

// Inspect verifies collateral by itself, as [Verifier.Verify] does for a quote: every chain, revocation
// list and signature, and that all are valid at the instant. The PCK CA is that of the PCK CRL's
// issuer chain. It fetches nothing. Collateral that it accepts fits a quote whose platform is that of the answer.
func (v *Verifier) Inspect(c *Collateral, at time.Time) (*Judged, error) {
	if c == nil {
		return nil, errors.New("collateral: there is none")
	}
	root, err := newAnchor(v.Root)
	if err != nil {
		return nil, err
	}
	ca, which, err := root.listedCA(c)
	if err != nil {
		return nil, fmt.Errorf("PCK CRL issuer chain: %w", err)
	}
	j, err := root.judge(c, ca, "")
	if err != nil {
		return nil, err
	}
	all := append(basis{certBasis("root certificate", root.cert), certBasis("PCK CA certificate", ca)}, j.basis...)
	if err := all.contain(at); err != nil {
		return nil, err
	}
	return &Judged{
		Platform: Platform{j.tcb.tee, j.tcb.fmspc, which}, PCEID: j.tcb.pceID, Simulated: !root.intel,
		EvaluationNumber: j.evaluation(), TCBEvaluation: j.tcb.evaluation, QEEvaluation: j.qe.evaluation,
		Issued: j.tcb.window.NotBefore, Window: all.window(), Basis: all,
	}, nil
}

// listedCA returns the PCK CA that issued the collateral's PCK CRL, and which of the two it is.
func (a *anchor) listedCA(c *Collateral) (*x509.Certificate, string, error) {
	if err := c.bounded(); err != nil {
		return nil, "", err
	}
	chain, err := a.parse([]byte(c.PCKCRLIssuerChain), 2, nil)
	if err != nil {
		return nil, "", err
	}
	which, err := pckCA(chain[0])
	if err != nil {
		return nil, "", err
	}
	return chain[0], which, issued(chain[0], a.cert)
}
