package simulated

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"time"
)

// Common names are Intel's, because verifiers tell the roles apart by them.
const (
	rootName        = "Intel SGX Root CA"
	platformCAName  = "Intel SGX PCK Platform CA"
	processorCAName = "Intel SGX PCK Processor CA"
	pckName         = "Intel SGX PCK Certificate"
	tcbSignerName   = "Intel SGX TCB Signing"
)

// organization is what a human reads in every certificate; at most 64 characters (RFC 5280, appendix A).
const organization = "confidential-token-broker development root, not Intel"

// life is a span of time, both ends included.
type life struct{ from, to time.Time }

// authority is a certificate with its key.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// signingAs is what signs in the authority's name with the given key, its own or another.
func (a *authority) signingAs(key *ecdsa.PrivateKey) *authority {
	if key == a.key {
		return a
	}
	c := *a.cert
	c.PublicKey = nil // or CreateCertificate would notice
	return &authority{cert: &c, key: key}
}

// certShape is what differs between the certificates of Intel's PKI.
type certShape struct {
	name    string
	key     *ecdsa.PrivateKey
	life    life
	ca      bool
	pathLen int
	serial  *big.Int // nil: from the key, as Intel does for all but PCK certificates
	crl     string   // where Intel would publish the CRL
	extra   []pkix.Extension
}

// issue makes a certificate. A nil issuer makes it self-signed.
func issue(s certShape, issuer *authority) (*authority, error) {
	subject, err := subjectName(s.name)
	if err != nil {
		return nil, err
	}
	keyID, err := subjectKeyID(s.key)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          s.serial,
		RawSubject:            subject,
		NotBefore:             s.life.from,
		NotAfter:              s.life.to,
		SubjectKeyId:          keyID,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
		BasicConstraintsValid: true,
		CRLDistributionPoints: []string{s.crl},
		ExtraExtensions:       s.extra,
		SignatureAlgorithm:    x509.ECDSAWithSHA256,
	}
	if s.serial == nil {
		t.SerialNumber = serialNumber(keyID)
	}
	if s.ca {
		t.IsCA = true
		t.MaxPathLen, t.MaxPathLenZero = s.pathLen, s.pathLen == 0
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	if issuer == nil {
		t.AuthorityKeyId = keyID
		issuer = &authority{cert: t, key: s.key}
	}
	// Without a source of randomness ECDSA signatures are deterministic (RFC 6979).
	der, err := x509.CreateCertificate(nil, t, issuer.cert, &s.key.PublicKey, issuer.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: s.key}, nil
}

// revocationList makes the CRL of an authority.
func revocationList(issuer *authority, l life, revoked []*big.Int) ([]byte, error) {
	t := &x509.RevocationList{
		Number:             big.NewInt(1),
		ThisUpdate:         l.from,
		NextUpdate:         l.to,
		SignatureAlgorithm: x509.ECDSAWithSHA256,
	}
	for _, serial := range revoked {
		t.RevokedCertificateEntries = append(t.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber:   serial,
			RevocationTime: l.from,
			ReasonCode:     1, // keyCompromise (RFC 5280, section 5.3.1)
		})
	}
	// The issuer may be spoiled in a way that forbids CRLs; it makes one nevertheless.
	c := *issuer.cert
	c.KeyUsage |= x509.KeyUsageCRLSign
	return x509.CreateRevocationList(nil, t, &c, issuer.key)
}

// subjectName has Intel's attributes in Intel's order and types.
func subjectName(common string) ([]byte, error) {
	attribute := func(arc int, tag int, value string) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{
			Type:  asn1.ObjectIdentifier{2, 5, 4, arc},
			Value: asn1.RawValue{Tag: tag, Bytes: []byte(value)},
		}}
	}
	return asn1.Marshal(pkix.RDNSequence{
		attribute(3, asn1.TagUTF8String, common),        // commonName
		attribute(10, asn1.TagUTF8String, organization), // organizationName
		attribute(7, asn1.TagUTF8String, "Nowhere"),     // localityName
		attribute(8, asn1.TagUTF8String, "None"),        // stateOrProvinceName
		attribute(6, asn1.TagPrintableString, "XX"),     // countryName, user-assigned: no country (ISO 3166-1)
	})
}

// subjectKeyID is method 1 of RFC 7093, section 2: the leftmost 160 bits of the SHA-256 of the public key.
func subjectKeyID(key *ecdsa.PrivateKey) ([]byte, error) {
	b, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	h := sha256.Sum256(b)
	return h[:20], nil
}

// serialNumber is positive and at most 20 octets long as encoded (RFC 5280, section 4.1.2.2).
func serialNumber(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b[:20])
	return n.SetBit(n, 159, 0)
}

func pemChain(as ...*authority) string {
	var out []byte
	for _, a := range as {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})...)
	}
	return string(out)
}
