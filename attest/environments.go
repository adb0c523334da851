package attest

import (
	"encoding/binary"
	"fmt"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// environments are all TEEs that a policy can name. What is said of a measurement is from Intel's "SGX Programming
// Reference" and "TDX Module Base Architecture Specification", AMD's "SEV Secure Nested Paging Firmware ABI
// Specification" (publication 56860, tables ATTESTATION_REPORT and POLICY), and AWS's "Nitro Enclaves User Guide"
// (Cryptographic attestation).
var environments = []environment{
	{
		name: tee.SGX, title: "Intel SGX", crowd: "too many enclaves", judged: true,
		measurements: []measurement{
			{"mrenclave", 32, pinned, "Measures the code, the data and the layout of the enclave: any other build has another."},
			{"mrsigner", 32, elsewhere, ""},
		},
		keys: []string{"isvprodid", "isvsvn", "sample_signer"},
		identities: []identity{
			{keys: []string{"mrenclave"}},
			{keys: []string{"mrsigner", "isvprodid", "isvsvn"}, instead: "every build that the holder of this signing key gives this product number, and this security version or a higher one."},
		},
		platform: (*pinner).intelPlatform,
	},
	{
		name: tee.TDX, title: "Intel TDX", crowd: "any tdx guest", judged: true,
		measurements: []measurement{
			{"mrtd", 48, pinned, "Measures what the guest began with, which mostly is its firmware alone: the registers below tell which system that booted."},
			{"rtmr0", 48, pinned, "Run-time register 0: the firmware's configuration and what the host told it of the machine (memory, devices)."},
			{"rtmr1", 48, pinned, "Run-time register 1: boot loader and kernel."},
			{"rtmr2", 48, pinned, "Run-time register 2: kernel command line, initial RAM disk, and what they measure."},
			{"rtmr3", 48, pinned, "Run-time register 3: what the system measured while it ran, such as an application."},
			{"mrconfigid", 48, pinned, "The configuration that the host named when it made the guest."},
			{"mrowner", 48, pinned, "The owner that the host named."},
			{"mrownerconfig", 48, pinned, "The owner's configuration that the host named."},
			{"mrservicetd", 48, pinned, "The service TDs that may act on the guest, such as one that migrates it."},
			{"td_attributes", 8, pinned, "The guest's attributes, such as whether it can be migrated."},
			{"xfam", 8, pinned, "The processor features that the guest may use."},
			{"mrseam", 48, shown, "The TDX module that ran the guest. It changes with every update and is judged under tcb; pin it only if you want no other."},
			{"mrsignerseam", 48, shown, "The signer of the TDX module, zero for Intel's."},
			{"seam_attributes", 8, shown, "The attributes of the TDX module."},
		},
		identities: []identity{{keys: []string{"mrtd"}}},
		guest: &guestRule{
			key: "td_attributes", by: "service TDs of the host's choice",
			// MIGRATABLE is bit 29 ("TD ATTRIBUTES"). The attributes that open a guest to its host make it a debug build.
			open: func(value []byte) bool { return len(value) != 8 || value[3]&(1<<5) != 0 },
			fix:  "have the guest made without the attribute MIGRATABLE, or name its td_attributes, and the mrservicetd that is trusted with it",
		},
		remarks:  remarksTDX,
		platform: (*pinner).intelPlatform,
	},
	{
		name: tee.SEVSNP, title: "AMD SEV-SNP", crowd: "any sev-snp guest",
		measurements: []measurement{
			{"measurement", 48, pinned, "Measures what the guest began with: its firmware, and kernel, initial RAM disk and command line as far as their hashes were put into that; not its disks."},
			{"host_data", 32, pinned, "What the host gave along when it launched the guest, such as the digest of a configuration."},
			{"id_key_digest", 48, pinned, "SHA-384 of the key that signed the guest's ID block; zero: it was launched without one."},
			{"author_key_digest", 48, pinned, "SHA-384 of the author's key that signed the key above; zero: none did."},
			{"family_id", 16, pinnedIfSet, "The family that the ID block names."},
			{"image_id", 16, pinnedIfSet, "The image that the ID block names."},
			{"guest_policy", 8, pinned, "The guest policy, which the host chose when it launched the guest and which the measurement does not cover."},
			{"chip_id", 64, shownIfSet, "The processor. Name it only if no other machine may run the guest."},
		},
		keys:       []string{"product", "min_tcb", "guest_svn", "vmpl", "unchecked_revocation"},
		identities: []identity{{keys: []string{"measurement"}}},
		guest: &guestRule{
			key: "guest_policy", by: "a migration agent that the host binds",
			open: openSNP,
			fix:  "have the guest launched with a policy without MIGRATE_MA, or name its guest_policy",
		},
		facts:   func(r *Report) bool { return r.AMD != nil },
		compare: (*Build).checkAMD, defaults: (*Build).checkPrivilege,
		sound: soundSNP, remarks: remarksSNP,
		platform: (*pinner).amdPlatform, build: (*pinner).amdBuild,
	},
	{
		name: tee.NitroEnclave, title: "AWS Nitro Enclave", crowd: "any Nitro enclave",
		measurements: registers(),
		summary:      "pcr0 to pcr31",
		identities: []identity{
			{keys: []string{"pcr0"}},
			{keys: []string{"pcr8"}, instead: "every image, also an older one, that is signed with the key of this certificate. (Then without pcr1 and pcr2, too.)"},
		},
		sound: soundNitro, remarks: remarksNitro,
		platform: (*pinner).awsPlatform,
	},
}

// openSNP tells whether a guest policy allows a migration agent (MIGRATE_MA, bit 18). A report always has its policy:
// of one that is missing, it can't be told, so it is taken to allow one.
func openSNP(policy []byte) bool {
	return len(policy) != 8 || binary.BigEndian.Uint64(policy)&(1<<18) != 0
}

// registers are the platform configuration registers of a Nitro Enclave. AWS fills those below 5 and 8; of 16 and above
// a document has those that the enclave locked.
func registers() []measurement {
	list := make([]measurement, 32)
	for i := range list {
		list[i] = measurement{fmt.Sprintf("pcr%d", i), 48, pinnedIfSet, "A register that AWS gives no meaning: what the enclave itself extended and locked."}
	}
	describe := func(i int, pin pinning, says string) { list[i].pin, list[i].says = pin, says }
	describe(0, pinned, "Measures the whole enclave image file: any other image has another. Zero in debug mode.")
	describe(1, pinned, "Measures the kernel and its boot RAM disk.")
	describe(2, pinned, "Measures the applications, without the boot RAM disk.")
	describe(3, shownIfSet, "Measures the IAM role of the instance that runs the enclave. Name it if no other role may.")
	describe(4, shownIfSet, "Measures the ID of the instance that runs the enclave. Name it if no other instance may.")
	describe(8, elsewhere, "")
	return list
}
