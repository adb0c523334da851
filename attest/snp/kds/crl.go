package kds

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// readCRL reads a DER revocation list that the root must have signed (RFC 5280 §5). It is about what the root issued, the CAs: AMD revokes
// no VCEK, since a newer TCB takes its place.
func readCRL(der []byte, root *x509.Certificate) (*x509.RevocationList, error) {
	if len(der) > maxCollateral {
		return nil, fmt.Errorf("got %d bytes, want at most %d", len(der), maxCollateral)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	if err := checkCRL(list, der); err != nil {
		return nil, err
	}
	if !bytes.Equal(list.RawIssuer, root.RawSubject) {
		return nil, fmt.Errorf("issuer: got %.100q, want %.100q", list.Issuer.CommonName, root.Subject.CommonName)
	}
	if err := list.CheckSignatureFrom(root); err != nil {
		return nil, fmt.Errorf("not signed by %.100q: %w", root.Subject.CommonName, err)
	}
	return list, nil
}

// checkCRL refuses lists that the standard library reads, but not for what they say.
func checkCRL(list *x509.RevocationList, der []byte) error {
	if len(list.Raw) != len(der) {
		return fmt.Errorf("got %d bytes behind it", len(der)-len(list.Raw))
	}
	// It has three parts (RFC 5280 §5.1). What follows the signature nobody has signed.
	var parts []asn1.RawValue
	if _, err := asn1.Unmarshal(der, &parts); err != nil || len(parts) != 3 {
		return errors.New("something follows its signature")
	}
	if list.SignatureAlgorithm != x509.SHA384WithRSAPSS {
		return fmt.Errorf("signature algorithm: got %v, want %v", list.SignatureAlgorithm, x509.SHA384WithRSAPSS)
	}
	if list.NextUpdate.IsZero() {
		return errors.New("it has no nextUpdate, so it could never be too old (RFC 5280 §5.1.2.5)")
	}
	// A critical extension would make it a partial or an indirect list (RFC 5280 §5.2.4, §5.2.5, §5.3.3).
	extensions := list.Extensions
	for _, entry := range list.RevokedCertificateEntries {
		extensions = append(extensions, entry.Extensions...)
	}
	for _, e := range extensions {
		if e.Critical {
			return fmt.Errorf("unknown critical extension %.100s", e.Id)
		}
	}
	return nil
}

// Revoked returns an error that is a [tee.ErrRevoked] if there is a list and the CA or the root itself is on it. Every entry counts, whatever its reason and date.
func (ch *Chain) Revoked() error { return ch.RevokedBy(ch.CRL) }

// RevokedBy is Revoked by another verified list of the same root; nil is none.
func (ch *Chain) RevokedBy(list *x509.RevocationList) error {
	if list == nil {
		return nil
	}
	for _, entry := range list.RevokedCertificateEntries {
		for _, cert := range []*x509.Certificate{ch.CA, ch.Root} {
			if entry.SerialNumber.Cmp(cert.SerialNumber) == 0 {
				return fmt.Errorf("%.100q (serial number %x): %w on %s by %.100q", cert.Subject.CommonName, cert.SerialNumber, tee.ErrRevoked,
					stamp(entry.RevocationTime), ch.Root.Subject.CommonName)
			}
		}
	}
	return nil
}
