package dcap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
)

// The names that Intel gives its CAs and signers (PCK Certificate and CRL
// Profile Specification). They tell roles apart; trust comes from the root's key alone.
const (
	namePCK         = "Intel SGX PCK Certificate"
	nameProcessorCA = "Intel SGX PCK Processor CA"
	namePlatformCA  = "Intel SGX PCK Platform CA"
	nameTCBSigner   = "Intel SGX TCB Signing"
)

// anchor is the pinned root. It verifies what it signed directly.
type anchor struct {
	cert  *x509.Certificate
	intel bool // the root is Intel's own
}

// newAnchor returns the anchor of a root, Intel's if it is nil. A root that may
// not sign CAs would vouch for nothing, so it is refused here, by name.
func newAnchor(root *x509.Certificate) (*anchor, error) {
	intel := intelRoot()
	if intel == nil {
		return nil, errors.New("dcap: the built-in root does not parse") // the test of intelRoot excludes it
	}
	if root == nil {
		root = intel
	}
	if err := checkCA(root); err != nil {
		return nil, fmt.Errorf("root: %w", err)
	}
	if root.MaxPathLen == 0 {
		return nil, errors.New("root: its path length constraint forbids the PCK CAs below it")
	}
	return &anchor{root, bytes.Equal(root.Raw, intel.Raw)}, nil
}

// parse parses a PEM chain of n certificates that ends in the root, and returns
// it with the leaf first. Only the root is judged here. A certificate with the bytes of the
// known one is that one.
func (a *anchor) parse(text []byte, n int, known *x509.Certificate) ([]*x509.Certificate, error) {
	ders, err := decodePEM(text, n)
	if err != nil {
		return nil, err
	}
	if err := a.isRoot(ders[n-1]); err != nil {
		return nil, err
	}
	chain := make([]*x509.Certificate, n)
	chain[n-1] = a.cert
	for i, der := range ders[:n-1] {
		if known != nil && bytes.Equal(der, known.Raw) {
			chain[i] = known
		} else if chain[i], err = x509.ParseCertificate(der); err != nil {
			return nil, fmt.Errorf("certificate %d of %d: %w", i+1, n, err)
		}
	}
	return chain, nil
}

// isRoot tells whether a certificate is the pinned root: the same bytes, or an
// earlier edition of it, which has the same key and is signed by it. (Intel's
// root was reissued with a later end, and older platforms still send the
// first.) Names have no say. The pinned edition is then used in its place.
func (a *anchor) isRoot(der []byte) error {
	if bytes.Equal(der, a.cert.Raw) {
		return nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	if !bytes.Equal(cert.RawSubjectPublicKeyInfo, a.cert.RawSubjectPublicKeyInfo) {
		why := "whose key is not Intel's"
		if !a.intel {
			why = "which is not the given development root"
		}
		return fmt.Errorf("ends in the root %q, %s: %w", cert.Subject.CommonName, why, ErrUntrustedRoot)
	}
	if err := cert.CheckSignatureFrom(a.cert); err != nil {
		return fmt.Errorf("root: an edition that its own key did not sign: %w", err)
	}
	return nil
}

// issued checks that parent, itself trusted, issued cert: parent is a CA that may
// sign certificates, its name is the issuer, and its P-256 key made the signature.
func issued(cert, parent *x509.Certificate) error {
	name := cert.Subject.CommonName
	if err := checkCA(parent); err != nil {
		return err
	}
	switch {
	case !bytes.Equal(cert.RawIssuer, parent.RawSubject):
		return fmt.Errorf("%q: issuer: got %q, want %q", name, cert.Issuer.CommonName, parent.Subject.CommonName)
	case cert.SignatureAlgorithm != x509.ECDSAWithSHA256:
		return fmt.Errorf("%q: signature algorithm: got %v, want %v", name, cert.SignatureAlgorithm, x509.ECDSAWithSHA256)
	case len(cert.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("%q: unknown critical extension %v", name, cert.UnhandledCriticalExtensions[0])
	}
	if err := cert.CheckSignatureFrom(parent); err != nil {
		return fmt.Errorf("%q: not signed by %q: %w", name, parent.Subject.CommonName, err)
	}
	return nil
}

// checkCA checks what the certificate says of itself: that it is a CA that signs certificates and CRLs.
func checkCA(cert *x509.Certificate) error {
	const want = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	switch name := cert.Subject.CommonName; {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return fmt.Errorf("%q: not a CA by its basic constraints", name)
	case cert.KeyUsage&want != want:
		return fmt.Errorf("%q: its key usage does not allow to sign certificates and CRLs", name)
	}
	_, err := p256Key(cert)
	return err
}

// checkSigner checks that the certificate is an end entity that signs data, and returns its key.
func checkSigner(cert *x509.Certificate, name string) (*ecdsa.PublicKey, error) {
	switch got := cert.Subject.CommonName; {
	case got != name:
		return nil, fmt.Errorf("common name: got %q, want %q", got, name)
	case !cert.BasicConstraintsValid || cert.IsCA:
		return nil, fmt.Errorf("%q: its basic constraints do not say that it is no CA", name)
	case cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, fmt.Errorf("%q: its key usage does not allow to sign data", name)
	}
	return p256Key(cert)
}

func p256Key(cert *x509.Certificate) (*ecdsa.PublicKey, error) {
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%q: its key is not of the curve P-256", cert.Subject.CommonName)
	}
	return key, nil
}

// signer verifies an issuer chain of TCB info or QE identity: the signer below the root.
func (a *anchor) signer(text string) (*x509.Certificate, *ecdsa.PublicKey, error) {
	chain, err := a.parse([]byte(text), 2, nil)
	if err != nil {
		return nil, nil, err
	}
	if err := issued(chain[0], a.cert); err != nil {
		return nil, nil, err
	}
	key, err := checkSigner(chain[0], nameTCBSigner)
	return chain[0], key, err
}
