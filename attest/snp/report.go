package snp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
)

// Report is an attestation report (AMD publication 56860, table ATTESTATION_REPORT), as the hardware wrote it. Its numbers are
// read; what they mean depends on the product, which a report of version 2 does not tell.
type Report struct {
	raw []byte // 1184 bytes

	Version      uint32 // 2, 3 or 5
	GuestSVN     uint32
	Policy       uint64
	VMPL         uint32 // 0 to 3
	PlatformInfo uint64
	About        kds.Platform // what the signing key is of; Product is empty in version 2

	CurrentTCB, ReportedTCB, CommittedTCB, LaunchTCB uint64
}

// Where things are in a report.
const (
	signatureAt = 0x2a0 // what comes before is signed
	scalarsSize = 144   // of r and s, 72 bytes each
)

// The bits of the guest policy (table GUEST_POLICY).
const (
	policySMT = 1 << (16 + iota)
	policyOne // reserved, always set
	policyMigrateMA
	policyDebug
	policySingleSocket
	policyCXL
	policyMemAES256XTS
	policyRAPLDisabled
	policyCiphertextHiding
	policyPageSwapDisabled
	policyEnd // what begins here is reserved
)

// The bits of the key information, at 0x48.
const (
	authorKeyEnabled = 1 << iota
	maskChipKey
	keyKindBit // three bits: which key signed
	keyEnd     = 1 << 5
)

// ParseReport reads a report, of exactly 1184 bytes. Whoever made it, nothing of it is verified.
func ParseReport(data []byte) (*Report, error) {
	about, err := kds.ParsePlatform(data) // which checks length, version and kind of key
	if err != nil {
		return nil, err
	}
	r := &Report{raw: bytes.Clone(data), About: about}
	r.Version, r.GuestSVN, r.VMPL = r.u32(0), r.u32(4), r.u32(0x30)
	r.Policy, r.PlatformInfo = r.u64(8), r.u64(0x40)
	r.CurrentTCB, r.ReportedTCB, r.CommittedTCB, r.LaunchTCB = r.u64(0x38), r.u64(0x180), r.u64(0x1e0), r.u64(0x1f0)
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return r, nil
}

func (r *Report) u32(at int) uint32 { return binary.LittleEndian.Uint32(r.raw[at:]) }

func (r *Report) u64(at int) uint64 { return binary.LittleEndian.Uint64(r.raw[at:]) }

// check refuses what the firmware never writes for a guest.
func (r *Report) check() error {
	switch info := r.u32(0x48); {
	case r.VMPL > 3:
		return fmt.Errorf("privilege level (VMPL): got %#x, want 0 to 3: it was asked for by the host, and not by a guest", r.VMPL)
	case r.u32(0x34) != 1:
		return fmt.Errorf("signature algorithm: got %d, want 1 (ECDSA P-384 with SHA-384)", r.u32(0x34))
	case info >= keyEnd:
		return fmt.Errorf("key information: got %#x, which has reserved bits", info)
	case info&maskChipKey != 0 && r.About.SignedBy == kds.VCEK:
		return errors.New("it is not signed: the host has MASK_CHIP_KEY set, so the chip's key signs nothing")
	case info&authorKeyEnabled == 0 && !zero(r.raw[0x110:0x140]):
		return errors.New("author key: there is a digest of it, but it is not enabled")
	case r.Version >= 3 && r.raw[0x18a] > 0xf:
		return fmt.Errorf("CPUID stepping: got %#x, want four bits", r.raw[0x18a])
	case r.Policy&policyOne == 0 || r.Policy >= policyEnd:
		return fmt.Errorf("guest policy: got %#x, want bit 17 set and all from bit 26 on clear", r.Policy)
	}
	return r.reserved()
}

// reserved checks that what is reserved is zero, and so are fields of a later version.
func (r *Report) reserved() error {
	spans := [][2]int{{0x4c, 0x50}, {0x18b, 0x1a0}, {0x1eb, 0x1ec}, {0x1ef, 0x1f0}, {0x208, signatureAt}, {signatureAt + scalarsSize, kds.ReportSize}}
	if r.Version < 3 {
		spans = append(spans, [2]int{0x188, 0x18b}) // CPUID
	}
	if r.Version < 5 {
		spans = append(spans, [2]int{0x1f8, 0x208}) // mitigation vectors
	}
	for _, s := range spans {
		if !zero(r.raw[s[0]:s[1]]) {
			return fmt.Errorf("the bytes %#x to %#x are reserved in version %d: got %x, want zeros", s[0], s[1]-1, r.Version, r.raw[s[0]:s[1]])
		}
	}
	return nil
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Marshal returns the report as it was read.
func (r *Report) Marshal() []byte { return bytes.Clone(r.raw) }

// Data returns the report data.
func (r *Report) Data() [64]byte { return [64]byte(r.raw[0x50:]) }
