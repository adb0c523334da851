package nitro_test

import (
	"context"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest/nitro"
	"github.com/confidential-token-broker/ctb/attest/nitro/nitrotest"
)

func Example() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	module, err := nitrotest.New(nitrotest.Config{Debug: true, Now: func() time.Time { return now }})
	if err != nil {
		fmt.Println(err)
		return
	}
	evidence, err := module.Quote(context.Background(), [64]byte{1, 2, 3})
	if err != nil {
		fmt.Println(err)
		return
	}

	development := &nitro.Verifier{Root: module.Root()}
	report, err := development.Verify(context.Background(), evidence, now)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("simulated:", report.Simulated)
	fmt.Println("debug:", report.Debug)
	fmt.Printf("report data: %x…\n", report.Data[:3])
	fmt.Println("until:", report.Collateral.NotAfter)

	production := &nitro.Verifier{}
	_, err = production.Verify(context.Background(), evidence, now)
	fmt.Println("in production:", err)

	// Output:
	// simulated: true
	// debug: true
	// report data: 010203…
	// until: 2026-03-01 15:00:00 +0000 UTC
	// in production: document: cabundle[0]: untrusted root; for simulated hardware name its root (simulated_root in the policy, or --root)
}
