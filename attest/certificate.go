package attest

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/internal/selfsigned"
)

// commonName is the subject of every certificate, the original's too. Nothing
// depends on it: who a key belongs to is in the claims.
const commonName = "confidential-token-broker"

// Certify makes an attested certificate: self-signed by key, with evidence
// that the key lives in the environment of q and is bound as b says. The key
// is RSA, ECDSA or Ed25519.
//
// The schemes say which evidence the certificate carries; none means b.Scheme,
// and DICE if that is empty too. A broker that also serves checkers of the original's
// kind names both, and q makes one quote for each: a checker reads the
// one that it was told to. The scheme Original is for RSA keys that sign tokens.
//
// Evidence of Intel's platforms is in the extension 2.23.133.5.4.9 of TCG DICE, which Gramine's RA-TLS reads too; that of others
// is in 1.3.6.1.5.5.7.1.35, the RATS conceptual message wrapper. Either is of the scheme DICE, and a certificate has one of the two.
//
// Evidence of some platforms can be verified for hours only, whatever b.Expires is ([Evidence].NotAfter): whoever keeps a
// key certifies it anew before.
//
// Collateral that comes with the evidence does not go into the certificate,
// where it would make every key set some 20 KB larger: checkers get it from
// the hardware's maker.
func Certify(ctx context.Context, q Quoter, key crypto.Signer, b Binding, schemes ...string) (*x509.Certificate, error) {
	b.Issued, b.Expires = b.Issued.UTC().Truncate(time.Second), b.Expires.UTC().Truncate(time.Second)
	if err := b.check(); err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	if len(schemes) == 0 {
		schemes = []string{b.Scheme}
	}
	var extensions []pkix.Extension
	for _, scheme := range schemes {
		ext, err := evidenceExtension(ctx, q, key.Public(), spki, b, scheme)
		if err != nil {
			return nil, fmt.Errorf("certify: %w", err)
		}
		extensions = append(extensions, ext)
	}
	return selfSign(key, b, extensions)
}

// evidenceExtension asks q for evidence by one scheme.
func evidenceExtension(ctx context.Context, q Quoter, public crypto.PublicKey, spki []byte, b Binding, scheme string) (pkix.Extension, error) {
	switch scheme {
	case DICE, "":
		return diceExtension(ctx, q, spki, b)
	case Original:
		return originalExtension(ctx, q, public, b)
	}
	return pkix.Extension{}, fmt.Errorf("got scheme %q, want %q or %q", scheme, DICE, Original)
}

func selfSign(key crypto.Signer, b Binding, extensions []pkix.Extension) (*x509.Certificate, error) {
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             b.Issued,
		NotAfter:              b.Expires,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true, // and no CA
		ExtraExtensions:       extensions,
	}
	if b.Use == UseTLS {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	cert, err := selfsigned.Certificate(key, t, b.Names)
	if err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	return cert, nil
}

// Schemes tells by which schemes a certificate carries evidence, DICE first.
// It is for looking at a certificate: to trust one, name the scheme.
func Schemes(cert *x509.Certificate) []string {
	var schemes []string
	if attested(cert) {
		schemes = append(schemes, DICE)
	}
	if quote, err := extension(cert, oidOriginal); err == nil && looksLikeQuote(quote) {
		schemes = append(schemes, Original)
	}
	return schemes
}

// attested tells whether a certificate carries evidence by the scheme DICE, of whatever worth.
func attested(cert *x509.Certificate) bool { return has(cert, oidDICE) || has(cert, oidCMW) }

// has tells whether the certificate has this extension, be it once or more often.
func has(cert *x509.Certificate, id asn1.ObjectIdentifier) bool {
	return slices.ContainsFunc(cert.Extensions, func(ext pkix.Extension) bool { return ext.Id.Equal(id) })
}

// extension returns the value of the one extension with this identifier.
func extension(cert *x509.Certificate, id asn1.ObjectIdentifier) ([]byte, error) {
	var value []byte
	found := 0
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(id) {
			value, found = ext.Value, found+1
		}
	}
	if found != 1 {
		return nil, fmt.Errorf("got %d extensions %v in the certificate, want one", found, id)
	}
	return value, nil
}

// noEvidence says which evidence there is instead.
func noEvidence(cert *x509.Certificate, scheme string, err error) error {
	if others := Schemes(cert); len(others) > 0 {
		return fmt.Errorf("no evidence by the scheme %s, only by %s: %w", scheme, strings.Join(others, ", "), err)
	}
	return fmt.Errorf("no evidence by the scheme %s: %w", scheme, err)
}

// checkCritical refuses critical extensions that nobody reads (RFC 5280
// section 4.2). The evidence itself may be critical, as DICE would have it.
func checkCritical(cert *x509.Certificate) error {
	known := []asn1.ObjectIdentifier{oidDICE, oidCMW, oidOriginal, oidEndorsements}
	for _, id := range cert.UnhandledCriticalExtensions {
		if !slices.ContainsFunc(known, id.Equal) {
			return fmt.Errorf("the certificate has the critical extension %v, which is not known here", id)
		}
	}
	return nil
}
