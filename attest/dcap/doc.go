// Package dcap verifies evidence of Intel SGX and TDX: DCAP quotes of the versions 3, 4 and 5,
// against the collateral that Intel signs. It needs neither Intel's libraries nor
// SGX hardware, nothing but the standard library, and it fetches nothing.
//
// It owns the question whether a quote is genuine, and answers with facts ([tee.Report]), also
// of a platform that is out of date or revoked. What to accept is the question of
// a policy (package attest): a report without an error is not yet a reason to trust.
//
// # What is checked, and in which order
//
// [Verifier.Verify] takes these steps, after Intel's "SGX ECDSA Quote Library API" and "TDX DCAP Quoting
// Library API" (quotes), "SGX PCK Certificate and CRL Profile Specification", "PCS API" v4 and v3
// (TCB info, QE identity), and the steps 4.1.2.4 of the quote verification library that Intel publishes (judgement):
//
//  1. The quote's layout: every length, no byte left over ([ParseQuote]).
//  2. The PCK certificate chain, up to the pinned root: compared by its bytes or key, never by its name.
//  3. The signatures within the quote: the PCK signs the quoting enclave's report, which names the
//     attestation key, which signs the header and the enclave or trust domain.
//  4. The collateral ([Collateral]): the root's CRL and the PCK CA's, which are required; the signer of TCB
//     info and QE identity, not revoked; their signatures, over the bytes as they came.
//  5. That everything used is valid at the instant, both ends of each window included.
//  6. That the PCK certificate is not revoked.
//  7. That TCB info is about the platform (TEE, FMSPC, PCEID) and QE identity about the quoting enclave (masked
//     MISCSELECT and attributes, MRSIGNER, ISVPRODID).
//  8. The TCB level: the first whose 16 SGX components and PCESVN, both of the PCK certificate, and for TDX 16
//     components of TEE_TCB_SVN are all reached. With TEE_TCB_SVN[1], the major version of the TDX module, above 0, the
//     components 0 and 1 are judged by the module's own identity, "TDX_01" and so on, with MRSIGNERSEAM and SEAM
//     attributes and levels of its own; otherwise the module is that of tdxModule. Then the quoting enclave's level.
//
// The statuses of platform, module and quoting enclave converge as in Intel's table: what is wrong with
// one is wrong with the whole, and Revoked wins. A platform, module or quoting enclave that
// reaches no level, and a module that TCB info does not know, are refused, since nothing can be said of them.
//
// # What is not checked
//
// Whether the enclave or trust domain is yours, or in debug mode, or its platform good enough; what its
// report data binds; whether the quote is fresh; and whether newer collateral exists within the window of
// the one at hand ([tee.TCB].EvaluationNumber tells which it was). PCK certificates that are not in the quote
// (certification data of other types than 5) are refused with an error that says what came instead.
//
// # Collateral
//
// Collateral is everything that Intel signs about a platform: [Quote.Platform] tells what to ask for, package
// dcap/pcs fetches it from Intel or a PCCS and keeps it, and [ParseCollateral] reads it from a file of dcap-qvl's
// interchange form. It vouches for itself, so it may come from anybody: a verifier uses the collateral that comes with the evidence,
// and if there is none or it is refused, asks its [Source]. [Verifier.Inspect] verifies collateral without a quote.
//
// # Facts
//
// The keys of [tee.Report].Measurements, in bytes as the hardware reports them:
//
//	SGX   mrenclave, mrsigner (32 each), attributes, cpusvn, isvextprodid, isvfamilyid (16), miscselect (4), configid (64), configsvn (2, little-endian)
//	TDX   mrtd, rtmr0 … rtmr3, mrconfigid, mrowner, mrownerconfig, mrseam, mrsignerseam (48 each), td_attributes, xfam, seam_attributes (8), tee_tcb_svn (16)
//	TDX 1.5, beside those   tee_tcb_svn2 (16), mrservicetd (48)
//
// Report.Debug is bit 1 of an enclave's attributes, any of the bits 0 to 7 of a trust domain's: Intel trusts none that has one of them. Report.TCB tells the statuses, the date of each level
// (of all that Intel had published by then, nothing is missing), what falls short of the newest levels, by the name that Intel gives it, and in
// words what would mend it; Report.Basis everything that it rests on, and when that is valid. A
// trust domain of TDX 1.5 is judged by the module that launched it; if that which runs now is up to date, the status
// stays OutOfDate and a remedy says that a new launch is enough (Intel's library has the status TD_RELAUNCH_ADVISED for it).
//
// # Errors
//
// Every error names the document and the field. [ErrUntrustedRoot] is wrapped by that of a chain with another root,
// [ErrNoCollateral] where there is no collateral, [tee.ErrUnavailable] where the source failed, so that nothing is said against the evidence.
package dcap
