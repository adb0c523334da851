package snp

import (
	"encoding/binary"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// facts are what the report says, once it is known of which product it is.
func (r *Report) facts(product string) *tee.Report {
	tcb := func(version uint64) tee.AMDTCB { return kds.TCBOf(product, version) }
	return &tee.Report{
		TEE: tee.SEVSNP, Data: r.Data(), Debug: r.Policy&policyDebug != 0,
		Measurements: r.measurements(),
		TCB:          tee.TCB{Status: tee.NotJudged, Platform: tee.NotJudged},
		AMD: &tee.AMDFacts{
			Version: r.Version, Product: product, SignedBy: r.About.SignedBy, VMPL: r.VMPL, GuestSVN: r.GuestSVN,
			Policy: r.guestPolicy(), Platform: r.platform(),
			Reported: tcb(r.ReportedTCB), Current: tcb(r.CurrentTCB), Committed: tcb(r.CommittedTCB), Launch: tcb(r.LaunchTCB),
		},
	}
}

func (r *Report) measurements() map[string][]byte {
	m := make(map[string][]byte, 10)
	for _, f := range []struct {
		name     string
		from, to int
	}{
		{"family_id", 0x10, 0x20}, {"image_id", 0x20, 0x30}, {"measurement", 0x90, 0xc0}, {"host_data", 0xc0, 0xe0},
		{"id_key_digest", 0xe0, 0x110}, {"author_key_digest", 0x110, 0x140}, {"report_id", 0x140, 0x160}, {"report_id_ma", 0x160, 0x180}, {"chip_id", 0x1a0, 0x1e0},
	} {
		m[f.name] = append([]byte(nil), r.raw[f.from:f.to]...)
	}
	m["guest_policy"] = binary.BigEndian.AppendUint64(nil, r.Policy)
	return m
}

func (r *Report) guestPolicy() tee.AMDGuestPolicy {
	has := func(bit uint64) bool { return r.Policy&bit != 0 }
	return tee.AMDGuestPolicy{
		ABIMinor: uint8(r.Policy), ABIMajor: uint8(r.Policy >> 8),
		SMT: has(policySMT), MigrateMA: has(policyMigrateMA), Debug: has(policyDebug), SingleSocket: has(policySingleSocket), CXL: has(policyCXL),
		MemAES256XTS: has(policyMemAES256XTS), RAPLDisabled: has(policyRAPLDisabled), CiphertextHiding: has(policyCiphertextHiding), PageSwapDisabled: has(policyPageSwapDisabled),
	}
}

// platform reads the bits of PLATFORM_INFO that have a name. Others are of firmware to come, which may set them.
func (r *Report) platform() tee.AMDPlatform {
	has := func(bit int) bool { return r.PlatformInfo>>bit&1 != 0 }
	return tee.AMDPlatform{SMT: has(0), TSME: has(1), ECC: has(2), RAPLDisabled: has(3), CiphertextHiding: has(4), AliasCheckComplete: has(5), TIO: has(7)}
}
