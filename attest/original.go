package attest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
)

// The scheme of the original confidential token broker: a raw SGX quote v3 in
// an extension of its own, whose report data is a digest over the RSA key as
// its JWK writes it. It binds neither a use, nor an issuer, nor rules.

// oidOriginal is the extension. The same identifier in one of Intel's PCK certificates
// holds a DER SEQUENCE; looksLikeQuote tells them apart.
var oidOriginal = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}

// looksLikeQuote tells whether value begins as an SGX quote v3 with an ECDSA P-256 signature.
func looksLikeQuote(value []byte) bool { return bytes.HasPrefix(value, []byte{3, 0, 2, 0}) }

// originalData is the report data of the scheme: SHA-256 of
// "{n: <n>, e: <e>}", with n and e as in a JWK (RFC 7518 section 6.3.1), then zeros.
func originalData(public crypto.PublicKey) (data [64]byte, err error) {
	k, ok := public.(*rsa.PublicKey)
	if !ok {
		return data, fmt.Errorf("got a key of type %T, want *rsa.PublicKey: the scheme %q is for RSA alone", public, Original)
	}
	n := base64.RawURLEncoding.EncodeToString(k.N.Bytes())
	e := base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.E)).Bytes())
	sum := sha256.Sum256([]byte("{n: " + n + ", e: " + e + "}"))
	copy(data[:], sum[:])
	return data, nil
}

func originalExtension(ctx context.Context, q Quoter, public crypto.PublicKey, b Binding) (pkix.Extension, error) {
	if b.Use != UseSignature {
		return pkix.Extension{}, fmt.Errorf("got use %q, want %q: the scheme %q is for keys that sign tokens", b.Use, UseSignature, Original)
	}
	data, err := originalData(public)
	if err != nil {
		return pkix.Extension{}, err
	}
	e, err := q.Quote(ctx, data)
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("quote: %w", err)
	}
	if e.Platform != platformIntel || !looksLikeQuote(e.Quote) {
		return pkix.Extension{}, fmt.Errorf("got evidence of platform %q, want an SGX quote v3: the scheme %q has no other", e.Platform, Original)
	}
	return pkix.Extension{Id: oidOriginal, Value: e.Quote}, nil
}

// originalStatement reads the evidence of a certificate by the scheme Original.
//
// The certificate's own signature is not checked: the original broker signs
// the certificate together with its AlgorithmIdentifier, which no verifier of RFC 5280 accepts.
// Nothing but the key is vouched for under this scheme, so the certificate's validity is what its
// publisher says and no more.
func originalStatement(cert *x509.Certificate) (*statement, error) {
	quote, err := extension(cert, oidOriginal)
	if err != nil {
		return nil, noEvidence(cert, Original, err)
	}
	if len(quote) > maxEvidence {
		return nil, fmt.Errorf("evidence: got %d bytes, want at most %d", len(quote), maxEvidence)
	}
	if !looksLikeQuote(quote) {
		return nil, errors.New("evidence: not an SGX quote v3")
	}
	data, err := originalData(cert.PublicKey)
	if err != nil {
		return nil, err
	}
	return &statement{
		evidence: &Evidence{Platform: platformIntel, Quote: quote},
		data:     data,
		binding:  &Binding{Scheme: Original, Use: UseSignature},
		checks:   func() error { return nil },
	}, nil
}
