package attest

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"regexp"

	"github.com/fxamacker/cbor/v2"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// The DICE form has a CBOR tag for Intel's quotes alone. Evidence of other platforms is in the extension of
// the RATS Conceptual Message Wrapper (CMW, RFC 9999), with the same claims and the same report data:
//
//	CMW ::= CHOICE { json UTF8String, cbor OCTET STRING }          / the extension, in DER; ours is of CBOR /
//	[ "application/vnd.ctb.evidence+cbor",                          / the wrapper's record /
//	  << [ "snp", h'…', h'…' ] >>,                                  / platform, quote, claims /
//	  4 ]                                                           / evidence: bit 2 of the indicator /

// oidCMW is the extension, id-pe-cmw. Like that of DICE it is not critical.
var oidCMW = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 35}

const (
	cmwType     = "application/vnd.ctb.evidence+cbor"
	cmwEvidence = 1 << 2 // the wrapper's indicator of conceptual messages
)

// platformName is how a platform may be called. The names themselves are those of the verifiers at hand.
var platformName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// cmwRecord is the wrapper's record.
type cmwRecord struct {
	_         struct{} `cbor:",toarray"`
	Type      string
	Value     []byte
	Indicator uint64
}

// cmwContent is what is wrapped.
type cmwContent struct {
	_        struct{} `cbor:",toarray"`
	Platform string
	Quote    []byte
	Claims   []byte
}

// check tells whether the content is of a platform whose evidence is wrapped.
func (c *cmwContent) check() error {
	switch {
	case !platformName.MatchString(c.Platform):
		return fmt.Errorf("got platform %q, want a name such as %q or %q", clip(c.Platform), tee.SNP, tee.Nitro)
	case c.Platform == tee.DCAP:
		return fmt.Errorf("got platform %q, whose evidence has the extension %v", tee.DCAP, oidDICE)
	case len(c.Quote) == 0:
		return errors.New("the quote is empty")
	}
	return nil
}

// marshal returns the extension's value.
func (c *cmwContent) marshal() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	content, err := detEnc.Marshal(c)
	if err != nil {
		return nil, err
	}
	record, err := detEnc.Marshal(cmwRecord{Type: cmwType, Value: content, Indicator: cmwEvidence})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(record)
}

// parseCMW reads what marshal writes. The form is ours, so nothing but its deterministic encoding is accepted.
func parseCMW(value []byte) (*cmwContent, error) {
	if len(value) > maxEvidence {
		return nil, fmt.Errorf("got %d bytes, want at most %d", len(value), maxEvidence)
	}
	var choice asn1.RawValue
	if _, err := asn1.Unmarshal(value, &choice); err != nil {
		return nil, fmt.Errorf("wrapper: %w", err)
	}
	if choice.Class != asn1.ClassUniversal || choice.Tag != asn1.TagOctetString || choice.IsCompound {
		return nil, fmt.Errorf("wrapper: got the ASN.1 tag %d of class %d, want an OCTET STRING (the wrapper in CBOR)", choice.Tag, choice.Class)
	}
	var record cmwRecord
	if err := unmarshalArray(choice.Bytes, 3, &record); err != nil {
		return nil, fmt.Errorf("wrapper: %w", err)
	}
	if record.Type != cmwType || record.Indicator != cmwEvidence {
		return nil, fmt.Errorf("wrapper: got type %q with the indicator %d, want %q with %d (evidence)",
			clip(record.Type), record.Indicator, cmwType, cmwEvidence)
	}
	content := new(cmwContent)
	if err := unmarshalArray(record.Value, 3, content); err != nil {
		return nil, err
	}
	again, err := content.marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, value) {
		return nil, errors.New("not in deterministic form")
	}
	return content, nil
}

// unmarshalArray reads an array of n items, which the decoder by itself would take shorter or longer.
func unmarshalArray(data []byte, n int, v any) error {
	var items []cbor.RawMessage
	if err := strictDec.Unmarshal(data, &items); err != nil {
		return err
	}
	if len(items) != n {
		return fmt.Errorf("got an array of %d, want %d items", len(items), n)
	}
	return strictDec.Unmarshal(data, v)
}
