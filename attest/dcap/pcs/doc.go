// Package pcs is where the collateral of Intel SGX and TDX comes from: Intel's
// Provisioning Certification Service (PCS API v4) and the caching services
// that speak like it (PCCS, API v3 and v4). It needs the standard library alone.
//
// # In a program
//
// [Open] makes a [Client] of what an operator writes: "intel", "qcnl", a base
// URL, or the path of a qcnl.conf, the configuration that Intel's own libraries
// read. [NewCache] puts a [Cache] before it, and that is the source of a verifier:
//
//	client, warnings, err := pcs.Open("intel", pcs.Options{})
//	…
//	cache, err := pcs.NewCache(pcs.CacheConfig{Source: client, Dir: "/var/cache/ctb"})
//	…
//	verifier := &dcap.Verifier{Collateral: cache}
//
// A Client alone is for tools that fetch once: it asks each time and verifies nothing.
//
// # What is believed
//
// Nothing of where collateral comes from, which is why TLS, a PCCS and the disk need not be
// trusted: Intel signs every byte that is used, and [dcap.Verifier.Inspect] verifies it all, for an
// answer as for a file that is read back. Signed objects are cut out of answers byte for
// byte. A service can still do three things, and each is bounded:
//
//   - withhold: then what is at hand stays in use until its nextUpdate, never beyond, and [Cache.Err] says what is wrong;
//   - replay: an answer that is older in any document (evaluation number, or date of issue) than
//     what the cache has returned before is refused, while the cache lives, or its file is valid;
//   - see which platforms are asked about.
//
// # When it asks
//
// Collateral is asked for anew 24 hours after it was had, since Intel reissues its documents
// daily and may publish a TCB recovery on any day, and no later than in the middle of what was
// left of its window. This is done at its first use from then on, in the background: who finds valid collateral never
// waits. One question about a platform is under way at a time, whoever asks. After a
// failure the source is left alone for 1 s, 2 s, 4 s … up to a minute, or up to 15 minutes
// while there is something valid to use, half of it by chance, and for as
// long as it asks to be (Retry-After), up to an hour. [Cache.Refresh] is for programs that verify so rarely that
// they would find their collateral expired.
//
// # On disk
//
// The directory of a cache has a QuoteCollateralV3 file for each platform, such as
// sgx-00606a000000-platform.json, as [dcap.Collateral.Marshal] writes it and dcap-qvl reads
// it. Files are replaced whole. Programs may share a directory, and one that has no network may get its files by other means: a
// cache looks for a newer file before it asks its source. Before the update channel is changed from
// "early" to "standard" the directory must be emptied, for a judgement is not taken back.
//
// # What it does not do
//
// It gets no PCK certificates (quotes bring theirs), registers no platform, and decides nothing
// about one: what a status is worth is the question of a policy.
package pcs
