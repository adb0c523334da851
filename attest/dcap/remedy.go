package dcap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// What an owner can do, by what is short. The order is that in which they are told.
const (
	remedyRelaunch  = "launch the trust domain again: the TDX module that runs now is up to date, that which launched it is not"
	remedyBIOS      = "update the BIOS"
	remedyMicrocode = "load newer microcode, by the BIOS or the operating system"
	remedySINIT     = "update the SINIT ACM that the operating system loads"
	remedySEAMLDR   = "update the SEAM loader (SEAMLDR ACM)"
	remedyModule    = "update the TDX module, and launch the trust domain again"
	remedyPCE       = "update Intel's SGX software on the host: its provisioning certification enclave (PCE)"
	remedyQE        = "update Intel's DCAP software on the host: its quoting enclave"
	remedyBIOSSetup = "change the platform's configuration, mostly in the BIOS setup"
	remedyPCK       = "then have the platform certified anew, for its quotes carry the PCK certificate of the old level until it is fetched again (PCK ID retrieval tool, PCCS)"
)

var remedyOrder = []string{
	remedyBIOS, remedyMicrocode, remedySINIT, remedySEAMLDR, remedyModule, remedyPCE, remedyQE, remedyBIOSSetup,
}

// remedies tells what lifts the parts to their newest levels, from what is short and what the status asks for.
func remedies(parts []part, relaunch bool) (words []string) {
	short := make(map[string][]tee.Shortfall)
	recertify := false
	for _, p := range parts {
		for _, s := range p.short {
			action := remedyOf(s, p.reached.status)
			short[action] = append(short[action], s)
			recertify = recertify || s.Part == tee.PartPlatform && !strings.HasPrefix(s.Component, "tdx")
		}
	}
	if relaunch && len(short[remedyModule]) > 0 {
		words = append(words, remedyRelaunch)
		delete(short, remedyModule)
	}
	for _, action := range remedyOrder {
		if len(short[action]) > 0 {
			words = append(words, action+": "+describe(short[action]))
		}
	}
	if recertify {
		words = append(words, remedyPCK)
	}
	for _, p := range parts {
		words = append(words, p.advice()...)
	}
	return words
}

// remedyOf returns what raises a component: by the category and type that Intel gives it ("TCB Info V3"), else by what it is.
func remedyOf(s tee.Shortfall, status tee.Status) string {
	bits, _ := meaning(status)
	switch {
	case s.Part == tee.PartQE:
		return remedyQE
	case s.Part == tee.PartModule, strings.Contains(s.Name, "TDX Module"):
		return remedyModule
	case s.Component == "pcesvn":
		return remedyPCE
	case strings.Contains(s.Name, "SEAMLDR"):
		return remedySEAMLDR
	case strings.Contains(s.Name, "SINIT"):
		return remedySINIT
	case strings.HasPrefix(s.Name, "BIOS"):
		return remedyBIOS
	case strings.HasPrefix(s.Component, "tdx"):
		return remedyMicrocode
	case s.Name == "" && bits&configuration != 0 && !isMicrocode(s.Component):
		return remedyBIOSSetup
	}
	return remedyMicrocode
}

// isMicrocode tells of components without a name: the first two are the microcode, loaded early and late.
func isMicrocode(component string) bool {
	return component == "sgxtcbcomponents[0]" || component == "sgxtcbcomponents[1]"
}

// advice tells what the status of a part asks for beside updates, and which advisories explain it.
func (p *part) advice() (words []string) {
	bits, _ := meaning(p.reached.status)
	newest, _ := meaning(p.newest.status)
	cleared := without(p.reached.advisories, p.newest.advisories)
	name := partNames[p.name]
	if len(p.short) == 0 && (p.reached.status == tee.Revoked || bits&outOfDate != 0) {
		words = append(words, fmt.Sprintf("%s: wait for Intel: its newest level is %s itself", name, p.reached.status))
	}
	if len(p.short) > 0 && len(cleared) > 0 {
		words = append(words, fmt.Sprintf("%s: at the newest level it is no longer concerned by %s", name, strings.Join(cleared, ", ")))
	}
	if bits&configuration != 0 && len(p.short) == 0 {
		words = append(words, name+": "+remedyBIOSSetup+explained(p.reached.advisories))
	}
	if bits&swHardening != 0 || newest&swHardening != 0 {
		words = append(words, name+": no update mends it all: build the software that runs on it with the mitigations that Intel asks for"+explained(p.newest.advisories))
	}
	return words
}

var partNames = map[string]string{tee.PartPlatform: "platform", tee.PartModule: "TDX module", tee.PartQE: "quoting enclave"}

func explained(advisories []string) string {
	if len(advisories) == 0 {
		return ""
	}
	return ", see " + strings.Join(sorted(advisories), ", ")
}

// without returns the advisories, sorted, that the others do not have.
func without(advisories, others []string) []string {
	return slices.DeleteFunc(sorted(advisories), func(id string) bool { return slices.Contains(others, id) })
}
