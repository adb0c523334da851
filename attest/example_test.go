package attest_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// A resource server, whole: it accepts tokens of one broker, whose keys must
// live in a build that policy.yaml names.
func Example() {
	const issuer = "https://broker.example.com"
	file, err := os.ReadFile("policy.yaml")
	if err != nil {
		log.Fatal(err)
	}
	policy, err := attest.ParsePolicy(file)
	if err != nil {
		log.Fatal(err)
	}
	keys, err := attest.NewKeySet(attest.Config{URL: issuer, Policy: policy, Platforms: []attest.Verifier{&dcap.Verifier{}}})
	if err != nil {
		log.Fatal(err)
	}
	v, err := ctb.NewVerifier(ctb.Config{Issuer: issuer, Audience: "https://api.example.com", Keys: keys})
	if err != nil {
		log.Fatal(err)
	}
	reports := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := ctb.FromContext(r.Context())
		fmt.Fprintf(w, "hello %s\n", token.Subject)
	})
	http.Handle("/reports", v.Protect(reports, ctb.Scope("read:reports")))
	log.Fatal(http.ListenAndServe("127.0.0.1:8081", nil))
}

// Every refusal names the policy's key, and what would make the evidence pass.
func ExamplePolicy_Check() {
	policy, err := attest.ParsePolicy([]byte(`
builds:
  - tee: sgx
    mrenclave: 2f745c0bfb2a484cb081652f3897ce181762a30c3eecd13209fe1f58442667ac
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	report := &attest.Report{
		TEE: "sgx", Debug: true,
		Measurements: map[string][]byte{"mrenclave": policy.Builds[0].Measurements["mrenclave"]},
		TCB:          attest.TCB{Status: attest.OutOfDate},
	}
	var refused *attest.RefusalError
	if errors.As(policy.Check(report, nil), &refused) {
		for _, r := range refused.Refusals {
			fmt.Println(r)
			fmt.Println("  fix:", r.Fix)
		}
	}
	// Output:
	// builds[0].debug: got a debug build, whose memory its host can read, want a production build
	//   fix: run a production build, or set debug: true for this build
	// tcb.accept: got OutOfDate, want UpToDate or SWHardeningNeeded
	//   fix: update the machine's firmware and microcode, or list OutOfDate in tcb.accept, or in tcb.tolerate until a date
}

// A policy is written from evidence that was verified, and says what its
// reader has yet to decide.
func ExamplePin() {
	report := &attest.Report{ // of a Verifier
		TEE: "sgx", Debug: true, At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Measurements: map[string][]byte{"mrenclave": bytes.Repeat([]byte{0x2f}, 32)},
		TCB:          attest.TCB{Status: attest.UpToDate, EvaluationNumber: 17},
	}
	pinned, err := attest.Pin(report, nil, attest.PinConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for line := range strings.Lines(string(pinned.Policy)) {
		if strings.Contains(line, "mrenclave:") || strings.Contains(line, "debug: ") {
			fmt.Print(strings.TrimSpace(line), "\n")
		}
	}
	for _, r := range pinned.Refusals {
		fmt.Println("refused:", r)
	}
	// Output:
	// mrenclave: "2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f"
	// # debug: true
	// refused: builds[0].debug: got a debug build, whose memory its host can read, want a production build
}

// A status that is not accepted may be tolerated until a day ends, so that
// there is time to update the machine, and no more.
func ExampleToleration() {
	policy, err := attest.ParsePolicy([]byte(`
builds:
  - tee: sgx
    mrenclave: 2f745c0bfb2a484cb081652f3897ce181762a30c3eecd13209fe1f58442667ac
tcb:
  tolerate:
    - status: OutOfDate
      until: 2026-03-31               # in UTC; or an instant, 2026-03-31T12:00:00Z
      advisories: [INTEL-SA-00828]    # if given, no other is tolerated meanwhile
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	report := &attest.Report{
		TEE: "sgx", At: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), Measurements: policy.Builds[0].Measurements,
		TCB: attest.TCB{Status: attest.OutOfDate, Advisories: []string{"INTEL-SA-00828"}},
	}
	fmt.Println(policy.Check(report, nil))
	// Output: the evidence is genuine but not accepted: tcb.tolerate: got OutOfDate, tolerated until 2026-03-31T23:59:59Z, which has passed (it is judged at 2026-04-01T00:00:00Z), want UpToDate or SWHardeningNeeded
}

func ExampleParsePolicy() {
	_, err := attest.ParsePolicy([]byte("builds:\n  - tee: sgx\n    mrenclaev: 2f745c0b\n"))
	fmt.Println(err)
	// Output: line 3, column 5: builds[0].mrenclaev: is not a key of a policy; known here are debug, isvprodid, isvsvn, mrconfigid, mrenclave, mrowner, mrownerconfig, mrseam, mrservicetd, mrsigner, mrsignerseam, mrtd, rtmr0, rtmr1, rtmr2, rtmr3, sample_signer, seam_attributes, td_attributes, tee, xfam
}

// A key is made in the environment, and its certificate says what it is for.
func ExampleCertify() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hardware, err := simulated.New(simulated.Config{Now: now}) // in production a Quoter of the real environment
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	cert, err := attest.Certify(context.Background(), hardware, key, attest.Binding{
		Use: attest.UseSignature, Issuer: "https://broker.example.com", Issued: now, Expires: now.Add(24 * time.Hour),
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	// Whoever gets the certificate asks the hardware's maker whether it is genuine.
	platforms := []attest.Verifier{&dcap.Verifier{Root: hardware.Root(), Collateral: hardware.Collateral()}}
	a, err := attest.Appraise(context.Background(), cert, attest.DICE, platforms, now, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(a.Binding.Use, a.Binding.Issuer, a.Report.TEE, a.Report.TCB.Status)
	// Output: sig https://broker.example.com sgx UpToDate
}
