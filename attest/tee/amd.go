package tee

import (
	"fmt"
	"strings"
)

// The families of AMD's processors that have SEV-SNP, as AMD's key distribution service names them. The
// security version numbers of one say nothing of another's.
const (
	Milan = "Milan"
	Genoa = "Genoa" // Bergamo and Siena too
	Turin = "Turin"
)

// AMDFacts is what an attestation report of SEV-SNP says beside the
// measurements (AMD publication 56860, "SEV Secure Nested Paging Firmware ABI Specification", table ATTESTATION_REPORT).
type AMDFacts struct {
	Version  uint32 // of the report
	Product  string // the family of processors: Milan, Genoa or Turin
	SignedBy string // the kind of key: "vcek", of the chip, or "vlek", of the cloud
	VMPL     uint32 // the privilege level that asked for the report, 0 to 3; 0 is the highest
	GuestSVN uint32 // security version number that the guest's owner gave
	Policy   AMDGuestPolicy
	Platform AMDPlatform

	Reported  AMDTCB // the one that the signing key is derived from
	Current   AMDTCB // of the firmware that runs
	Committed AMDTCB // the least that the host can go back to
	Launch    AMDTCB // when the guest was launched

	// RevocationChecked tells whether there was a current revocation list of the maker, and the signing key's CA is not on it.
	RevocationChecked bool
}

// AMDTCB are the security version numbers of the parts of a platform (TCB_VERSION), 0 to 255 each. AMD does not
// order platforms by the whole, so they are compared one by one.
type AMDTCB struct {
	FMC        uint8 // of the FMC firmware; Turin and later, else 0
	Bootloader uint8 // of the secure processor's boot loader
	TEE        uint8 // of the secure processor's operating system
	SNP        uint8 // of the firmware that runs SEV-SNP
	Microcode  uint8 // the lowest patch level of all cores
}

// AMDComponent is one of the numbers of an [AMDTCB].
type AMDComponent struct {
	Name string // as policies have it: "fmc", "bootloader", "tee", "snp" or "microcode"
	SVN  uint8
}

// Components returns the numbers with their names, in the order of the structure.
func (t AMDTCB) Components() [5]AMDComponent {
	return [5]AMDComponent{{"fmc", t.FMC}, {"bootloader", t.Bootloader}, {"tee", t.TEE}, {"snp", t.SNP}, {"microcode", t.Microcode}}
}

// String lists the numbers with their names, such as "bootloader 4, tee 0, snp 24, microcode 219"; an fmc of 0 is left out.
func (t AMDTCB) String() string {
	var list []string
	for _, c := range t.Components() {
		if c.Name != "fmc" || c.SVN > 0 {
			list = append(list, fmt.Sprintf("%s %d", c.Name, c.SVN))
		}
	}
	return strings.Join(list, ", ")
}

// AMDGuestPolicy is what the guest was launched with. The report's measurement does not cover it.
type AMDGuestPolicy struct {
	ABIMajor, ABIMinor uint8 // the least firmware interface
	SMT                bool  // simultaneous multi-threading is allowed
	MigrateMA          bool  // a migration agent may be bound, which can read the guest
	Debug              bool  // the host may read the guest
	SingleSocket       bool  // it runs on one socket only
	CXL                bool  // CXL memory is allowed
	MemAES256XTS       bool  // memory must be encrypted by AES-256-XTS
	RAPLDisabled       bool  // running average power limit must be disabled
	CiphertextHiding   bool  // ciphertext hiding must be enabled
	PageSwapDisabled   bool  // the host can't move the guest's pages
}

// String says in words what the policy allows and demands.
func (p AMDGuestPolicy) String() string {
	list := []string{fmt.Sprintf("firmware ABI %d.%d or newer", p.ABIMajor, p.ABIMinor)}
	for _, bit := range []struct {
		set      bool
		yes, not string
	}{
		{p.SMT, "SMT allowed", "no SMT"},
		{p.MigrateMA, "a migration agent may be bound", ""},
		{p.Debug, "the host may read it", ""},
		{p.SingleSocket, "one socket only", ""},
		{p.CXL, "CXL memory allowed", ""},
		{p.MemAES256XTS, "memory encrypted by AES-256-XTS", ""},
		{p.RAPLDisabled, "RAPL must be disabled", ""},
		{p.CiphertextHiding, "ciphertext must be hidden", ""},
		{p.PageSwapDisabled, "its pages can't be moved", ""},
	} {
		switch {
		case bit.set:
			list = append(list, bit.yes)
		case bit.not != "":
			list = append(list, bit.not)
		}
	}
	return strings.Join(list, ", ")
}

// AMDPlatform is how the machine was set up (PLATFORM_INFO).
type AMDPlatform struct {
	SMT, TSME, ECC, RAPLDisabled, CiphertextHiding, AliasCheckComplete, TIO bool
}
