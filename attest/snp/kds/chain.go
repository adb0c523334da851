package kds

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Chain is collateral whose signatures are verified, up to the root.
type Chain struct {
	Product  string // Milan, Genoa or Turin, of the root
	SignedBy string // VCEK or VLEK: what the CA certifies
	Root     *x509.Certificate
	CA       *x509.Certificate
	Leaf     *x509.Certificate    // nil if there is none
	Key      *Key                 // what Leaf certifies beside its key; nil if there is none
	CRL      *x509.RevocationList // nil if there is none
	AMD      bool                 // the root is AMD's own
}

// Verify verifies every signature: the root is one of AMD's, by the SHA-256 of its DER, or the given one if that is not nil;
// it signed the CA and the revocation list, the CA signed the leaf. Names tell roles apart and nothing else. Leaf and CRL may be missing, and so may
// the root if one is given. It takes one RSA-4096 verification for each of CA, leaf and list. When it is valid is told by [Chain.Valid], whether it is revoked by [Chain.Revoked].
func (c *Collateral) Verify(root *x509.Certificate) (*Chain, error) {
	ch, err := anchor(c.Root, root)
	if err != nil {
		return nil, fmt.Errorf("root certificate: %w", err)
	}
	if err := ch.addCA(c.CA); err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	if len(c.Leaf) > 0 {
		if err := ch.addLeaf(c.Leaf); err != nil {
			return nil, fmt.Errorf("%s certificate: %w", strings.ToUpper(ch.SignedBy), err)
		}
	}
	if len(c.CRL) > 0 {
		if ch.CRL, err = readCRL(c.CRL, ch.Root); err != nil {
			return nil, fmt.Errorf("revocation list: %w", err)
		}
	}
	return ch, nil
}

// errMissing says nothing against the report: what is missing may be had elsewhere.
var errMissing = fmt.Errorf("it is missing: %w", tee.ErrUnavailable)

// anchor begins a chain at the given root, which must be the pinned one.
func anchor(der []byte, pinned *x509.Certificate) (*Chain, error) {
	if pinned != nil {
		if len(der) > 0 && !bytes.Equal(der, pinned.Raw) {
			return nil, fmt.Errorf("it is not the given development root: %w", ErrUntrustedRoot)
		}
		product, ok := strings.CutPrefix(pinned.Subject.CommonName, "ARK-")
		if !ok || product != Milan && product != Genoa && product != Turin {
			return nil, fmt.Errorf("common name: got %.100q, want ARK-%s, ARK-%s or ARK-%s", pinned.Subject.CommonName, Milan, Genoa, Turin)
		}
		return &Chain{Product: product, Root: pinned, AMD: amdProduct(pinned.Raw) == product}, checkRoot(pinned)
	}
	if len(der) == 0 {
		return nil, errMissing
	}
	product := amdProduct(der)
	if product == "" {
		return nil, fmt.Errorf("its SHA-256 is not that of a root of AMD's: %w", ErrUntrustedRoot)
	}
	cert, err := parseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &Chain{Product: product, Root: cert, AMD: true}, checkRoot(cert)
}

// checkRoot refuses a root that may not sign CAs and lists, since it would vouch for nothing.
func checkRoot(root *x509.Certificate) error {
	const want = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	if !root.BasicConstraintsValid || !root.IsCA || root.KeyUsage&want != want {
		return fmt.Errorf("%.100q: it is no CA that may sign certificates and revocation lists", root.Subject.CommonName)
	}
	return nil
}

func (ch *Chain) addCA(der []byte) error {
	if len(der) == 0 {
		return errMissing
	}
	cert, err := parseCertificate(der)
	if err != nil {
		return err
	}
	switch name := cert.Subject.CommonName; name {
	case "SEV-" + ch.Product:
		ch.SignedBy = VCEK
	case "SEV-VLEK-" + ch.Product:
		ch.SignedBy = VLEK
	default:
		return fmt.Errorf("common name: got %.100q, want SEV-%[2]s or SEV-VLEK-%[2]s", name, ch.Product)
	}
	switch key, ok := cert.PublicKey.(*rsa.PublicKey); {
	case !ok || key.Size() != 512:
		return errors.New("its key is not RSA of 4096 bits")
	case !cert.BasicConstraintsValid || !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("it is no CA that may sign certificates")
	}
	ch.CA = cert
	return issued(cert, ch.Root)
}

func (ch *Chain) addLeaf(der []byte) error {
	cert, err := parseCertificate(der)
	if err != nil {
		return err
	}
	want := "SEV-" + strings.ToUpper(ch.SignedBy)
	switch key, ok := cert.PublicKey.(*ecdsa.PublicKey); {
	case cert.Subject.CommonName != want:
		return fmt.Errorf("common name: got %.100q, want %q", cert.Subject.CommonName, want)
	case !ok || key.Curve != elliptic.P384():
		return errors.New("its key is not of the curve P-384")
	case cert.IsCA:
		return errors.New("it is a CA")
	}
	if err := issued(cert, ch.CA); err != nil {
		return err
	}
	if ch.Key, err = parseKey(cert); err != nil {
		return err
	}
	if err := ch.Key.check(ch.Product, ch.SignedBy); err != nil {
		return err
	}
	ch.Leaf = cert
	return nil
}

// issued checks that the parent, itself trusted, issued cert, with RSA-PSS of SHA-384 as AMD does (AMD publication 57230).
func issued(cert, parent *x509.Certificate) error {
	switch {
	case !bytes.Equal(cert.RawIssuer, parent.RawSubject):
		return fmt.Errorf("issuer: got %.100q, want %.100q", cert.Issuer.CommonName, parent.Subject.CommonName)
	case cert.SignatureAlgorithm != x509.SHA384WithRSAPSS:
		return fmt.Errorf("signature algorithm: got %v, want %v", cert.SignatureAlgorithm, x509.SHA384WithRSAPSS)
	case len(cert.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("unknown critical extension %.100s", cert.UnhandledCriticalExtensions[0])
	}
	if err := cert.CheckSignatureFrom(parent); err != nil {
		return fmt.Errorf("not signed by %.100q: %w", parent.Subject.CommonName, err)
	}
	return nil
}

// parseCertificate reads DER with nothing behind it.
func parseCertificate(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCollateral {
		return nil, fmt.Errorf("got %d bytes, want at most %d", len(der), maxCollateral)
	}
	return x509.ParseCertificate(der) // which refuses trailing bytes
}

// Basis is all that a report under this chain rests on, from the root on.
func (ch *Chain) Basis() []tee.Basis {
	of := func(what string, cert *x509.Certificate) tee.Basis {
		return tee.Basis{What: what, SignedBy: cert.Issuer.CommonName, Window: tee.Window{NotBefore: cert.NotBefore, NotAfter: cert.NotAfter}}
	}
	all := []tee.Basis{of("root certificate", ch.Root), of("CA certificate", ch.CA)}
	if ch.Leaf != nil {
		all = append(all, of(strings.ToUpper(ch.SignedBy)+" certificate", ch.Leaf))
	}
	if ch.CRL != nil {
		window := tee.Window{NotBefore: ch.CRL.ThisUpdate, NotAfter: ch.CRL.NextUpdate}
		all = append(all, tee.Basis{What: "revocation list", SignedBy: ch.Root.Subject.CommonName, Window: window})
	}
	return all
}

// Window is when all of the chain is valid, both ends included.
func (ch *Chain) Window() tee.Window {
	all := tee.Window{NotBefore: ch.Root.NotBefore, NotAfter: ch.Root.NotAfter}
	for _, b := range ch.Basis() {
		if b.NotBefore.After(all.NotBefore) {
			all.NotBefore = b.NotBefore
		}
		if b.NotAfter.Before(all.NotAfter) {
			all.NotAfter = b.NotAfter
		}
	}
	return all
}

// Valid checks that all of the chain is valid at the instant.
func (ch *Chain) Valid(at time.Time) error {
	for _, b := range ch.Basis() {
		if at.Before(b.NotBefore) || at.After(b.NotAfter) {
			return fmt.Errorf("%s: valid from %s to %s, judged at %s", b.What, stamp(b.NotBefore), stamp(b.NotAfter), stamp(at))
		}
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
