package dcap

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// crl is a revocation list whose signature is verified.
type crl struct {
	name  string // "root CRL" or "PCK CRL"
	list  *x509.RevocationList
	basis tee.Basis
}

// verifyCRL reads a DER revocation list that issuer, itself trusted, must have signed (RFC 5280 §5).
// The root signs the list of the PCK CAs and TCB signers, a PCK CA that of its PCKs.
func verifyCRL(name string, der []byte, issuer *x509.Certificate) (*crl, error) {
	list, err := readCRL(der, issuer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &crl{name, list, tee.Basis{
		What: name, SignedBy: issuer.Subject.CommonName, Window: tee.Window{NotBefore: list.ThisUpdate, NotAfter: list.NextUpdate},
	}}, nil
}

func readCRL(der []byte, issuer *x509.Certificate) (*x509.RevocationList, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	switch {
	case len(list.Raw) != len(der): // the standard library ignores what follows
		return nil, fmt.Errorf("got %d bytes behind the list", len(der)-len(list.Raw))
	case !whole(der): // and so it does within it
		return nil, errors.New("something follows the signature of the list")
	case !bytes.Equal(list.RawIssuer, issuer.RawSubject):
		return nil, fmt.Errorf("issuer: got %.100q, want %q", list.Issuer.CommonName, issuer.Subject.CommonName)
	case list.SignatureAlgorithm != x509.ECDSAWithSHA256:
		return nil, fmt.Errorf("signature algorithm: got %v, want %v", list.SignatureAlgorithm, x509.ECDSAWithSHA256)
	case list.NextUpdate.IsZero():
		// Without it the list could never be too old (RFC 5280 §5.1.2.5 requires it).
		return nil, errors.New("nextUpdate is missing")
	}
	// A critical extension would make this a partial or an indirect list (RFC 5280 §5.2.4, §5.2.5, §5.3.3).
	for _, ext := range list.Extensions {
		if ext.Critical {
			return nil, fmt.Errorf("unknown critical extension %.100s", ext.Id)
		}
	}
	for _, entry := range list.RevokedCertificateEntries {
		for _, ext := range entry.Extensions {
			if ext.Critical {
				return nil, fmt.Errorf("entry %.40s: unknown critical extension %.100s", entry.SerialNumber.Text(16), ext.Id)
			}
		}
	}
	if err := list.CheckSignatureFrom(issuer); err != nil {
		return nil, fmt.Errorf("not signed by %q: %w", issuer.Subject.CommonName, err)
	}
	return list, nil
}

// whole tells whether a list has the three parts that it is of and no others (RFC 5280 §5.1), so that all of it is signed but the signature.
func whole(der []byte) bool {
	var parts []asn1.RawValue
	_, err := asn1.Unmarshal(der, &parts)
	return err == nil && len(parts) == 3
}

// check returns an error if the certificate, which the list's issuer issued, is revoked. Every
// entry counts, whatever its reason and date.
func (c *crl) check(what string, cert *x509.Certificate) error {
	for i := range c.list.RevokedCertificateEntries {
		entry := &c.list.RevokedCertificateEntries[i]
		if entry.SerialNumber.Cmp(cert.SerialNumber) == 0 {
			return fmt.Errorf("%s: revoked on %s by the %s (serial number %x)", what, stamp(entry.RevocationTime), c.name, cert.SerialNumber)
		}
	}
	return nil
}
