package dcap_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// genuine is evidence of Intel's hardware, and what is known of it.
type genuine struct {
	quote, collateral string
	at                time.Time
	debug             bool
	want              attest.TCB
}

// vectors returns what the shared vectors hold for SGX; without them the test is skipped.
func vectors(t *testing.T) ([]genuine, []evidence) {
	june, august := time.Date(2025, 6, 20, 0, 0, 0, 0, time.UTC), time.Date(2025, 8, 20, 0, 0, 0, 0, time.UTC)
	list := []genuine{
		{"dcap/sgx_v3_processor_ca.quote", "dcap/sgx_v3_processor_ca.collateral.json", june, false, attest.TCB{
			Status: attest.ConfigurationAndSWHardeningNeeded, QE: attest.UpToDate,
			Advisories: []string{"INTEL-SA-00289", "INTEL-SA-00615"},
		}},
		{"dcap/sgx_v3_platform_ca.quote", "dcap/fmspc_00606a000000.2025-08.collateral.json", august, false, attest.TCB{
			Status: attest.SWHardeningNeeded, QE: attest.UpToDate,
			Advisories: []string{"INTEL-SA-00615"},
		}},
		{"original/quote.bin", "dcap/fmspc_00606a000000.2025-08.collateral.json", august, true, attest.TCB{
			Status: attest.OutOfDateConfigurationNeeded, QE: attest.UpToDate,
			Advisories: []string{"INTEL-SA-00615", "INTEL-SA-00657", "INTEL-SA-00767", "INTEL-SA-00828", "INTEL-SA-00837", "INTEL-SA-00960"},
		}},
	}
	var all []evidence
	for _, g := range list {
		c, err := dcap.ParseCollateral(vector(t, g.collateral))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, evidence{name: g.quote, quote: vector(t, g.quote), collateral: c, at: g.at, debug: g.debug})
	}
	return list, all
}

func vector(t *testing.T, name string) []byte {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "vectors", name)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("needs the shared vectors: %s is absent", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestGenuine asks every implementation about Intel's hardware.
func TestGenuine(t *testing.T) {
	list, all := vectors(t)
	table := readExplained(t)
	for _, o := range oracles {
		t.Run(o.name, func(t *testing.T) {
			for i, got := range o.ask(t, all) {
				says, disagrees := table[[2]string{o.name, all[i].name}]
				if got.agrees(true, list[i].want) == disagrees || disagrees && got.String() != says {
					t.Errorf("%s: %s (%+v), want %+v; explained: %q", all[i].name, got, got, list[i].want, says)
				}
			}
		})
	}
}

// TestGenuineIsNotSimulated: under a development root nothing of Intel's passes.
func TestGenuineIsNotSimulated(t *testing.T) {
	_, all := vectors(t)
	root := simulate(t, upToDate).root
	for i := range all {
		all[i].root = root
	}
	for _, o := range oracles {
		t.Run(o.name, func(t *testing.T) {
			for i, got := range o.ask(t, all) {
				if got.refused == "" {
					t.Errorf("%s: accepted under a development root: %+v", all[i].name, got)
				}
			}
		})
	}
}
