package simulated

import (
	"encoding/binary"
)

// Layout of a quote: header, report (in version 5 after its type and size), the length of
// the signature section, the signature section. All integers are little-endian. Version 3: "Intel SGX ECDSA
// QuoteLib Reference for DCAP APIs", appendix A.4; versions 4 and 5: "Intel TDX DCAP Quoting Library API", appendix A.3.
const (
	headerSize = 48
	reportSize = 384
	bodyHead   = 6 // version 5: type (2) and size (4) of the report

	reportDataOffset = 320 // in an enclave's report, 64 bytes
)

// TEE types of a header.
const (
	teeSGX = 0x00
	teeTDX = 0x81
)

// Body types of a quote of version 5.
const (
	bodySGX  = 1
	bodyTD10 = 2
	bodyTD15 = 3
)

// intelQEVendor is the UUID of Intel's quoting enclave.
var intelQEVendor = [16]byte{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07}

type quoteHeader struct {
	version        uint16
	attestationKey uint16 // type: 2 is ECDSA with P-256
	tee            uint32 // teeSGX or teeTDX
	qesvn, pcesvn  uint16 // version 3; reserved, zero, in later ones
	qeVendor       [16]byte
	qeID           [16]byte // the first part of the user data
}

func (h *quoteHeader) marshal() []byte {
	b := make([]byte, headerSize)
	binary.LittleEndian.PutUint16(b[0:], h.version)
	binary.LittleEndian.PutUint16(b[2:], h.attestationKey)
	binary.LittleEndian.PutUint32(b[4:], h.tee)
	binary.LittleEndian.PutUint16(b[8:], h.qesvn)
	binary.LittleEndian.PutUint16(b[10:], h.pcesvn)
	copy(b[12:28], h.qeVendor[:])
	copy(b[28:44], h.qeID[:])
	return b
}

// Flags of an enclave's attributes (Intel SDM volume 3D, section 38.7.1).
const (
	flagInit         = 0x01
	flagDebug        = 0x02
	flagMode64       = 0x04
	flagProvisionKey = 0x10
)

// enclaveReport is the body of a REPORT (Intel SDM volume 3D, section 38.15).
type enclaveReport struct {
	cpusvn     [16]byte
	miscselect uint32
	flags      uint64
	xfrm       uint64
	mrenclave  [32]byte
	mrsigner   [32]byte
	isvProdID  uint16
	isvsvn     uint16
	data       [64]byte
}

func (r *enclaveReport) marshal() []byte {
	b := make([]byte, reportSize)
	copy(b[0:16], r.cpusvn[:])
	binary.LittleEndian.PutUint32(b[16:], r.miscselect)
	binary.LittleEndian.PutUint64(b[48:], r.flags)
	binary.LittleEndian.PutUint64(b[56:], r.xfrm)
	copy(b[64:96], r.mrenclave[:])
	copy(b[128:160], r.mrsigner[:])
	binary.LittleEndian.PutUint16(b[256:], r.isvProdID)
	binary.LittleEndian.PutUint16(b[258:], r.isvsvn)
	copy(b[reportDataOffset:], r.data[:])
	return b
}

// Types of certification data.
const (
	certPPID     = 1 // the processor's ID as it is, with its versions
	certRSA2048  = 2 // … encrypted with an RSA key of 2048 bits
	certRSA3072  = 3 // … of 3072 bits
	certPCK      = 4 // the PCK certificate alone
	certPCKChain = 5 // the PCK certificate's chain, PEM
	certQEReport = 6 // version 4 and later: the quoting enclave's report, which certification data of another type follows
	certManifest = 7 // the platform's manifest
)

// certification is certification data: what names the platform's PCK, and with what type it says so.
type certification struct {
	kind uint16
	data []byte
}

func (c certification) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, c.kind)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.data)))
	return append(b, c.data...)
}

// vouched is the quoting enclave's word for an attestation key: its report, signed by the PCK.
type vouched struct {
	report, signature, authData []byte
}

func (v vouched) append(b []byte) []byte {
	b = append(b, v.report...)
	b = append(b, v.signature...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(v.authData)))
	return append(b, v.authData...)
}

// quote signs the report with the given report data: the only work that is done for each quote.
func (p *Platform) quote(data [64]byte) ([]byte, error) {
	q := make([]byte, 0, len(p.head)+4+64+len(p.tail))
	q = append(q, p.head...)
	copy(q[p.dataAt:], data[:])
	sig, err := signRaw(p.key, q)
	if err != nil {
		return nil, err
	}
	q = binary.LittleEndian.AppendUint32(q, uint32(len(sig)+len(p.tail)))
	q = append(q, sig...)
	q = append(q, p.tail...)
	if p.spoil != nil {
		q = p.spoil(q)
	}
	return q, nil
}
