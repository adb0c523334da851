package simulated

import "strings"

// Faults of a trust domain, of its module and of what judges it.
const (
	ModuleWithoutIdentity    Fault = "module-without-identity"        // of a major version that no identity judges
	ModuleBelowLevels        Fault = "module-below-levels"            // below every level of its identity
	ModuleOtherMRSIGNER      Fault = "module-other-mrsigner"          // signed by somebody else than Intel
	ModuleOtherAttributes    Fault = "module-other-attributes"        // SEAM attributes that no production module has
	ModuleMaskedAttributes   Fault = "module-masked-attributes"       // the same, and the mask of its identity would let them pass
	ModuleIdentityOther      Fault = "module-identity-other-mrsigner" // the identity is that of a module of another signer
	ModuleIdentitiesMissing  Fault = "module-identities-missing"      // the TCB info has none
	ModuleMissing            Fault = "module-missing"                 // the TCB info has no tdxModule
	FirstModuleOtherMRSIGNER Fault = "first-module-other-mrsigner"    // a module of the first generation, signed by somebody else
	FirstModuleBelowLevels   Fault = "first-module-below-levels"      // … below every level of the platform
	TDXComponentShort        Fault = "tdx-component-short"            // a component of TDX is below every level
	TDXComponentsMissing     Fault = "tdx-components-missing"         // the TCB info has no components of TDX
	TCBInfoOfVersion2        Fault = "tcb-info-of-version-2"          // which knows SGX alone
)

// tdxFaults are those that the evidence of TDX alone can have.
var tdxFaults = []spoil{
	{ModuleWithoutIdentity, func(p *plan) { p.td.teeTCBSVN[1] = 2 }},
	{ModuleBelowLevels, func(p *plan) { p.td.teeTCBSVN[0] = 0 }},
	{ModuleOtherMRSIGNER, func(p *plan) { p.td.mrsignerseam[47] = 1 }},
	{ModuleOtherAttributes, func(p *plan) { p.td.seamAttributes = 1 }},
	{ModuleMaskedAttributes, func(p *plan) {
		p.td.seamAttributes = 1
		for i := range p.tcbInfo.TDXModuleIdentities {
			p.tcbInfo.TDXModuleIdentities[i].AttributesMask = strings.Repeat("0", 16)
		}
	}},
	{ModuleIdentityOther, func(p *plan) {
		for i := range p.tcbInfo.TDXModuleIdentities {
			p.tcbInfo.TDXModuleIdentities[i].MRSIGNER = strings.Repeat("0", 95) + "1"
		}
	}},
	{ModuleIdentitiesMissing, func(p *plan) { p.tcbInfo.TDXModuleIdentities = nil }},
	{ModuleMissing, func(p *plan) { p.tcbInfo.TDXModule = nil }},
	{FirstModuleOtherMRSIGNER, func(p *plan) {
		p.td.teeTCBSVN[0], p.td.teeTCBSVN[1] = levels[0].module, 0
		p.td.mrsignerseam[0] = 1
	}},
	{FirstModuleBelowLevels, func(p *plan) { p.td.teeTCBSVN[0], p.td.teeTCBSVN[1] = 1, 0 }},
	{TDXComponentShort, func(p *plan) { p.td.teeTCBSVN[2] = 0 }},
	{TDXComponentsMissing, func(p *plan) {
		for i := range p.tcbInfo.TCBLevels {
			p.tcbInfo.TCBLevels[i].TCB.TDXTCBComponents = nil
		}
	}},
	{TCBInfoOfVersion2, func(p *plan) { p.tcbInfo.Version = 2 }},
	{TCBInfoOfSGX, func(p *plan) {
		p.tcbInfo.ID, p.tcbInfo.TDXModule, p.tcbInfo.TDXModuleIdentities = "SGX", nil, nil
		for i := range p.tcbInfo.TCBLevels {
			p.tcbInfo.TCBLevels[i].TCB.TDXTCBComponents = nil
		}
	}},
	{QEIdentityOfSGX, func(p *plan) { p.qeIdentity.ID = "QE" }},
}
