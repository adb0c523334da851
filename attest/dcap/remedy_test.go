package dcap

import (
	"slices"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// TestRemedies: what helps follows from what is short and what the level's status says.
func TestRemedies(t *testing.T) {
	short := func(part, component, name string) tee.Shortfall {
		return tee.Shortfall{Part: part, Component: component, Name: name, Have: 1, Want: 2}
	}
	platform := func(status tee.Status, shorts ...tee.Shortfall) part {
		return part{name: tee.PartPlatform, reached: verdict{status: status}, newest: verdict{status: tee.UpToDate}, short: shorts}
	}
	for _, test := range []struct {
		name  string
		parts []part
		want  []string
	}{
		{"nothing is short", []part{platform(tee.UpToDate)}, nil},
		{"BIOS first", []part{platform(tee.OutOfDate, short("platform", "pcesvn", ""), short("platform", "sgxtcbcomponents[3]", "BIOS"))},
			[]string{remedyBIOS + ": sgxtcbcomponents[3] (BIOS) is 1, want 2", remedyPCE + ": pcesvn is 1, want 2", remedyPCK}},
		{"loaders", []part{platform(tee.OutOfDate, short("platform", "sgxtcbcomponents[7]", "OS/VMM, SEAMLDR ACM"), short("platform", "sgxtcbcomponents[2]", "OS/VMM, TXT SINIT"))},
			[]string{remedySINIT + ": sgxtcbcomponents[2] (OS/VMM, TXT SINIT) is 1, want 2", remedySEAMLDR + ": sgxtcbcomponents[7] (OS/VMM, SEAMLDR ACM) is 1, want 2", remedyPCK}},
		{"a component of TDX needs no new certificate", []part{platform(tee.OutOfDate, short("platform", "tdxtcbcomponents[0]", "OS/VMM, TDX Module"), short("platform", "tdxtcbcomponents[4]", ""))},
			[]string{remedyMicrocode + ": tdxtcbcomponents[4] is 1, want 2", remedyModule + ": tdxtcbcomponents[0] (OS/VMM, TDX Module) is 1, want 2"}},
		{"microcode without a name", []part{platform(tee.OutOfDateConfigurationNeeded, short("platform", "sgxtcbcomponents[0]", ""), short("platform", "sgxtcbcomponents[6]", ""))},
			[]string{remedyMicrocode + ": sgxtcbcomponents[0] is 1, want 2", remedyBIOSSetup + ": sgxtcbcomponents[6] is 1, want 2", remedyPCK}},
		{"the newest level asks for configuration", []part{{name: tee.PartPlatform, reached: verdict{status: tee.ConfigurationNeeded, advisories: []string{"INTEL-SA-2", "INTEL-SA-1"}}}},
			[]string{"platform: " + remedyBIOSSetup + ", see INTEL-SA-1, INTEL-SA-2"}},
		{"the newest level is out of date", []part{{name: tee.PartQE, reached: verdict{status: tee.OutOfDate}}}, []string{"quoting enclave: wait for Intel: its newest level is OutOfDate itself"}},
		{"the newest level is revoked", []part{{name: tee.PartModule, reached: verdict{status: tee.Revoked}}}, []string{"TDX module: wait for Intel: its newest level is Revoked itself"}},
		{"each part its own", []part{platform(tee.UpToDate), {name: tee.PartModule, reached: verdict{status: tee.OutOfDate, advisories: []string{"INTEL-SA-7"}}, short: []tee.Shortfall{short("module", "module.isvsvn", "")}}, {name: tee.PartQE, reached: verdict{status: tee.OutOfDate}, short: []tee.Shortfall{short("qe", "qe.isvsvn", "")}}},
			[]string{remedyModule + ": module.isvsvn is 1, want 2", remedyQE + ": qe.isvsvn is 1, want 2", "TDX module: at the newest level it is no longer concerned by INTEL-SA-7"}},
	} {
		if got := remedies(test.parts, false); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q\nwant %q", test.name, got, test.want)
		}
	}
}
