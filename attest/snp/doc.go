// Package snp verifies evidence of AMD SEV-SNP: attestation reports of the versions 2, 3 and 5, of Milan, Genoa (also Bergamo and Siena) and
// Turin, against the certificates that AMD signs. It fetches nothing but through package kds.
//
// It owns the question whether a report is genuine, and answers with facts ([tee.Report]), also of a guest in debug mode or a platform
// that is out of date. What to accept is the question of a policy (package attest): a report without an error is not yet a reason to trust.
//
// # What is checked, and in which order
//
// [Verifier.Verify] takes these steps, after AMD's publications 56860 ("SEV Secure Nested Paging Firmware ABI Specification") and 57230 ("Versioned Chip
// Endorsement Key (VCEK) Certificate and KDS Interface Specification"):
//
//  1. The report's layout: its length, version, signature algorithm, and zeros in all that is reserved ([ParseReport]). A report that the host
//     asked for, instead of a guest, is refused, and so is one that says that it is not signed.
//  2. The certificate chain up to the pinned root, AMD's own by the SHA-256 of its bytes, and the root's revocation list, if there is one ([kds.Collateral.Verify]).
//  3. That the certificate is about this report: product, kind of key, chip and the TCB that the key is derived from ([kds.Chain.About]).
//  4. That no CA is revoked, and everything used is valid at the instant.
//  5. The same chain and the report's signature by go-sev-guest, with our certificates as its only roots and without its network. It does
//     not know the VCEKs of Turin (their TCB has an extension that it refuses, and their chip id is shorter), so of those it verifies the signature alone; steps 2 to 4 are ours for all.
//
// # What is not checked
//
// Whether the guest is yours, or in debug mode, or its platform good enough; what its report data binds; and whether the report is fresh. AMD
// publishes no judgement of TCBs, so Report.TCB.Status is [tee.NotJudged]: a policy has minimums. VCEKs are not revoked one by one: AMD revokes CAs,
// and a newer TCB has another VCEK. It also certifies CAs anew, so a revoked one does not stand against a chain by another that is on no list. Without a revocation list AMD.RevocationChecked is false, and it is the policy that says whether that will do. The
// id of a chip that its host hides (all zeros) can't be compared with the certificate's: the signature says that it is a chip of AMD's, and not which.
//
// # Facts
//
// The keys of [tee.Report].Measurements: measurement, id_key_digest, author_key_digest (48 bytes each), host_data, report_id, report_id_ma (32),
// family_id, image_id (16), chip_id (64), guest_policy (8, big-endian). All others are in Report.AMD. Report.Debug is the debug bit of the guest policy.
//
// # Errors
//
// Every error names the document and the field. [kds.ErrUntrustedRoot] is wrapped by that of a chain with another root, [tee.ErrRevoked] where
// a CA is revoked, [tee.ErrUnavailable] where collateral can't be had, so that nothing is said against the evidence.
package snp
