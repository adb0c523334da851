package dcap

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	maxQuoteSize = 64 << 10 // genuine quotes have some 5 KiB
	headerSize   = 48

	keyTypeP256 = 2 // ECDSA with the curve P-256 and SHA-256
	teeTDX      = 0x81
)

// intelQE is the vendor id of Intel's quoting enclaves.
var intelQE = [16]byte{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07}

// Quote is an SGX quote of version 3 (Intel SGX ECDSA Quote Library reference,
// appendix A.4). Its bytes are, with integers little-endian:
//
//	offset 0    Header, 48 bytes
//	offset 48   Enclave, 384 bytes
//	offset 432  length of the rest, uint32
//	offset 436  Signature
//
// A quote that parses marshals to the same bytes.
type Quote struct {
	Header    Header
	Enclave   *EnclaveReport
	Signature Signature
}

// Header is the first 48 bytes of a quote.
type Header struct {
	Version    uint16   // offset 0: 3
	KeyType    uint16   // 2: 2 is ECDSA with P-256
	TEE        uint32   // 4: 0 is SGX (reserved in version 3)
	QESVN      uint16   // 8
	PCESVN     uint16   // 10
	QEVendorID [16]byte // 12: 939a7233f79c4ca9940a0db3957f0607 is Intel
	UserData   [20]byte // 28: the first 16 bytes name the platform to its owner
}

// ParseQuote reads a quote of at most 64 KiB. It checks the layout, every
// length and that nothing is left over, but no signature and no certificate:
// that is [Verifier.Verify]. Quotes of other versions are refused.
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
	c := &cursor{rest: data}
	q := &Quote{Enclave: new(EnclaveReport)}
	if err := q.Header.read(c); err != nil {
		return nil, err
	}
	q.Enclave.read(c)
	length := c.uint32()
	if c.err != nil {
		return nil, c.err
	}
	if uint64(length) != uint64(len(c.rest)) {
		return nil, fmt.Errorf("length of the signature section at offset 432: got %d, but %d bytes follow", length, len(c.rest))
	}
	if err := q.Signature.read(c); err != nil {
		return nil, err
	}
	return q, nil
}

// read reads the header and refuses what the rest of the layout would not fit.
func (h *Header) read(c *cursor) error {
	h.Version = c.uint16()
	h.KeyType = c.uint16()
	h.TEE = c.uint32()
	h.QESVN = c.uint16()
	h.PCESVN = c.uint16()
	c.fill(h.QEVendorID[:])
	c.fill(h.UserData[:])
	switch {
	case c.err != nil:
		return c.err
	case (h.Version == 4 || h.Version == 5) && h.TEE == teeTDX:
		return fmt.Errorf("a TDX quote (version %d) is not yet supported, only SGX quotes of version 3 are", h.Version)
	case h.Version == 4 || h.Version == 5:
		return fmt.Errorf("version %d is not yet supported, only SGX quotes of version 3 are", h.Version)
	case h.Version != 3:
		return fmt.Errorf("version: got %d, want 3", h.Version)
	case h.KeyType != keyTypeP256:
		return fmt.Errorf("attestation key type: got %d, want %d (ECDSA with P-256)", h.KeyType, keyTypeP256)
	case h.TEE != 0:
		return fmt.Errorf("reserved bytes at offset 4: got %#x, want 0", h.TEE)
	case h.QEVendorID != intelQE:
		return fmt.Errorf("vendor of the quoting enclave: got %x, want %x (Intel)", h.QEVendorID, intelQE)
	}
	return nil
}

func (h *Header) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, h.Version)
	b = binary.LittleEndian.AppendUint16(b, h.KeyType)
	b = binary.LittleEndian.AppendUint32(b, h.TEE)
	b = binary.LittleEndian.AppendUint16(b, h.QESVN)
	b = binary.LittleEndian.AppendUint16(b, h.PCESVN)
	b = append(b, h.QEVendorID[:]...)
	return append(b, h.UserData[:]...)
}

// Signed returns the bytes that the attestation key signs: header and body.
func (q *Quote) Signed() []byte {
	b := q.Header.append(make([]byte, 0, headerSize+enclaveReportSize))
	return q.Enclave.append(b)
}

// Marshal returns the bytes of the quote. What is too long for its length field is an error.
func (q *Quote) Marshal() ([]byte, error) {
	if q.Enclave == nil {
		return nil, errors.New("quote: no enclave report")
	}
	section, err := q.Signature.marshal()
	if err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	b := q.Signed()
	b = binary.LittleEndian.AppendUint32(b, uint32(len(section)))
	return append(b, section...), nil
}
