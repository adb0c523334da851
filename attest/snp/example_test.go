package snp_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/confidential-token-broker/ctb/attest/snp"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
)

// The facts of evidence that a development root vouches for. Without Root, AMD's own roots are trusted, and no others.
func ExampleVerifier() {
	chip, err := snptest.New(snptest.Config{})
	if err != nil {
		log.Fatal(err)
	}
	evidence, err := chip.Quote(context.Background(), [64]byte{1, 2, 3})
	if err != nil {
		log.Fatal(err)
	}
	verifier := &snp.Verifier{Root: chip.Root()}
	report, err := verifier.Verify(context.Background(), evidence, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.TEE, report.AMD.Product, report.AMD.SignedBy, report.Simulated, report.Debug)
	fmt.Println(report.AMD.Reported)
	_, err = new(snp.Verifier).Verify(context.Background(), evidence, time.Now())
	fmt.Println(err)
	// Output:
	// sev-snp Milan vcek true false
	// bootloader 3, tee 0, snp 8, microcode 115
	// root certificate: its SHA-256 is not that of a root of AMD's: untrusted root; for a development root name it (simulated_root in the policy, or --root)
}
