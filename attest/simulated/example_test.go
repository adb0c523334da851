package simulated_test

import (
	"context"
	"fmt"
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

func ExampleVariants() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	disagreements := 0
	for _, v := range simulated.Variants() {
		c := v.Config
		c.Now = now
		p, err := simulated.New(c)
		if err != nil {
			fmt.Println(err)
			return
		}
		e, err := p.Quote(context.Background(), [64]byte{})
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = (&dcap.Verifier{Root: p.Root()}).Verify(context.Background(), e, now)
		if (err == nil) != v.Genuine {
			disagreements++
		}
	}
	fmt.Println("disagreements:", disagreements)
	// Output: disagreements: 0
}
