package nsm

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// The bounds of a document: the device's answer has at most 12 KiB, and a genuine document some 5.
const (
	maxDocument = 12 << 10
	maxDepth    = 8
	maxItems    = 64
)

// document is what the maker of evidence wants to know of an attestation document. Everything else is for
// whoever verifies it.
type document struct {
	userData []byte
	notAfter time.Time // the first end of all certificates in it: who verifies it wants all of them valid
}

// tag18 may stand before COSE_Sign1; the module leaves it out (RFC 9052, section 4.2).
var tag18 = []byte{0xd2}

// sign1 is COSE_Sign1 (RFC 9052, section 4.2).
type sign1 struct {
	_           struct{} `cbor:",toarray"`
	Protected   cbor.ByteString
	Unprotected map[any]any
	Payload     cbor.ByteString
	Signature   cbor.ByteString
}

// payload has the members of the document that are looked at ("Nitro Enclaves attestation process", section 2.1). Their type takes byte
// strings alone; for a []byte the library would also take an array of numbers.
type payload struct {
	Certificate cbor.ByteString   `cbor:"certificate"`
	CABundle    []cbor.ByteString `cbor:"cabundle"`
	UserData    cbor.ByteString   `cbor:"user_data"`
}

// read finds the user data and the end of the certificates. It verifies nothing.
func read(data []byte) (document, error) {
	if len(data) > maxDocument {
		return document{}, fmt.Errorf("too large: want at most %d bytes", maxDocument)
	}
	strict, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden, FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		MaxNestedLevels: maxDepth, MaxArrayElements: maxItems, MaxMapPairs: maxItems,
	}.DecMode()
	if err != nil {
		return document{}, err
	}
	var s sign1
	if err := strict.Unmarshal(bytes.TrimPrefix(data, tag18), &s); err != nil {
		return document{}, fmt.Errorf("COSE_Sign1: %w", err)
	}
	var p payload
	if err := strict.Unmarshal(s.Payload.Bytes(), &p); err != nil {
		return document{}, fmt.Errorf("payload: %w", err)
	}
	if len(p.Certificate) == 0 {
		return document{}, errors.New("payload: certificate: it is missing")
	}
	leaf, err := x509.ParseCertificate(p.Certificate.Bytes())
	if err != nil {
		return document{}, fmt.Errorf("payload: certificate: %w", err)
	}
	d := document{userData: p.UserData.Bytes(), notAfter: leaf.NotAfter}
	for i, der := range p.CABundle {
		ca, err := x509.ParseCertificate(der.Bytes())
		if err != nil {
			return document{}, fmt.Errorf("payload: cabundle[%d]: %w", i, err)
		}
		if ca.NotAfter.Before(d.notAfter) { // AWS's CA of an instance lives for a day
			d.notAfter = ca.NotAfter
		}
	}
	return d, nil
}
