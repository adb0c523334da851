package attest

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// The scheme DICE: "Interoperable RA-TLS X.509 Cert and Evidence Formats" of
// the Confidential Computing Consortium, after the TCG's DICE Attestation
// Architecture. Gramine writes the same form; librats does under a CBOR tag of its own, which is not read here. The extension
// of the RATS wrapper (cmw.go) is of the same scheme: it binds the same claims in the same way, for platforms that DICE has no tag for.

// oidDICE is the extension, tcg-dice-conceptual-message-wrapper. It is not
// critical, as that form asks: common TLS libraries refuse critical extensions that
// they do not know.
var oidDICE = asn1.ObjectIdentifier{2, 23, 133, 5, 4, 9}

// oidEndorsements may carry collateral beside the evidence
// (tcg-dice-endorsement-manifest). It is not read: what a platform's verifier
// needs it gets from the hardware's maker, as fresh as it is there.
var oidEndorsements = asn1.ObjectIdentifier{2, 23, 133, 5, 4, 2}

// tagIntelQuote is the CBOR tag of Intel TEE quotes of any version, SGX and TDX.
const tagIntelQuote = 60000

// platformIntel is the Evidence.Platform of Intel quotes.
const platformIntel = "dcap"

func diceExtension(ctx context.Context, q Quoter, spki []byte, b Binding) (pkix.Extension, error) {
	claimed, err := claimsOf(b, spki).marshal()
	if err != nil {
		return pkix.Extension{}, err
	}
	e, err := q.Quote(ctx, reportData(claimed))
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("quote: %w", err)
	}
	ext := pkix.Extension{Id: oidDICE}
	if e.Platform == platformIntel {
		ext.Value, err = detEnc.Marshal(taggedEvidence(e.Quote, claimed))
	} else {
		ext.Id = oidCMW
		ext.Value, err = (&cmwContent{Platform: e.Platform, Quote: e.Quote, Claims: claimed}).marshal()
	}
	if err != nil {
		return pkix.Extension{}, err
	}
	if len(ext.Value) > maxEvidence {
		return pkix.Extension{}, fmt.Errorf("got evidence of %d bytes, want at most %d", len(ext.Value), maxEvidence)
	}
	return ext, nil
}

// taggedEvidence is the extension's value, 60000([quote, claims]).
func taggedEvidence(quote, claimed []byte) cbor.Tag {
	return cbor.Tag{Number: tagIntelQuote, Content: [][]byte{quote, claimed}}
}

// reportData is what a quote carries for the claims: their SHA-256, then zeros.
func reportData(claimed []byte) (data [64]byte) {
	sum := sha256.Sum256(claimed)
	copy(data[:], sum[:])
	return data
}

// diceStatement reads the evidence of a certificate by the scheme DICE.
func diceStatement(cert *x509.Certificate) (*statement, error) {
	e, claimed, err := carriedEvidence(cert)
	if err != nil {
		return nil, err
	}
	c, err := parseClaims(claimed)
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	b := c.binding()
	return &statement{
		evidence: e,
		data:     reportData(claimed), // over the bytes as they came, whatever their encoding
		binding:  b,
		checks:   func() error { return c.tie(b, cert) },
	}, nil
}

// tie compares what the claims bind with the certificate that they are in.
func (c *claims) tie(b *Binding, cert *x509.Certificate) error {
	if !c.keyHash.matches(cert.RawSubjectPublicKeyInfo) {
		return fmt.Errorf("the evidence is bound to another key: %q does not match the certificate's", claimKeyHash)
	}
	if c.bound != nil && !(b.Issued.Equal(cert.NotBefore) && b.Expires.Equal(cert.NotAfter)) {
		return fmt.Errorf("the certificate is valid from %s to %s, its evidence says from %s to %s",
			stamp(cert.NotBefore), stamp(cert.NotAfter), stamp(b.Issued), stamp(b.Expires))
	}
	// The names and, where the claims have none, the validity are in the
	// certificate alone: its signature by the attested key vouches for them.
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return fmt.Errorf("the certificate is not signed by its own key: %w", err)
	}
	return nil
}

// carriedEvidence reads the one extension by which a certificate carries evidence of this scheme.
func carriedEvidence(cert *x509.Certificate) (e *Evidence, claimed []byte, err error) {
	if has(cert, oidCMW) {
		if has(cert, oidDICE) {
			return nil, nil, fmt.Errorf("the certificate has evidence in the extensions %v and %v, want one of the two", oidDICE, oidCMW)
		}
		value, err := extension(cert, oidCMW)
		if err != nil {
			return nil, nil, err
		}
		content, err := parseCMW(value)
		if err != nil {
			return nil, nil, fmt.Errorf("evidence: %w", err)
		}
		return &Evidence{Platform: content.Platform, Quote: content.Quote}, content.Claims, nil
	}
	value, err := extension(cert, oidDICE)
	if err != nil {
		return nil, nil, noEvidence(cert, DICE, fmt.Errorf("%w, or one %v", err, oidCMW))
	}
	quote, claimed, err := parseTaggedEvidence(value)
	if err != nil {
		return nil, nil, fmt.Errorf("evidence: %w", err)
	}
	return &Evidence{Platform: platformIntel, Quote: quote}, claimed, nil
}

// parseTaggedEvidence reads what taggedEvidence says.
func parseTaggedEvidence(value []byte) (quote, claimed []byte, err error) {
	if len(value) > maxEvidence {
		return nil, nil, fmt.Errorf("got %d bytes, want at most %d", len(value), maxEvidence)
	}
	var tag cbor.RawTag
	if err := strictDec.Unmarshal(value, &tag); err != nil {
		return nil, nil, err
	}
	if tag.Number != tagIntelQuote {
		return nil, nil, fmt.Errorf("got CBOR tag %d, want %d (Intel quote)", tag.Number, tagIntelQuote)
	}
	var items []cbor.RawMessage
	if err := strictDec.Unmarshal(tag.Content, &items); err != nil {
		return nil, nil, err
	}
	if len(items) != 2 {
		return nil, nil, fmt.Errorf("got an array of %d, want [quote, claims]", len(items))
	}
	if quote, err = byteString(items[0]); err != nil {
		return nil, nil, fmt.Errorf("quote: %w", err)
	}
	if claimed, err = byteString(items[1]); err != nil {
		return nil, nil, fmt.Errorf("claims: %w", err)
	}
	return quote, claimed, nil
}
