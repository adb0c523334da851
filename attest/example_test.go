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
	"github.com/confidential-token-broker/ctb/attest/tee"
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
	// Output: line 3, column 5: builds[0].mrenclaev: is not a key of a policy; known here are debug, isvprodid, isvsvn, mrenclave, mrsigner, sample_signer, tee
}

// A build of SEV-SNP says itself how recent its platform must be, in each of its parts: AMD publishes no judgement.
func ExamplePolicy_Check_amd() {
	policy, err := attest.ParsePolicy([]byte(`
builds:
  - tee: sev-snp
    measurement: b07af9620f3b839b47996422ddec6058338951d984e312115131ea82705eaf5b6bdf8a9ece31a5a608eb0cf2e4872b01
    product: Milan
    min_tcb: {bootloader: 4, tee: 0, snp: 24, microcode: 219}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	old := tee.AMDTCB{Bootloader: 4, SNP: 24, Microcode: 211}
	report := &attest.Report{ // of a Verifier
		TEE: tee.SEVSNP, TCB: attest.TCB{Status: tee.NotJudged},
		Measurements: map[string][]byte{"measurement": policy.Builds[0].Measurements["measurement"], "guest_policy": {0, 0, 0, 0, 0, 3, 0, 0}},
		AMD:          &tee.AMDFacts{Product: tee.Milan, Reported: old, Launch: old, RevocationChecked: true},
	}
	var refused *attest.RefusalError
	if errors.As(policy.Check(report, nil), &refused) {
		for _, r := range refused.Refusals {
			fmt.Println(r)
		}
	}
	// Output: builds[0].min_tcb.microcode: got 211, as the machine reports it, and 211, when the guest was launched, want 219 or more
}

// What a policy may say, and a person should know that it does.
func ExamplePolicy_Warnings() {
	policy, err := attest.ParsePolicy([]byte("builds:\n  - tee: nitro\n    pcr8: " + strings.Repeat("2f", 48) + "\nrules: [\"sha256:" + strings.Repeat("6c", 32) + "\"]\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, w := range policy.Warnings(time.Now()) {
		fmt.Println(w)
	}
	// Output: builds[0]: pcr8 is the certificate that signs images, so every image that it signed matches, the older ones too; name pcr0 for one image
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

// Who asks with a nonce of its own learns that a broker is there now, in a build and under rules that the policy
// accepts, and which keys it has.
func ExampleCheckFresh() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	nonce := []byte("random, and used once")
	hardware, err := simulated.New(simulated.Config{Now: now})
	if err != nil {
		fmt.Println(err)
		return
	}

	// The broker answers /.well-known/attestation?nonce= with a statement in its document, which FetchFresh gets.
	statement, err := attest.NewFresh(context.Background(), hardware, attest.FreshClaims{
		Issuer: "https://broker.example.com", Time: now, Keys: [][32]byte{{1}}, Nonces: [][]byte{nonce},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	doc := &attest.Attestation{Issuer: "https://broker.example.com", Keys: []attest.AttestedKey{}, Fresh: statement}

	// Without a policy, AppraiseFresh tells the facts. CheckFresh wants one, and trusts.
	a, err := attest.AppraiseFresh(context.Background(), doc, nonce, attest.Config{
		Platforms: []attest.Verifier{&dcap.Verifier{Root: hardware.Root(), Collateral: hardware.Collateral()}},
		Now:       func() time.Time { return now.Add(time.Second) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(a.Issuer, a.Report.TEE, a.Time.Format(time.RFC3339))

	_, err = attest.AppraiseFresh(context.Background(), doc, []byte("asked by somebody else"), attest.Config{
		Now: func() time.Time { return now.Add(time.Second) },
	})
	fmt.Println(err)
	// Output:
	// https://broker.example.com sgx 2026-03-01T12:00:00Z
	// fresh evidence: it does not answer this nonce (it answers 1): it was made for somebody else, or earlier
}
