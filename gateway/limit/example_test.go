package limit_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/limit"
)

func Example() {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	limits, err := limit.New(limit.Config{
		PerSecond: 0.5, Burst: 2,
		Now: func() time.Time { return now },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		done, err := limits.Take("alice")
		if refusal, ok := errors.AsType[*access.Refusal](err); ok {
			fmt.Println(refusal.Reason, refusal.RetryAfter)
			continue
		}
		fmt.Println("allowed")
		done() // when the request is over
	}
	// Output:
	// allowed
	// allowed
	// rate_limited 2s
}
