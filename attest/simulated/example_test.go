package simulated_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

func Example() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hardware, err := simulated.New(simulated.Config{Now: now, Status: tee.OutOfDate, Debug: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	evidence, err := hardware.Quote(context.Background(), [64]byte{1, 2, 3})
	if err != nil {
		fmt.Println(err)
		return
	}

	development := &dcap.Verifier{Root: hardware.Root()}
	report, err := development.Verify(context.Background(), evidence, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("simulated:", report.Simulated)
	fmt.Println("debug:", report.Debug)
	fmt.Println("status:", report.TCB.Status, report.TCB.Advisories)

	production := &dcap.Verifier{}
	_, err = production.Verify(context.Background(), evidence, now)
	fmt.Println("refused in production:", err != nil)

	// Output:
	// simulated: true
	// debug: true
	// status: OutOfDate [INTEL-SA-00615 INTEL-SA-00828]
	// refused in production: true
}

// A TDX module that is out of date makes the whole out of date; the report tells which part it was.
func Example_tdx() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	report, err := judged(simulated.Config{Now: now, TEE: "tdx", ModuleStatus: tee.OutOfDate})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.TEE, report.TCB.Status)
	fmt.Println("platform:", report.TCB.Platform)
	fmt.Println("module:", report.TCB.Module, report.TCB.Advisories)
	fmt.Println("quoting enclave:", report.TCB.QE)
	// Output:
	// tdx OutOfDate
	// platform: UpToDate
	// module: OutOfDate [INTEL-SA-01036]
	// quoting enclave: UpToDate
}

func ExampleNewPCS() {
	hardware, err := simulated.New(simulated.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	service := simulated.NewPCS(hardware)
	server := httptest.NewServer(service)
	defer server.Close()

	ask := func() {
		response, err := http.Get(server.URL + "/sgx/certification/v4/tcb?fmspc=" + simulated.FMSPC)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer response.Body.Close()
		fmt.Println(response.Status, "with a chain:", response.Header.Get("TCB-Info-Issuer-Chain") != "")
	}
	ask()
	service.Fail(simulated.PCSDown)
	ask()
	service.Fail("")
	ask()
	fmt.Println(service.Requests(simulated.TCBInfo), "requests")
	// Output:
	// 200 OK with a chain: true
	// 503 Service Unavailable with a chain: false
	// 200 OK with a chain: true
	// 3 requests
}

func ExampleVariants() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	disagreements := 0
	for _, v := range simulated.Variants() {
		v.Config.Now = now
		if _, err := judged(v.Config); (err == nil) != v.Genuine {
			disagreements++
		}
	}
	fmt.Println("disagreements:", disagreements)
	// Output: disagreements: 0
}

// judged makes evidence of a platform, and verifies it at the instant that the platform was made.
func judged(c simulated.Config) (*tee.Report, error) {
	hardware, err := simulated.New(c)
	if err != nil {
		return nil, err
	}
	evidence, err := hardware.Quote(context.Background(), [64]byte{})
	if err != nil {
		return nil, err
	}
	return (&dcap.Verifier{Root: hardware.Root()}).Verify(context.Background(), evidence, c.Now)
}
