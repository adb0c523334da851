package dcap_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// made is when the simulated platforms are made, and the instant of every question about them.
var made = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// simulate makes the evidence of a variant.
func simulate(t *testing.T, v simulated.Variant) evidence {
	t.Helper()
	c := v.Config
	c.Now, c.Seed = made, []byte("the seed of the interoperability tests")
	p, err := simulated.New(c)
	if err != nil {
		t.Fatal(err)
	}
	e, err := p.Quote(t.Context(), [64]byte{'d', 'a', 't', 'a'})
	if err != nil {
		t.Fatal(err)
	}
	return evidence{
		format: formatOf(c), name: v.Name, quote: e.Quote, collateral: p.Collateral(), root: p.Root(), at: made,
		debug: c.Debug, genuine: v.Genuine, want: v.TCB,
	}
}

// formatOf is the format that a platform is told to make; a fault may say another in the quote.
func formatOf(c simulated.Config) string {
	name, version := "SGX", 3
	if c.TEE == "tdx" {
		name, version = "TDX", 4
	}
	if c.QuoteVersion != 0 {
		version = int(c.QuoteVersion)
	}
	name = fmt.Sprintf("%s v%d", name, version)
	if c.TD15 {
		name += " (TD 1.5)"
	}
	if c.TCBInfoVersion == 2 {
		name += " (TCB info v2)"
	}
	return name
}

var (
	variantsOnce sync.Once
	variantsMade []evidence
)

// variants is the evidence of every variant of the simulated platform, made once.
func variants(t *testing.T) []evidence {
	t.Helper()
	variantsOnce.Do(func() {
		for _, v := range simulated.Variants() {
			variantsMade = append(variantsMade, simulate(t, v))
		}
	})
	return variantsMade
}

// TestVariants asks every implementation about every variant of the simulated
// platform. They say what the variant says of itself, or the disagreement is explained.
func TestVariants(t *testing.T) { compare(t, variants(t)) }

// TestSimulatedIsNotIntel asks about the same evidence with Intel's root in place: nothing passes.
func TestSimulatedIsNotIntel(t *testing.T) {
	var all []evidence
	for _, e := range variants(t) {
		e.root = nil
		all = append(all, e)
	}
	refuseAll(t, all)
}

// refuseAll asks every implementation about evidence that it must refuse without an exception.
func refuseAll(t *testing.T, all []evidence) {
	k := readKnown(t)
	for _, o := range oracles {
		t.Run(o.name, func(t *testing.T) {
			mine := k.asked(o.name, all)
			for i, got := range o.ask(t, mine) {
				if got.refused == "" && !got.declines || got.panics {
					t.Errorf("%s, %q: %+v", mine[i].format, mine[i].name, got)
				}
			}
		})
	}
}
