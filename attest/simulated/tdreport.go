package simulated

import (
	"crypto/sha512"
	"encoding/binary"
)

// Bits of a trust domain's attributes (Intel TDX Module ABI Specification, ATTRIBUTES).
const (
	tdDebug         = 1 << 0
	tdSeptVEDisable = 1 << 28
)

// tdReport is the body of a TD quote ("Intel TDX DCAP Quoting Library API",
// appendix A.3): 584 bytes for TDX 1.0, 648 for 1.5. All integers are little-endian.
type tdReport struct {
	teeTCBSVN      [16]byte // module version, its major version, microcode of TDX
	mrseam         [48]byte
	mrsignerseam   [48]byte
	seamAttributes uint64
	attributes     uint64
	xfam           uint64
	mrtd           [48]byte
	mrconfigid     [48]byte
	mrowner        [48]byte
	mrownerconfig  [48]byte
	rtmr           [4][48]byte
	data           [64]byte

	running [16]byte // TDX 1.5: TEE_TCB_SVN_2, the versions that the platform has now
}

const (
	tdReportSize       = 584
	tdReport15Size     = 648
	tdReportDataOffset = 520 // 64 bytes
)

var devMRSEAM = sha512.Sum384([]byte("MRSEAM of confidential-token-broker's simulated hardware"))

// marshal lays the report out. That of TDX 1.5 tells in addition the versions
// that the platform has now, and the measurement of the service domains, of which there are none.
func (r *tdReport) marshal(td15 bool) []byte {
	b := make([]byte, 0, tdReport15Size)
	b = append(b, r.teeTCBSVN[:]...)
	b = append(b, r.mrseam[:]...)
	b = append(b, r.mrsignerseam[:]...)
	b = binary.LittleEndian.AppendUint64(b, r.seamAttributes)
	b = binary.LittleEndian.AppendUint64(b, r.attributes)
	b = binary.LittleEndian.AppendUint64(b, r.xfam)
	for _, m := range [][48]byte{r.mrtd, r.mrconfigid, r.mrowner, r.mrownerconfig, r.rtmr[0], r.rtmr[1], r.rtmr[2], r.rtmr[3]} {
		b = append(b, m[:]...)
	}
	b = append(b, r.data[:]...)
	if td15 {
		b = append(b, r.running[:]...)
		b = append(b, make([]byte, 48)...)
	}
	return b
}

// newTDReport is a trust domain of a settled configuration, whose module still lacks its version.
func newTDReport(c Config) tdReport {
	r := tdReport{
		mrseam:        devMRSEAM,
		attributes:    c.TDAttributes,
		xfam:          c.XFAM,
		mrtd:          c.MRTD,
		mrconfigid:    c.MRConfigID,
		mrowner:       c.MROwner,
		mrownerconfig: c.MROwnerConfig,
		rtmr:          c.RTMR,
	}
	if c.Debug {
		r.attributes |= tdDebug
	}
	return r
}
