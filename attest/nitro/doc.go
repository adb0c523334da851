// Package nitro verifies evidence of AWS Nitro Enclaves: attestation documents,
// which the Nitro security module signs (COSE_Sign1 over CBOR) and which carry every
// certificate up to AWS's root, so that nothing needs to be fetched.
//
// It owns the question whether a document is genuine, and answers with facts ([tee.Report]), also of an
// enclave in debug mode. What to accept is the question of a policy (package attest): a report without
// an error is not yet a reason to trust.
//
// # What is checked, and in which order
//
// [Verifier.Verify] takes these steps, after "Nitro Enclaves Attestation Process" (section numbers are of that document, in
// aws/aws-nitro-enclaves-nsm-api) and RFC 9052:
//
//  1. The form ([ParseDocument]): COSE_Sign1, with or without its tag, in the one encoding that RFC 8949 section 4.2.1 calls
//     deterministic; the protected header is the algorithm ES384 and nothing else, the unprotected one is empty. In the document each member of section
//     3.2.2 is of its type and size, none is there twice, none is unknown, and every register has the 48 bytes of SHA-384.
//  2. The chain: the first certificate of the bundle is the pinned root, compared by its bytes and never by its name;
//     each other one names the one before it as its issuer, and no name is there twice, so that there is one path. Keys on P-384 and signatures of
//     ECDSA with SHA-384 alone; all but the leaf are CAs that may sign certificates, with no more below them than
//     they allow; the leaf is none, and may sign data.
//  3. That every certificate is valid at the instant, both ends of its life included, and the leaf when the document was made.
//  4. The signatures, by github.com/hf/nitrite: those of the chain by crypto/x509, that of the document by the leaf's key.
//
// Package nitrite does step 4 alone. It takes for a document more than steps 1 to 3 let through: other tags and headers, the
// algorithm as a text, members twice or in another case, registers of other hashes, certificates in any order and beside the path,
// keys of other curves (of P-521 it panics), and a leaf that is a CA. And it returns a result beside its error.
//
// # What is not checked
//
// Whether the enclave is yours, or in debug mode; what its user data binds; and whether the document is fresh, beyond that its
// leaf lives three hours. Nor is any certificate looked up on a revocation list: AWS asks for that not to be done (section 3.2.4), and
// lets certificates end soon instead. Documents of partitions of AWS that have another root are refused.
//
// # Facts
//
// The keys of [tee.Report].Measurements are pcr0 to pcr31, 48 bytes each, of those registers that the document has:
//
//	pcr0   the enclave image          pcr3   the role of the instance
//	pcr1   its kernel and ramdisk     pcr4   the instance
//	pcr2   its application            pcr8   the certificate that the image was signed with
//
// Report.Debug is true if the registers 0, 1 and 2 are zero, as those of an enclave in debug mode are, whose console its host
// reads; and if there is none of them. Report.Data is the user data if that has 64 bytes, else zero.
// The TCB status is [tee.NotJudged]: AWS publishes no judgement of its hosts.
package nitro
