package simulated

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
	PCKCAExpired         Fault = "pck-ca-expired"           // the notAfter of the PCK CA's certificate has passed
	PCKCANotYetValid     Fault = "pck-ca-not-yet-valid"     // its notBefore is to come
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
	{PCKCAExpired, func(p *plan) { p.caLife = expired(p.now) }},
	{PCKCANotYetValid, func(p *plan) { p.caLife = notYetValid(p.now) }},
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
