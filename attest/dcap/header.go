package dcap

import (
	"encoding/binary"
	"fmt"
)

const (
	headerSize  = 48
	keyTypeP256 = 2 // ECDSA with the curve P-256 and SHA-256
	teeSGX      = 0
	teeTDX      = 0x81
)

// intelQE is the vendor id of Intel's quoting enclaves.
var intelQE = [16]byte{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07}

// Header is the first 48 bytes of a quote.
type Header struct {
	Version    uint16   // offset 0: 3, 4 or 5
	KeyType    uint16   // 2: 2 is ECDSA with P-256
	TEE        uint32   // 4: 0 is SGX (reserved in version 3), 0x81 is TDX
	QESVN      uint16   // 8: reserved for TDX
	PCESVN     uint16   // 10: reserved for TDX
	QEVendorID [16]byte // 12: 939a7233f79c4ca9940a0db3957f0607 is Intel
	UserData   [20]byte // 28: the first 16 bytes name the platform to its owner
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
	case h.Version < 3 || h.Version > 5:
		return fmt.Errorf("version: got %d, want 3, 4 or 5", h.Version)
	case h.KeyType != keyTypeP256:
		return fmt.Errorf("attestation key type: got %d, want %d (ECDSA with P-256)", h.KeyType, keyTypeP256)
	case h.Version == 3 && h.TEE != teeSGX:
		return fmt.Errorf("reserved bytes at offset 4: got %#x, want 0", h.TEE)
	case h.TEE != teeSGX && h.TEE != teeTDX:
		return fmt.Errorf("TEE type at offset 4: got %#x, want 0 (SGX) or %#x (TDX)", h.TEE, teeTDX)
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
