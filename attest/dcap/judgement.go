package dcap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// judgement is collateral of which every signature and chain is verified. It
// does not depend on the instant: when it holds is in basis.
type judgement struct {
	tcb   *tcbInfo
	qe    *qeIdentity
	basis basis // the lists, the signers and the documents

	rootCRL *crl // revokes PCK CAs and TCB signers
	pckCRL  *crl // revokes PCKs
}

// judge verifies the collateral of platforms that ca certified, for the environment want ("sgx" or "tdx",
// "" for either). ca is verified but for its revocation, which is decided here.
func (a *anchor) judge(c *Collateral, ca *x509.Certificate, want string) (*judgement, error) {
	if err := c.bounded(); err != nil {
		return nil, err
	}
	j := &judgement{basis: make(basis, 0, 8)}
	if err := j.readLists(a, c, ca); err != nil {
		return nil, err
	}
	tcb := &signed{"TCB info", c.TCBInfoIssuerChain, c.TCBInfo, c.TCBInfoSignature}
	qe := &signed{"QE identity", c.QEIdentityIssuerChain, c.QEIdentity, c.QEIdentitySignature}
	key, err := j.signer(a, tcb)
	if err != nil {
		return nil, err
	}
	if err := tcb.verify(key); err != nil {
		return nil, err
	}
	// As a rule both documents come with the same chain, which need not be verified twice.
	if qe.chain != tcb.chain {
		if key, err = j.signer(a, qe); err != nil {
			return nil, err
		}
	}
	if err := qe.verify(key); err != nil {
		return nil, err
	}
	// Only now, as signed bytes, are they read.
	if j.tcb, err = parseTCBInfo(tcb.text, want); err != nil {
		return nil, err
	}
	if j.qe, err = parseQEIdentity(qe.text, j.tcb.tee); err != nil {
		return nil, err
	}
	j.basis = append(j.basis, tee.Basis{What: tcb.what, SignedBy: nameTCBSigner, Window: j.tcb.window},
		tee.Basis{What: qe.what, SignedBy: nameTCBSigner, Window: j.qe.window})
	return j, nil
}

// evaluation is the tcbEvaluationDataNumber of both documents together: no newer than the older of them.
func (j *judgement) evaluation() uint32 { return min(j.tcb.evaluation, j.qe.evaluation) }

// signed is one of the two documents that come with a signature.
type signed struct {
	what      string // "TCB info" or "QE identity"
	chain     string // PEM: the TCB signer and the root
	text      string
	signature []byte // r ‖ s
}

// signer verifies the document's issuer chain, and that the root CRL does not revoke it. It returns the signer's key.
func (j *judgement) signer(a *anchor, s *signed) (*ecdsa.PublicKey, error) {
	cert, key, err := a.signer(s.chain)
	if err != nil {
		return nil, fmt.Errorf("%s issuer chain: %w", s.what, err)
	}
	what := s.what + " signer certificate"
	if err := j.rootCRL.check(what, cert); err != nil {
		return nil, err
	}
	j.basis = append(j.basis, certBasis(what, cert))
	return key, nil
}

// verify checks the signature over the bytes as they came, never over a reading of them.
func (s *signed) verify(key *ecdsa.PublicKey) error {
	if err := verifyECDSA(key, []byte(s.text), s.signature); err != nil {
		return fmt.Errorf("%s: not signed by %q: %w", s.what, nameTCBSigner, err)
	}
	return nil
}

// bounded checks the sizes, since collateral need not come from ParseCollateral.
func (c *Collateral) bounded() error {
	for _, size := range []int{
		len(c.PCKCRLIssuerChain), len(c.RootCACRL), len(c.PCKCRL), len(c.TCBInfoIssuerChain), len(c.TCBInfo),
		len(c.TCBInfoSignature), len(c.QEIdentityIssuerChain), len(c.QEIdentity), len(c.QEIdentitySignature),
	} {
		if size > maxCollateralSize {
			return fmt.Errorf("collateral: a part is too large: got %d bytes, want at most %d", size, maxCollateralSize)
		}
	}
	return nil
}

// readLists verifies both revocation lists, and that the first does not revoke the issuer of the second.
func (j *judgement) readLists(a *anchor, c *Collateral, ca *x509.Certificate) (err error) {
	if j.rootCRL, err = verifyCRL("root CRL", c.RootCACRL, a.cert); err != nil {
		return err
	}
	issuer, err := a.crlIssuer(c.PCKCRLIssuerChain, ca)
	if err != nil {
		return fmt.Errorf("PCK CRL issuer chain: %w", err)
	}
	if err := j.rootCRL.check("PCK CA certificate", ca); err != nil {
		return finalError{err}
	}
	if issuer != ca { // certified anew, and perhaps revoked since
		if err := j.rootCRL.check("PCK CA certificate", issuer); err != nil {
			return err
		}
	}
	if j.pckCRL, err = verifyCRL("PCK CRL", c.PCKCRL, issuer); err != nil {
		return err
	}
	j.basis = append(j.basis, j.rootCRL.basis)
	if issuer != ca {
		j.basis = append(j.basis, certBasis("PCK CRL issuer certificate", issuer))
	}
	j.basis = append(j.basis, j.pckCRL.basis)
	return nil
}

// crlIssuer verifies the chain of the PCK CRL. Its CA must be that of the
// quote, for a list of another CA says nothing of this PCK.
func (a *anchor) crlIssuer(text string, ca *x509.Certificate) (*x509.Certificate, error) {
	chain, err := a.parse([]byte(text), 2, ca)
	if err != nil {
		return nil, err
	}
	issuer := chain[0]
	switch {
	case issuer == ca:
		return ca, nil
	case !bytes.Equal(issuer.RawSubject, ca.RawSubject):
		return nil, fmt.Errorf("got %q, want %q, which issued the PCK certificate", issuer.Subject.CommonName, ca.Subject.CommonName)
	case !bytes.Equal(issuer.RawSubjectPublicKeyInfo, ca.RawSubjectPublicKeyInfo):
		return nil, fmt.Errorf("the key of %q is not that which signed the PCK certificate", issuer.Subject.CommonName)
	}
	return issuer, issued(issuer, a.cert)
}

// verifyECDSA checks a signature r ‖ s of 64 bytes over the SHA-256 of the message.
func verifyECDSA(key *ecdsa.PublicKey, message, signature []byte) error {
	if len(signature) != 64 {
		return fmt.Errorf("signature: got %d bytes, want 64", len(signature))
	}
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	digest := sha256.Sum256(message)
	if !ecdsa.Verify(key, digest[:], r, s) {
		return errors.New("the ECDSA signature does not verify")
	}
	return nil
}
