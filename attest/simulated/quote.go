package simulated

import (
	"encoding/binary"
)

// Layout of an SGX quote of version 3 ("Intel SGX ECDSA QuoteLib Reference for
// DCAP APIs", appendix A.4): header, report, the length of the rest, the rest.
// All integers are little-endian.
const (
	headerSize = 48
	reportSize = 384
	signedSize = headerSize + reportSize

	reportDataOffset = 320 // in a report, 64 bytes
)

// intelQEVendor is the UUID of Intel's quoting enclave.
var intelQEVendor = [16]byte{0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07}

type quoteHeader struct {
	version        uint16
	attestationKey uint16 // type: 2 is ECDSA with P-256
	qesvn, pcesvn  uint16
	qeVendor       [16]byte
	qeID           [16]byte // the first part of the user data
}

func (h *quoteHeader) marshal() []byte {
	b := make([]byte, headerSize)
	binary.LittleEndian.PutUint16(b[0:], h.version)
	binary.LittleEndian.PutUint16(b[2:], h.attestationKey)
	binary.LittleEndian.PutUint16(b[8:], h.qesvn) // bytes 4 to 7 are the TEE type, 0 for SGX
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

// pckChainType is the type of certification data that holds a PEM chain.
const pckChainType = 5

// quoteTail lays out what follows the quote's signature.
func quoteTail(attestationKey, qeReport, qeSignature, authData []byte, chain string) []byte {
	var b []byte
	b = append(b, attestationKey...)
	b = append(b, qeReport...)
	b = append(b, qeSignature...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(authData)))
	b = append(b, authData...)
	b = binary.LittleEndian.AppendUint16(b, pckChainType)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(chain)+1))
	b = append(b, chain...)
	return append(b, 0) // genuine quoting enclaves end the chain with a NUL
}

// quote signs the enclave's report with the given report data: the only work that is done for each quote.
func (p *Platform) quote(data [64]byte) ([]byte, error) {
	q := make([]byte, 0, signedSize+4+64+len(p.tail))
	q = append(q, p.head[:]...)
	copy(q[headerSize+reportDataOffset:], data[:])
	sig, err := signRaw(p.key, q)
	if err != nil {
		return nil, err
	}
	q = binary.LittleEndian.AppendUint32(q, uint32(len(sig)+len(p.tail)))
	q = append(q, sig...)
	q = append(q, p.tail...)
	if p.spoil != nil {
		p.spoil(q)
	}
	return q, nil
}
