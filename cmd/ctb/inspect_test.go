package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// TestInspectVariants inspects every state of a simulated platform, sound and
// spoiled, and compares the facts with what the simulation says of itself.
func TestInspectVariants(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	seed := make([]byte, 32)
	sound, err := simulated.New(simulated.Config{Seed: seed, Now: simulatedAt})
	if err != nil {
		t.Fatal(err)
	}
	root := file("root.pem", sound.RootPEM())
	for _, v := range simulated.Variants() {
		v.Config.Seed, v.Config.Now = seed, simulatedAt
		p, err := simulated.New(v.Config)
		if err != nil {
			t.Fatal(err)
		}
		e, err := p.Quote(t.Context(), [64]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		code, out := runHere(t, "", "inspect", file("quote", e.Quote), "--collateral", file("collateral.json", e.Collateral),
			"--root", root, "--at", simulatedAt.Format(time.RFC3339), "--json")
		if !v.Genuine {
			if code == exitOK || strings.Contains(out, `"genuine": true`) {
				t.Errorf("%s: got exit code %d, want a refusal: %s", v.Name, code, out)
			}
			continue
		}
		var x finding
		if err := json.Unmarshal([]byte(out), &x); err != nil || code != exitOK || !x.Genuine {
			t.Errorf("%s: got exit code %d and the error %v, want genuine: %s", v.Name, code, err, out)
			continue
		}
		if x.TCB.Status != v.TCB.Status || x.TCB.Platform != v.TCB.Platform || x.TCB.QE != v.TCB.QE || x.TCB.Module != v.TCB.Module ||
			!slices.Equal(x.TCB.Advisories, v.TCB.Advisories) || *x.Debug != v.Debug || x.PCKCA != v.PCKCA || !*x.Simulated {
			t.Errorf("%s: got %s\nwant %+v", v.Name, out, v)
		}
	}
}

// TestFactsNeedGenuineEvidence: whoever reads a member of the JSON output, and forgets
// to look at "genuine", finds none.
func TestFactsNeedGenuineEvidence(t *testing.T) {
	code, out := runHere(t, "", "inspect", "testdata/original/quote.bin", "--json")
	var members map[string]any
	if err := json.Unmarshal([]byte(out), &members); err != nil || code != exitNo {
		t.Fatalf("got exit code %d and the error %v: %s", code, err, out)
	}
	for name := range members {
		if !slices.Contains([]string{"genuine", "accepted", "reasons", "policy", "at", "unavailable", "unverified"}, name) {
			t.Errorf("got the fact %q of evidence that is not genuine", name)
		}
	}
}
