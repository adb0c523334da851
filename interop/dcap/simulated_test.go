package dcap_test

import (
	"bytes"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// TestVariants asks every implementation about every variant of the simulated
// platform. They say what the variant says of itself, or the disagreement is explained.
func TestVariants(t *testing.T) {
	variants, table := simulated.Variants(), readExplained(t)
	var all []evidence
	for _, v := range variants {
		all = append(all, simulate(t, v))
	}
	for _, o := range oracles {
		t.Run(o.name, func(t *testing.T) {
			for i, got := range o.ask(t, all) {
				v := variants[i]
				says, disagrees := table[[2]string{o.name, v.Name}]
				switch agrees := got.agrees(v.Genuine, v.TCB); {
				case agrees && disagrees:
					t.Errorf("%s: agrees; the table in README.md says that it does not", v.Name)
				case !agrees && !disagrees:
					t.Errorf("%s: %s (%+v), want genuine %v, %+v", v.Name, got, got, v.Genuine, v.TCB)
				case disagrees && got.String() != says:
					t.Errorf("%s: %s, the table in README.md says that it %s", v.Name, got, says)
				}
			}
		})
	}
}

// TestSimulatedIsNotIntel asks every implementation about the same evidence with Intel's root in place: nothing passes.
func TestSimulatedIsNotIntel(t *testing.T) {
	var all []evidence
	for _, v := range simulated.Variants() {
		e := simulate(t, v)
		e.root = nil
		all = append(all, e)
	}
	for _, o := range oracles {
		t.Run(o.name, func(t *testing.T) {
			for i, got := range o.ask(t, all) {
				if got.refused == "" {
					t.Errorf("%s: accepted under Intel's root: %+v", all[i].name, got)
				}
			}
		})
	}
}

// flippedRoot is the name of evidence whose quote is spoiled in the last of its certificates.
const flippedRoot = "one bit flipped in the quote's copy of the root"

// TestOneBitFlipped spoils an up-to-date quote all over; nobody accepts any of
// the results. The quote's own copy of the root is the explained exception.
func TestOneBitFlipped(t *testing.T) {
	sound, table := simulate(t, upToDate), readExplained(t)
	rootAt := bytes.LastIndex(sound.quote, []byte("-----BEGIN CERTIFICATE-----"))
	var all []evidence
	for at := 0; at < len(sound.quote)-1; at += 41 { // the last byte is padding
		e := sound
		e.name = "one bit flipped"
		if at >= rootAt {
			e.name = flippedRoot
		}
		e.quote = bytes.Clone(sound.quote)
		e.quote[at] ^= 1 << (at % 8)
		all = append(all, e)
	}
	for _, o := range oracles {
		t.Run(o.name, func(t *testing.T) {
			accepted := map[string]int{}
			for i, got := range o.ask(t, all) {
				_, disagrees := table[[2]string{o.name, all[i].name}]
				if got.refused == "" {
					accepted[all[i].name]++
				}
				if got.refused == "" && !disagrees {
					t.Errorf("byte %d: %+v", i*41, got)
				}
			}
			if _, disagrees := table[[2]string{o.name, flippedRoot}]; disagrees && accepted[flippedRoot] == 0 {
				t.Error("refuses every flipped bit; the table in README.md says that it does not")
			}
		})
	}
}
