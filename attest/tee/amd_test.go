package tee_test

import (
	"fmt"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

func ExampleAMDTCB_String() {
	fmt.Println(tee.AMDTCB{Bootloader: 4, SNP: 24, Microcode: 219})
	fmt.Println(tee.AMDTCB{FMC: 1, Bootloader: 1, TEE: 1, SNP: 4, Microcode: 81})
	// Output:
	// bootloader 4, tee 0, snp 24, microcode 219
	// fmc 1, bootloader 1, tee 1, snp 4, microcode 81
}

func ExampleAMDGuestPolicy_String() {
	fmt.Println(tee.AMDGuestPolicy{ABIMajor: 1, ABIMinor: 55, SMT: true})
	fmt.Println(tee.AMDGuestPolicy{Debug: true, MigrateMA: true})
	// Output:
	// firmware ABI 1.55 or newer, SMT allowed
	// firmware ABI 0.0 or newer, no SMT, a migration agent may be bound, the host may read it
}

// Each bit that is set is said, and each in words of its own.
func TestAMDGuestPolicyWords(t *testing.T) {
	plain := tee.AMDGuestPolicy{}.String()
	seen := map[string]bool{plain: true}
	for i, p := range []tee.AMDGuestPolicy{
		{ABIMajor: 1}, {ABIMinor: 1}, {SMT: true}, {MigrateMA: true}, {Debug: true}, {SingleSocket: true}, {CXL: true},
		{MemAES256XTS: true}, {RAPLDisabled: true}, {CiphertextHiding: true}, {PageSwapDisabled: true},
	} {
		if text := p.String(); seen[text] {
			t.Errorf("%d: %q is said of another too", i, text)
		} else {
			seen[text] = true
		}
	}
}

// The components are in the order of the structure, and none is left out.
func TestAMDTCBComponents(t *testing.T) {
	want := "[{fmc 1} {bootloader 2} {tee 3} {snp 4} {microcode 5}]"
	if got := fmt.Sprint(tee.AMDTCB{FMC: 1, Bootloader: 2, TEE: 3, SNP: 4, Microcode: 5}.Components()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
