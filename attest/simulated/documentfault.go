package simulated

import (
	"strings"

	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// Faults of TCB info and QE identity.
const (
	TCBInfoExpired        Fault = "tcb-info-expired"          // nextUpdate has passed
	TCBInfoNotYetValid    Fault = "tcb-info-not-yet-valid"    // issueDate is to come
	TCBInfoForged         Fault = "tcb-info-forged"           // not signed by the TCB signer
	TCBInfoAltered        Fault = "tcb-info-altered"          // a byte changed after signing
	TCBInfoOfOtherFMSPC   Fault = "tcb-info-of-other-fmspc"   // for another family of platforms
	TCBInfoOfOtherPCEID   Fault = "tcb-info-of-other-pceid"   // for another provisioning enclave
	TCBInfoOfTDX          Fault = "tcb-info-of-tdx"           // SGX: judges TDX
	TCBInfoOfSGX          Fault = "tcb-info-of-sgx"           // TDX: judges SGX
	TCBInfoOfVersion4     Fault = "tcb-info-of-version-4"     // which nobody knows how to read
	TCBInfoOfOtherType    Fault = "tcb-info-of-other-type"    // compares security versions in a way that nobody knows (tcbType)
	NoLevelReached        Fault = "no-level-reached"          // the platform is below every TCB level
	QEIdentityExpired     Fault = "qe-identity-expired"       // nextUpdate has passed
	QEIdentityNotYetValid Fault = "qe-identity-not-yet-valid" // issueDate is to come
	QEIdentityForged      Fault = "qe-identity-forged"        // not signed by the TCB signer
	QEIdentityAltered     Fault = "qe-identity-altered"       // a byte changed after signing
	QEIdentityOfTDX       Fault = "qe-identity-of-tdx"        // SGX: of the quoting enclave for TDX
	QEIdentityOfSGX       Fault = "qe-identity-of-sgx"        // TDX: of the quoting enclave for SGX
	NoQELevelReached      Fault = "no-qe-level-reached"       // the quoting enclave is below every level
)

var judgementFaults = []spoil{
	{TCBInfoExpired, func(p *plan) { p.tcbInfo.IssueDate, p.tcbInfo.NextUpdate = expired(p.now).dates() }},
	{TCBInfoNotYetValid, func(p *plan) { p.tcbInfo.IssueDate, p.tcbInfo.NextUpdate = notYetValid(p.now).dates() }},
	{TCBInfoForged, func(p *plan) { p.tcbInfoBy = strangerKey }},
	{TCBInfoAltered, func(p *plan) {
		p.tamper = func(c *dcap.Collateral) {
			c.TCBInfo = strings.Replace(c.TCBInfo, `svn":16`, `svn":15`, 1)
		}
	}},
	{TCBInfoOfOtherFMSPC, func(p *plan) { p.tcbInfo.FMSPC = "F0C7B0DE0001" }},
	{TCBInfoOfOtherPCEID, func(p *plan) { p.tcbInfo.PCEID = "0001" }},
	{TCBInfoOfVersion4, func(p *plan) { p.tcbInfo.Version = 4 }},
	{TCBInfoOfOtherType, func(p *plan) { p.tcbInfo.TCBType = 1 }},
	{NoLevelReached, func(p *plan) { p.setSVN(svn{3, 0, 5, 1}) }},
	{QEIdentityExpired, func(p *plan) { p.qeIdentity.IssueDate, p.qeIdentity.NextUpdate = expired(p.now).dates() }},
	{QEIdentityNotYetValid, func(p *plan) { p.qeIdentity.IssueDate, p.qeIdentity.NextUpdate = notYetValid(p.now).dates() }},
	{QEIdentityForged, func(p *plan) { p.qeIdentityBy = strangerKey }},
	{QEIdentityAltered, func(p *plan) {
		p.tamper = func(c *dcap.Collateral) {
			c.QEIdentity = strings.Replace(c.QEIdentity, `"isvsvn":8`, `"isvsvn":7`, 1)
		}
	}},
	{NoQELevelReached, func(p *plan) { p.setQESVN(1) }},
}

// sgxFaults are those that the evidence of SGX alone can have.
var sgxFaults = []spoil{
	{TCBInfoOfTDX, func(p *plan) { p.tcbInfo.ID = "TDX" }},
	{QEIdentityOfTDX, func(p *plan) { p.qeIdentity.ID = "TD_QE" }},
}
