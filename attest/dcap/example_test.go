package dcap_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Verify a quote with collateral from a file, and read what it says.
func Example() {
	quote, err := os.ReadFile("quote.bin")
	collateral, missing := os.ReadFile("collateral.json") // as dcap-qvl or ctb collateral fetch writes it
	if err := errors.Join(err, missing); err != nil {
		log.Fatal(err)
	}
	evidence := &tee.Evidence{Platform: "dcap", Quote: quote, Collateral: collateral}
	report, err := new(dcap.Verifier).Verify(context.Background(), evidence, time.Now())
	if err != nil {
		log.Fatal(err) // not genuine, or it can't be told
	}
	fmt.Printf("%s: %s, mrenclave %x\n", report.TEE, report.TCB.Status, report.Measurements["mrenclave"])
	// Genuine is not yet ours: hand the report to attest.Policy.Check.
}

// Verify evidence of simulated hardware, which stands for what a peer sends.
// In production the Root stays nil: it is Intel's.
func ExampleVerifier() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hardware, err := simulated.New(simulated.Config{Now: now, Status: tee.OutOfDate})
	if err != nil {
		log.Fatal(err)
	}
	evidence, err := hardware.Quote(context.Background(), [64]byte{'d', 'a', 't', 'a'})
	if err != nil {
		log.Fatal(err)
	}

	verifier := &dcap.Verifier{Root: hardware.Root()}
	report, err := verifier.Verify(context.Background(), evidence, now)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("data      %s\n", report.Data[:4])
	fmt.Printf("debug     %t\n", report.Debug)
	fmt.Printf("simulated %t\n", report.Simulated)
	fmt.Printf("status    %s\n", report.TCB.Status)

	_, err = new(dcap.Verifier).Verify(context.Background(), evidence, now)
	fmt.Printf("in production: %v\n", err)
	// Output:
	// data      data
	// debug     false
	// simulated true
	// status    OutOfDate
	// in production: PCK certificate chain: ends in the root "Intel SGX Root CA", whose key is not Intel's: untrusted root; for simulated hardware name its root (simulated_root in the policy, or --root)
}

// Verify evidence of a trust domain, whose TDX module is out of date.
func ExampleVerifier_tdx() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hardware, err := simulated.New(simulated.Config{TEE: "tdx", Now: now, Module: "TDX_03", ModuleStatus: tee.OutOfDate})
	if err != nil {
		log.Fatal(err)
	}
	evidence, err := hardware.Quote(context.Background(), [64]byte{'d', 'a', 't', 'a'})
	if err != nil {
		log.Fatal(err)
	}

	verifier := &dcap.Verifier{Root: hardware.Root()}
	report, err := verifier.Verify(context.Background(), evidence, now)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("mrtd      %d bytes\n", len(report.Measurements["mrtd"]))
	fmt.Printf("status    %s\n", report.TCB.Status)
	for _, level := range report.TCB.Levels {
		fmt.Printf("          %s is %s as of %s\n", level.Part, level.Status, level.Date.Format(time.DateOnly))
	}
	for _, remedy := range report.TCB.Remedies {
		fmt.Printf("remedy    %s\n", remedy)
	}
	// Output:
	// mrtd      48 bytes
	// status    OutOfDate
	//           platform is UpToDate as of 2024-03-13
	//           module is OutOfDate as of 2023-08-09
	//           qe is UpToDate as of 2024-03-13
	// remedy    update the TDX module, and launch the trust domain again: module.isvsvn is 3, want 5
	// remedy    TDX module: at the newest level it is no longer concerned by INTEL-SA-01036
}

// Read what a quote says. Nothing of it is verified.
func ExampleParseQuote() {
	data, err := os.ReadFile("testdata/original/quote.bin")
	if err != nil {
		log.Fatal(err)
	}
	quote, err := dcap.ParseQuote(data)
	if err != nil {
		log.Fatal(err)
	}
	chain, err := quote.Signature.Certification.Chain()
	if err != nil {
		log.Fatal(err)
	}
	pck, err := dcap.ParsePCK(chain[0])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("mrenclave %x\n", quote.Enclave.MRENCLAVE)
	fmt.Printf("debug     %t\n", quote.Enclave.Debug())
	fmt.Printf("fmspc     %x, certified by the %s\n", pck.FMSPC, chain[0].Issuer.CommonName)
	// Output:
	// mrenclave 2f745c0bfb2a484cb081652f3897ce181762a30c3eecd13209fe1f58442667ac
	// debug     true
	// fmspc     00606a000000, certified by the Intel SGX PCK Platform CA
}
