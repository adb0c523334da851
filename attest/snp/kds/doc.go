// Package kds is where the collateral of AMD SEV-SNP evidence comes from: the certificate of the
// key that signed a report, that of its CA, AMD's root, and the root's revocation list, from AMD's Key
// Distribution Service (AMD publication 57230) or from what the host brings along. It links the standard library alone, so that a broker can
// staple collateral without linking a verifier.
//
// # In a program
//
// [Open] makes a [Client] of what an operator writes, "amd" or a base URL, and [NewCache] puts a [Cache] before it: that is the source of a
// verifier. [FromTable] reads the certificates that a host gives its guests along with a report, [Staple] completes them. [ParsePlatform] says of a
// report what to ask for.
//
// # What is believed
//
// Nothing of where collateral comes from, which is why the service, the host and the disk need not be trusted: AMD signs every byte that is used, and
// [Collateral.Verify] verifies it up to a root that is pinned by the SHA-256 of its bytes. A service can still do three things, and each is bounded:
//
//   - withhold: then what is at hand stays in use until the revocation list's end, never beyond, and [Cache.Err] says what is wrong;
//   - replay: a revocation list that is older than the one before is refused, while the cache lives, or its file is valid;
//   - see which chips are asked about.
//
// A revocation list has the issuer of what it revokes, the root, and none of AMD's lists is limited to some of its certificates (RFC 5280 §5.2.5), so the one of VCEKs speaks for the CA of VLEKs too; the
// service is asked for each by its own name nevertheless.
//
// # When it asks
//
// A cache asks anew 24 hours after collateral was had, and no later than in the middle of what is left of its window, in the background: who finds
// valid collateral never waits. One question about a platform is under way at a time. After a failure the source is left alone for 1 s, 2 s, 4 s … up to a
// minute, or up to 15 minutes while there is something valid to use. A service that was asked too often (429) is left alone by all askers
// of a client, for as long as it says, up to five minutes, for AMD's answers the same question once in some seconds. What all chips of a product share, a client asks for
// once in ten minutes.
//
// # What it does not do
//
// It gets no certificate of a VLEK, which AMD gives to clouds alone, and none of a chip whose host hides its id: these come with the report. And it decides
// nothing about a platform: what a TCB is worth is the question of a policy.
package kds
