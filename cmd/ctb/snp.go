package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// snpPlatform is AMD SEV-SNP.
func snpPlatform() platform {
	return platform{
		name: tee.SNP, tees: []string{tee.SEVSNP}, maker: "AMD",
		recognise: recogniseReport,
		claims:    snpClaims,
		about: func(r *attest.Report) string {
			if r.AMD == nil {
				return ""
			}
			return aboutChip(r.AMD.SignedBy, r.Measurements["chip_id"])
		},
		facts:     (*finding).snpFacts,
		printRuns: (*finding).printGuest,
		printOn:   (*finding).printChip,
	}
}

// recogniseReport recognises an attestation report, alone or followed by the certificates that the host gave the
// guest along with it, as SNP_GET_EXT_REPORT and configfs-tsm's auxblob have them. Its first number is its version.
func recogniseReport(raw []byte) (*attest.Evidence, error) {
	if len(raw) < 256 || raw[0] == 0 || raw[0] > 9 || raw[1]|raw[2]|raw[3] != 0 {
		return nil, nil
	}
	const form = "begins like an attestation report of SEV-SNP"
	if len(raw) < kds.ReportSize {
		return nil, fmt.Errorf("%s, but has %d bytes, want %d, alone or followed by a certificate table", form, len(raw), kds.ReportSize)
	}
	about, err := kds.ParsePlatform(raw[:kds.ReportSize])
	if err != nil {
		return nil, fmt.Errorf("%s, but: %w", form, err)
	}
	e := &attest.Evidence{Platform: tee.SNP, Quote: raw[:kds.ReportSize]}
	if len(raw) > kds.ReportSize {
		c, err := kds.FromTableFor(raw[kds.ReportSize:], about.SignedBy)
		if err != nil {
			return nil, fmt.Errorf("%s with %d bytes behind its %d, which are no certificate table: %w", form, len(raw)-kds.ReportSize, kds.ReportSize, err)
		}
		e.Collateral = c.Marshal()
	}
	return e, nil
}

// Where a report has what is claimed (AMD publication 56860, table ATTESTATION_REPORT).
const (
	atPolicy      = 0x08
	policyDebug   = 1 << 19
	atMeasurement = 0x90
)

func snpClaims(e *attest.Evidence) *claimsJSON {
	p, err := kds.ParsePlatform(e.Quote)
	if err != nil {
		return nil
	}
	c := &claimsJSON{
		TEE: tee.SEVSNP, Debug: binary.LittleEndian.Uint64(e.Quote[atPolicy:])&policyDebug != 0,
		Measurement: hex.EncodeToString(e.Quote[atMeasurement : atMeasurement+48]), Product: p.Product,
	}
	if p.ChipID != [64]byte{} {
		c.ChipID = hex.EncodeToString(p.ChipID[:])
	}
	return c
}

// aboutChip names the chip whose key signed, or, of no chip, the cloud's key.
func aboutChip(signedBy string, chip []byte) string {
	if signedBy == kds.VLEK { // the report names its chip all the same, and the key is not of that
		chip = nil
	}
	return fmt.Sprintf("%s %x", signedBy, chip)
}

// snpJSON is what only SEV-SNP evidence has, beside its measurements.
type snpJSON struct {
	Version  uint32 `json:"version"`   // of the report
	Product  string `json:"product"`   // "Milan", "Genoa" or "Turin"
	SignedBy string `json:"signed_by"` // "vcek" or "vlek"
	VMPL     uint32 `json:"vmpl"`
	GuestSVN uint32 `json:"guest_svn"`

	Policy   amdPolicyJSON   `json:"policy"`
	Platform amdPlatformJSON `json:"platform"`

	Reported  amdTCBJSON `json:"reported"`
	Current   amdTCBJSON `json:"current"`
	Committed amdTCBJSON `json:"committed"`
	Launch    amdTCBJSON `json:"launch"`

	RevocationChecked bool `json:"revocation_checked"`
}

// amdTCBJSON are the security version numbers of a platform's parts.
type amdTCBJSON struct {
	FMC        *uint8 `json:"fmc,omitempty"` // Turin
	Bootloader uint8  `json:"bootloader"`
	TEE        uint8  `json:"tee"`
	SNP        uint8  `json:"snp"`
	Microcode  uint8  `json:"microcode"`
}

// amdPolicyJSON is what the guest was launched with.
type amdPolicyJSON struct {
	ABIMajor         uint8 `json:"abi_major"`
	ABIMinor         uint8 `json:"abi_minor"`
	SMT              bool  `json:"smt"`
	MigrateMA        bool  `json:"migrate_ma"`
	Debug            bool  `json:"debug"`
	SingleSocket     bool  `json:"single_socket"`
	CXL              bool  `json:"cxl"`
	MemAES256XTS     bool  `json:"mem_aes_256_xts"`
	RAPLDisabled     bool  `json:"rapl_disabled"`
	CiphertextHiding bool  `json:"ciphertext_hiding"`
	PageSwapDisabled bool  `json:"page_swap_disabled"`
}

// amdPlatformJSON is how the machine was set up.
type amdPlatformJSON struct {
	SMT                bool `json:"smt"`
	TSME               bool `json:"tsme"`
	ECC                bool `json:"ecc"`
	RAPLDisabled       bool `json:"rapl_disabled"`
	CiphertextHiding   bool `json:"ciphertext_hiding"`
	AliasCheckComplete bool `json:"alias_check_complete"`
	TIO                bool `json:"tio"`
}

// snpFacts copies what only SEV-SNP has.
func (x *finding) snpFacts(r *attest.Report) {
	x.measured(r)
	f := r.AMD
	if f == nil {
		return
	}
	tcb := func(t tee.AMDTCB) amdTCBJSON {
		j := amdTCBJSON{nil, t.Bootloader, t.TEE, t.SNP, t.Microcode}
		if f.Product == tee.Turin {
			j.FMC = new(t.FMC)
		}
		return j
	}
	x.SNP = &snpJSON{
		Version: f.Version, Product: f.Product, SignedBy: f.SignedBy, VMPL: f.VMPL, GuestSVN: f.GuestSVN,
		Policy: amdPolicyJSON(f.Policy), Platform: amdPlatformJSON(f.Platform),
		Reported: tcb(f.Reported), Current: tcb(f.Current), Committed: tcb(f.Committed), Launch: tcb(f.Launch),
		RevocationChecked: f.RevocationChecked,
	}
}

// measured copies the measurements by their names in a policy.
func (x *finding) measured(r *attest.Report) {
	x.Measurements = map[string]string{}
	for name, value := range r.Measurements {
		x.Measurements[name] = hex.EncodeToString(value)
	}
}
