package dcap

import (
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
)

// platform is a PCK certificate that chains to the root, and what it certifies.
type platform struct {
	pck   *PCK
	key   *ecdsa.PublicKey
	cert  *x509.Certificate
	ca    *x509.Certificate
	which string // "processor" or "platform"
	basis basis  // the root, the PCK CA and the PCK certificate
}

// platform verifies the PCK certificate chain of a quote.
func (a *anchor) platform(c *Certification) (*platform, error) {
	p, err := a.verifyPCK(c)
	if err != nil {
		return nil, fmt.Errorf("PCK certificate chain: %w", err)
	}
	return p, nil
}

func (a *anchor) verifyPCK(c *Certification) (*platform, error) {
	chain, err := a.parse(c.pem(), 3, nil)
	if err != nil {
		return nil, err
	}
	p := &platform{cert: chain[0], ca: chain[1]}
	if p.which, err = pckCA(p.ca); err != nil {
		return nil, err
	}
	if err := issued(p.ca, a.cert); err != nil {
		return nil, err
	}
	if err := issued(p.cert, p.ca); err != nil {
		return nil, err
	}
	if p.key, err = checkSigner(p.cert, namePCK); err != nil {
		return nil, err
	}
	if p.pck, err = ParsePCK(p.cert); err != nil {
		return nil, err
	}
	p.basis = basis{certBasis("root certificate", a.cert), certBasis("PCK CA certificate", p.ca), certBasis("PCK certificate", p.cert)}
	return p, nil
}

// pckCA returns which PCK CA the certificate is: "processor" or "platform".
func pckCA(cert *x509.Certificate) (string, error) {
	switch name := cert.Subject.CommonName; name {
	case nameProcessorCA:
		return "processor", nil
	case namePlatformCA:
		return "platform", nil
	default:
		return "", fmt.Errorf("common name of the PCK CA: got %q, want %q or %q", name, nameProcessorCA, namePlatformCA)
	}
}
