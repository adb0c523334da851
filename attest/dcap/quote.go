package dcap

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const maxQuoteSize = 64 << 10 // genuine quotes have some 5 KiB

// The body types of quotes of version 5 (Intel TDX DCAP Quoting Library API, A.4).
const (
	bodyEnclave = 1
	bodyTD10    = 2
	bodyTD15    = 3
)

// Quote is a quote of SGX (versions 3, 4, 5) or TDX (versions 4, 5), as in Intel's SGX ECDSA Quote
// Library reference, appendix A.4, and TDX DCAP Quoting Library API, appendix A.3 and A.4. Its
// bytes are, with integers little-endian:
//
//	Header     48 bytes
//	body type  uint16, 1 to 3, and its size, uint32: version 5 alone
//	body       Enclave (384 bytes) or TD (584, or 648 in version 5)
//	length     of the signature section, uint32
//	Signature
//	Padding    that many NULs: versions 4 and 5 alone
//
// A quote that parses marshals to the same bytes.
type Quote struct {
	Header    Header
	Enclave   *EnclaveReport // of SGX, else nil
	TD        *TDReport      // of TDX, else nil
	Signature Signature
	Padding   int // how many NULs follow: the quote provider's buffer is longer than the quote
}

// ParseQuote reads a quote of at most 64 KiB. It checks the layout, every
// length and that nothing is left over, but no signature and no certificate:
// that is [Verifier.Verify]. The quote's two variable parts still belong to data, which must not change.
func ParseQuote(data []byte) (*Quote, error) {
	q, err := parseQuote(data)
	if err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	return q, nil
}

func parseQuote(data []byte) (*Quote, error) {
	if len(data) > maxQuoteSize {
		return nil, fmt.Errorf("too large: got %d bytes, want at most %d", len(data), maxQuoteSize)
	}
	c := cursor{rest: data}
	q := new(Quote)
	if err := q.Header.read(&c); err != nil {
		return nil, err
	}
	if err := q.readBody(&c); err != nil {
		return nil, err
	}
	length := c.uint32()
	if c.err != nil {
		return nil, c.err
	}
	if err := q.cutPadding(&c, length); err != nil {
		return nil, err
	}
	if err := q.Signature.read(&c, q.Header.Version); err != nil {
		return nil, err
	}
	return q, nil
}

// readBody reads the report, whose kind the header and, in version 5, the body type tell.
func (q *Quote) readBody(c *cursor) error {
	if q.Header.TEE == teeSGX {
		q.Enclave = new(EnclaveReport)
	} else {
		q.TD = new(TDReport)
	}
	if q.Header.Version == 5 {
		if err := q.readBodyType(c); err != nil {
			return err
		}
	}
	if q.Enclave != nil {
		q.Enclave.read(c)
	} else {
		q.TD.read(c)
	}
	return c.err
}

// readBodyType reads what stands before the report in version 5.
func (q *Quote) readBodyType(c *cursor) error {
	got, length := c.uint16(), c.uint32()
	if c.err != nil {
		return c.err
	}
	if q.TD != nil {
		q.TD.TDX15 = got == bodyTD15
	}
	switch kind, size := q.bodyType(); {
	case got != kind && q.Enclave != nil:
		return fmt.Errorf("body type at offset %d: got %d, want 1 (SGX), since the TEE type is %#x", headerSize, got, q.Header.TEE)
	case got != kind:
		return fmt.Errorf("body type at offset %d: got %d, want 2 (TDX 1.0) or 3 (TDX 1.5), since the TEE type is %#x", headerSize, got, q.Header.TEE)
	case length != size:
		return fmt.Errorf("size of the body at offset %d: got %d, want %d for the body type %d", headerSize+2, length, size, kind)
	}
	return nil
}

// bodyType returns the number and the size of the body that q has, as version 5 tells them.
func (q *Quote) bodyType() (number uint16, size uint32) {
	switch {
	case q.Enclave != nil:
		return bodyEnclave, enclaveReportSize
	case q.TD.TDX15:
		return bodyTD15, tdReport15Size
	}
	return bodyTD10, tdReport10Size
}

// cutPadding takes the NULs behind a signature section of the given length away. Quotes of
// versions 4 and 5 come with some, for their provider knows only how large a quote may get.
func (q *Quote) cutPadding(c *cursor, length uint32) error {
	left := len(c.rest)
	if uint64(length) > uint64(left) || q.Header.Version == 3 && uint64(length) != uint64(left) {
		return fmt.Errorf("length of the signature section at offset %d: got %d, but %d bytes follow", c.read-4, length, left)
	}
	for i, b := range c.rest[length:] {
		if b != 0 {
			return fmt.Errorf("length of the signature section at offset %d: got %d, but %d bytes follow, which can't be padding: that at offset %d is %#02x, want NUL",
				c.read-4, length, left, c.read+int(length)+i, b)
		}
	}
	q.Padding = left - int(length)
	c.rest = c.rest[:length]
	return nil
}

// TEE returns "sgx" or "tdx".
func (q *Quote) TEE() string {
	if q.Header.TEE == teeTDX {
		return "tdx"
	}
	return "sgx"
}

// Signed returns the bytes that the attestation key signs: all up to the length of the signature section.
func (q *Quote) Signed() []byte {
	b := q.Header.append(make([]byte, 0, headerSize+6+tdReport15Size))
	if q.Header.Version == 5 {
		kind, size := q.bodyType()
		b = binary.LittleEndian.AppendUint16(b, kind)
		b = binary.LittleEndian.AppendUint32(b, size)
	}
	if q.Enclave != nil {
		return q.Enclave.append(b)
	}
	return q.TD.append(b)
}

// Marshal returns the bytes of the quote. Parts that do not fit each other, and
// what is too long for its length field, are errors.
func (q *Quote) Marshal() ([]byte, error) {
	switch {
	case (q.Enclave == nil) == (q.TD == nil):
		return nil, errors.New("quote: want an enclave report or a TD report, and one alone")
	case (q.Header.TEE == teeTDX) != (q.TD != nil):
		return nil, fmt.Errorf("quote: the report is not of the TEE type %#x", q.Header.TEE)
	case q.TD != nil && q.TD.TDX15 && q.Header.Version != 5:
		return nil, fmt.Errorf("quote: version %d has no report of TDX 1.5, version 5 has", q.Header.Version)
	case q.Padding < 0 || q.Padding > maxQuoteSize:
		return nil, fmt.Errorf("quote: padding: got %d, want 0 to %d", q.Padding, maxQuoteSize)
	case q.Padding > 0 && q.Header.Version == 3:
		return nil, fmt.Errorf("quote: padding: got %d, want 0 in version 3", q.Padding)
	case q.Header.Version < 3 || q.Header.Version > 5:
		return nil, fmt.Errorf("quote: version: got %d, want 3, 4 or 5", q.Header.Version)
	}
	section, err := q.Signature.marshal(q.Header.Version)
	if err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	b := q.Signed()
	b = binary.LittleEndian.AppendUint32(b, uint32(len(section)))
	b = append(b, section...)
	return append(b, make([]byte, q.Padding)...), nil
}
