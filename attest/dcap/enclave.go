package dcap

import "encoding/binary"

const enclaveReportSize = 384

// EnclaveReport is what SGX hardware says of an enclave: 384 bytes, integers
// little-endian (Intel SDM vol. 3D, REPORT; DCAP quote library, A.4 "Enclave
// Report Body"). The bytes that Intel reserves are kept as they are.
type EnclaveReport struct {
	CPUSVN       [16]byte // offset 0
	MiscSelect   [4]byte  // 16
	Reserved1    [12]byte // 20
	ISVExtProdID [16]byte // 32
	Attributes   [16]byte // 48: flags (8), XFRM (8)
	MRENCLAVE    [32]byte // 64
	Reserved2    [32]byte // 96
	MRSIGNER     [32]byte // 128
	Reserved3    [32]byte // 160
	ConfigID     [64]byte // 192
	ISVProdID    uint16   // 256
	ISVSVN       uint16   // 258
	ConfigSVN    uint16   // 260
	Reserved4    [42]byte // 262
	ISVFamilyID  [16]byte // 304
	ReportData   [64]byte // 320
}

// Debug tells whether the host can read and change the enclave: bit 1 of the flags.
func (r *EnclaveReport) Debug() bool { return r.Attributes[0]&2 != 0 }

// Marshal returns the 384 bytes of the report, which in the case of a quoting
// enclave are what the PCK signs.
func (r *EnclaveReport) Marshal() []byte {
	return r.append(make([]byte, 0, enclaveReportSize))
}

func (r *EnclaveReport) append(b []byte) []byte {
	for _, field := range [][]byte{
		r.CPUSVN[:], r.MiscSelect[:], r.Reserved1[:], r.ISVExtProdID[:], r.Attributes[:],
		r.MRENCLAVE[:], r.Reserved2[:], r.MRSIGNER[:], r.Reserved3[:], r.ConfigID[:],
	} {
		b = append(b, field...)
	}
	b = binary.LittleEndian.AppendUint16(b, r.ISVProdID)
	b = binary.LittleEndian.AppendUint16(b, r.ISVSVN)
	b = binary.LittleEndian.AppendUint16(b, r.ConfigSVN)
	b = append(b, r.Reserved4[:]...)
	b = append(b, r.ISVFamilyID[:]...)
	return append(b, r.ReportData[:]...)
}

// read fills r from the cursor, which the caller knows to hold 384 bytes.
func (r *EnclaveReport) read(c *cursor) {
	for _, field := range [][]byte{
		r.CPUSVN[:], r.MiscSelect[:], r.Reserved1[:], r.ISVExtProdID[:], r.Attributes[:],
		r.MRENCLAVE[:], r.Reserved2[:], r.MRSIGNER[:], r.Reserved3[:], r.ConfigID[:],
	} {
		c.fill(field)
	}
	r.ISVProdID = c.uint16()
	r.ISVSVN = c.uint16()
	r.ConfigSVN = c.uint16()
	c.fill(r.Reserved4[:])
	c.fill(r.ISVFamilyID[:])
	c.fill(r.ReportData[:])
}
