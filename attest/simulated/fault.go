package simulated

import (
	"fmt"
	"strings"

	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// A Fault is one thing that is wrong with the evidence of a platform. Evidence
// with any of them is not genuine: a verifier must refuse it at Config.Now.
type Fault string

// Faults of certificates and revocation lists.
const (
	LookalikeRoot        Fault = "lookalike-root"           // all chains end in another root with the same name
	PCKRevoked           Fault = "pck-revoked"              // on the PCK CA's revocation list
	PCKCARevoked         Fault = "pck-ca-revoked"           // on the root's revocation list
	TCBSignerRevoked     Fault = "tcb-signer-revoked"       // the signer of both documents is on the root's revocation list
	PCKExpired           Fault = "pck-expired"              // the PCK certificate's notAfter has passed
	PCKNotYetValid       Fault = "pck-not-yet-valid"        // the PCK certificate's notBefore is to come
	TCBSignerExpired     Fault = "tcb-signer-expired"       // the TCB signing certificate's notAfter has passed
	TCBSignerNotYetValid Fault = "tcb-signer-not-yet-valid" // the TCB signing certificate's notBefore is to come
	PCKForged            Fault = "pck-forged"               // the PCK certificate is not signed by its CA
	PCKCANotCA           Fault = "pck-ca-not-ca"            // the PCK CA's certificate is no CA's
	PCKCAMisnamed        Fault = "pck-ca-misnamed"          // the root certified it, but neither as Platform nor as Processor CA
	PCKWithoutSGX        Fault = "pck-without-sgx"          // the PCK certificate lacks the SGX extension
	TCBSignerForged      Fault = "tcb-signer-forged"        // the TCB signing certificate is not signed by the root
	TCBSignerMisnamed    Fault = "tcb-signer-misnamed"      // the root certified the signer, but not for TCB signing
	QESignerRevoked      Fault = "qe-signer-revoked"        // the QE identity has a signer of its own, which is on the root's revocation list
	QESignerExpired      Fault = "qe-signer-expired"        // … whose notAfter has passed
	QESignerNotYetValid  Fault = "qe-signer-not-yet-valid"  // … whose notBefore is to come
	QESignerForged       Fault = "qe-signer-forged"         // … which is not signed by the root
	QESignerMisnamed     Fault = "qe-signer-misnamed"       // … which the root certified, but not for TCB signing
	RootCRLMissing       Fault = "root-crl-missing"         // no revocation list of the root
	RootCRLExpired       Fault = "root-crl-expired"         // nextUpdate has passed
	RootCRLNotYetValid   Fault = "root-crl-not-yet-valid"   // thisUpdate is to come
	RootCRLForged        Fault = "root-crl-forged"          // not signed by the root
	PCKCRLMissing        Fault = "pck-crl-missing"          // no revocation list of the PCK CA
	PCKCRLExpired        Fault = "pck-crl-expired"          // nextUpdate has passed
	PCKCRLNotYetValid    Fault = "pck-crl-not-yet-valid"    // thisUpdate is to come
	PCKCRLForged         Fault = "pck-crl-forged"           // not signed by the PCK CA
	PCKCRLOfOtherCA      Fault = "pck-crl-of-other-ca"      // a genuine one, but of the CA that did not certify the PCK
)

// Faults of TCB info and QE identity.
const (
	TCBInfoExpired        Fault = "tcb-info-expired"          // nextUpdate has passed
	TCBInfoNotYetValid    Fault = "tcb-info-not-yet-valid"    // issueDate is to come
	TCBInfoForged         Fault = "tcb-info-forged"           // not signed by the TCB signer
	TCBInfoAltered        Fault = "tcb-info-altered"          // a byte changed after signing
	TCBInfoOfOtherFMSPC   Fault = "tcb-info-of-other-fmspc"   // for another family of platforms
	TCBInfoOfOtherPCEID   Fault = "tcb-info-of-other-pceid"   // for another provisioning enclave
	TCBInfoOfTDX          Fault = "tcb-info-of-tdx"           // judges TDX, not SGX
	NoLevelReached        Fault = "no-level-reached"          // the platform is below every TCB level
	QEIdentityExpired     Fault = "qe-identity-expired"       // nextUpdate has passed
	QEIdentityNotYetValid Fault = "qe-identity-not-yet-valid" // issueDate is to come
	QEIdentityForged      Fault = "qe-identity-forged"        // not signed by the TCB signer
	QEIdentityAltered     Fault = "qe-identity-altered"       // a byte changed after signing
	QEIdentityOfTDX       Fault = "qe-identity-of-tdx"        // of the quoting enclave for TDX
	NoQELevelReached      Fault = "no-qe-level-reached"       // the quoting enclave is below every level
)

// Faults of the quoting enclave and of the quote.
const (
	QEReportForged     Fault = "qe-report-forged"       // not signed with the PCK
	QEReportOfOtherKey Fault = "qe-report-of-other-key" // vouches for another attestation key
	QEReportDataTail   Fault = "qe-report-data-tail"    // the last 32 bytes of its report data are not zero
	QEOtherMRSIGNER    Fault = "qe-other-mrsigner"      // not the MRSIGNER of the QE identity
	QEOtherISVProdID   Fault = "qe-other-isvprodid"     // not its ISVPRODID
	QEOtherMiscselect  Fault = "qe-other-miscselect"    // not its MISCSELECT
	QEDebug            Fault = "qe-debug"               // a quoting enclave in debug mode
	QuoteForged        Fault = "quote-forged"           // not signed with the attestation key
	QuoteAltered       Fault = "quote-altered"          // the report data changed after signing
	QuoteHeaderAltered Fault = "quote-header-altered"   // the header changed after signing
	QuoteOtherVendor   Fault = "quote-other-vendor"     // made by a quoting enclave of another vendor
	QuoteOtherVersion  Fault = "quote-other-version"    // says that it is of version 2
	QuoteOtherKeyType  Fault = "quote-other-key-type"   // says that its key is on the curve P-384
)

// spoil says what a fault changes in a plan.
type spoil struct {
	fault Fault
	apply func(*plan)
}

// Faults returns all faults.
func Faults() []Fault {
	var all []Fault
	for _, group := range [][]spoil{certificateFaults, judgementFaults, quoteFaults} {
		for _, s := range group {
			all = append(all, s.fault)
		}
	}
	return all
}

func (f Fault) apply(p *plan) error {
	if f == "" {
		return nil
	}
	for _, group := range [][]spoil{certificateFaults, judgementFaults, quoteFaults} {
		for _, s := range group {
			if s.fault == f {
				s.apply(p)
				return nil
			}
		}
	}
	return fmt.Errorf("fault: got %q, want one of Faults()", string(f))
}

const otherSignerName = "Intel SGX Other Signing"

var certificateFaults = []spoil{
	{LookalikeRoot, func(p *plan) { p.rootKey = strangerKey }},
	{PCKRevoked, func(p *plan) { p.revokePCK = true }},
	{PCKCARevoked, func(p *plan) { p.revokeCA = true }},
	{TCBSignerRevoked, func(p *plan) { p.signer.revoke, p.qeSigner.revoke = true, true }},
	{PCKExpired, func(p *plan) { p.pckLife = expired(p.now) }},
	{PCKNotYetValid, func(p *plan) { p.pckLife = notYetValid(p.now) }},
	{TCBSignerExpired, func(p *plan) { p.signer.life, p.qeSigner.life = expired(p.now), expired(p.now) }},
	{TCBSignerNotYetValid, func(p *plan) { p.signer.life, p.qeSigner.life = notYetValid(p.now), notYetValid(p.now) }},
	{PCKForged, func(p *plan) { p.pckBy = strangerKey }},
	{PCKCANotCA, func(p *plan) { p.caIsCA = false }},
	{PCKCAMisnamed, func(p *plan) { p.caName = "Intel SGX PCK Other CA" }},
	{PCKWithoutSGX, func(p *plan) { p.pckBare = true }},
	{TCBSignerForged, func(p *plan) { p.signer.by, p.qeSigner.by = strangerKey, strangerKey }},
	{TCBSignerMisnamed, func(p *plan) { p.signer.name, p.qeSigner.name = otherSignerName, otherSignerName }},
	{QESignerRevoked, func(p *plan) { p.ownQESigner().revoke = true }},
	{QESignerExpired, func(p *plan) { p.ownQESigner().life = expired(p.now) }},
	{QESignerNotYetValid, func(p *plan) { p.ownQESigner().life = notYetValid(p.now) }},
	{QESignerForged, func(p *plan) { p.ownQESigner().by = strangerKey }},
	{QESignerMisnamed, func(p *plan) { p.ownQESigner().name = otherSignerName }},
	{RootCRLMissing, func(p *plan) { p.rootCRL.omit = true }},
	{RootCRLExpired, func(p *plan) { p.rootCRL.life = expired(p.now) }},
	{RootCRLNotYetValid, func(p *plan) { p.rootCRL.life = notYetValid(p.now) }},
	{RootCRLForged, func(p *plan) { p.rootCRL.by = strangerKey }},
	{PCKCRLMissing, func(p *plan) { p.pckCRL.omit = true }},
	{PCKCRLExpired, func(p *plan) { p.pckCRL.life = expired(p.now) }},
	{PCKCRLNotYetValid, func(p *plan) { p.pckCRL.life = notYetValid(p.now) }},
	{PCKCRLForged, func(p *plan) { p.pckCRL.by = strangerKey }},
	{PCKCRLOfOtherCA, func(p *plan) { p.pckCRLOfOther = true }},
}

var judgementFaults = []spoil{
	{TCBInfoExpired, func(p *plan) { p.tcbInfo.IssueDate, p.tcbInfo.NextUpdate = expired(p.now).dates() }},
	{TCBInfoNotYetValid, func(p *plan) { p.tcbInfo.IssueDate, p.tcbInfo.NextUpdate = notYetValid(p.now).dates() }},
	{TCBInfoForged, func(p *plan) { p.tcbInfoBy = strangerKey }},
	{TCBInfoAltered, func(p *plan) {
		p.tamper = func(c *dcap.Collateral) {
			c.TCBInfo = strings.Replace(c.TCBInfo, `"svn":16`, `"svn":15`, 1)
		}
	}},
	{TCBInfoOfOtherFMSPC, func(p *plan) { p.tcbInfo.FMSPC = "F0C7B0DE0001" }},
	{TCBInfoOfOtherPCEID, func(p *plan) { p.tcbInfo.PCEID = "0001" }},
	{TCBInfoOfTDX, func(p *plan) { p.tcbInfo.ID = "TDX" }},
	{NoLevelReached, func(p *plan) { p.setSVN(svn{3, 0, 5}) }},
	{QEIdentityExpired, func(p *plan) { p.qeIdentity.IssueDate, p.qeIdentity.NextUpdate = expired(p.now).dates() }},
	{QEIdentityNotYetValid, func(p *plan) { p.qeIdentity.IssueDate, p.qeIdentity.NextUpdate = notYetValid(p.now).dates() }},
	{QEIdentityForged, func(p *plan) { p.qeIdentityBy = strangerKey }},
	{QEIdentityAltered, func(p *plan) {
		p.tamper = func(c *dcap.Collateral) {
			c.QEIdentity = strings.Replace(c.QEIdentity, `"isvsvn":8`, `"isvsvn":7`, 1)
		}
	}},
	{QEIdentityOfTDX, func(p *plan) { p.qeIdentity.ID = "TD_QE" }},
	{NoQELevelReached, func(p *plan) { p.setQESVN(1) }},
}

var quoteFaults = []spoil{
	{QEReportForged, func(p *plan) { p.qeBy = strangerKey }},
	{QEReportOfOtherKey, func(p *plan) { p.boundKey = strangerKey }},
	{QEReportDataTail, func(p *plan) { p.qeData = func(d *[64]byte) { d[63] = 1 } }},
	{QEOtherMRSIGNER, func(p *plan) { p.qe.mrsigner[0] ^= 1 }},
	{QEOtherISVProdID, func(p *plan) { p.qe.isvProdID++ }},
	{QEOtherMiscselect, func(p *plan) { p.qe.miscselect = 1 }},
	{QEDebug, func(p *plan) { p.qe.flags |= flagDebug }},
	{QuoteForged, func(p *plan) { p.quoteBy = strangerKey }},
	{QuoteAltered, func(p *plan) { p.spoilQuote = func(q []byte) { q[headerSize+reportDataOffset] ^= 1 } }},
	{QuoteHeaderAltered, func(p *plan) { p.spoilQuote = func(q []byte) { q[28] ^= 1 } }},
	{QuoteOtherVendor, func(p *plan) { p.header.qeVendor[0] ^= 1 }},
	{QuoteOtherVersion, func(p *plan) { p.header.version = 2 }},
	{QuoteOtherKeyType, func(p *plan) { p.header.attestationKey = 3 }},
}
