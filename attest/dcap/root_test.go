package dcap

import (
	"context"
	"slices"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

func TestForgedPlatform(t *testing.T) {
	r, err := newForge().verify(t)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Simulated {
		t.Error("a root that is not Intel's must mark the report as simulated")
	}
	if r.TCB.Status != tee.UpToDate || r.TCB.EvaluationNumber != 17 || len(r.TCB.Advisories) != 0 || !slices.Equal(r.TCB.Shortfalls, nil) {
		t.Errorf("got %+v", r.TCB)
	}
}

// TestIntelRootByHand: Intel's root is Intel's, also if a caller passes it.
func TestIntelRootByHand(t *testing.T) {
	e := evidence(t, processorQuote, processorCollateral)
	c, err := ParseCollateral(e.Collateral)
	if err != nil {
		t.Fatal(err)
	}
	v := &Verifier{Root: intelRoot(), Collateral: c}
	r, err := v.Verify(context.Background(), &tee.Evidence{Platform: v.Platform(), Quote: e.Quote}, instant("2025-06-20T00:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Simulated {
		t.Error("a report under Intel's root is marked as simulated")
	}
}

var _ tee.Verifier = new(Verifier)
