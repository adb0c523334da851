// Package attest answers two questions about a key, and keeps them apart: is
// it genuine (does the hardware vouch for it), and is it ours (does it live in
// a build that we accept, under rules that we accept)?
//
// A resource server that accepts the tokens of an attested broker needs a
// [Policy] and a [KeySet]; the example of the package is such a server, whole. A program
// that runs in a trusted execution environment makes its keys vouch for
// themselves with [Certify], and shows that it is there now with [NewFresh]. Who calls either over the network trusts the
// other end by [TLSConfig], also where it shows the certificate of a public authority, and asks it for fresh evidence with
// [FetchFresh] and [CheckFresh]. [Appraise], [Appraisals] and [DefaultRefusals] are for
// looking closely, and [Pin] writes a policy from evidence that was looked at.
//
// What is needed beside the evidence to judge it, its collateral, a key set and
// a TLS client take from where they find it, in this order: with the evidence;
// from the broker itself, which staples it to its keys ([Attestation]), asked for
// at most once in 30 s; from the source of the platform's [Verifier], such as a collateral
// service and then a file. It is signed by the hardware's maker and verified in full each time, so nobody
// who hands it over can make it say more than the maker said; a broker that staples nothing, or something forged, is as good
// as one that is silent. It can be older than other that is valid too, though: where the source answers as well, within
// 2 s (10 s to those that judge once, such as [ParseKeys]), the newer judgement counts (by its evaluation number; of equal ones the source's), and a certificate that either shows
// to be revoked is. A verifier without any source of its own works by the staple alone; TCBRule.EvaluationNumber bounds how old that may be.
//
// A certificate proves where its key came from, at any time; a fresh statement proves that whoever made it is there now, and has
// these keys. Neither is ever taken for the other. Evidence of some platforms lives for hours only: a key set looks for what
// was renewed long before a verdict of it ends.
//
// The package owns the form of attested certificates and of fresh statements, what evidence binds to a
// key, and reference values. It does not read quotes: that is for a [Verifier]
// of each platform, such as package dcap, which says what is genuine and
// nothing about what is acceptable. It does not verify tokens either: that is package ctb.
//
// What is not configurable: a policy names at least one build; debug builds, guests that can be
// migrated, published sample signing keys and simulated hardware are refused unless it
// says otherwise, and revoked platforms always; a status that is tolerated until a date is
// refused after it, also by verdicts of before; the report data is compared
// whole; the scheme of a binding is named, never guessed.
package attest

import "github.com/confidential-token-broker/ctb/attest/tee"

// What evidence is and which facts are in it is said by package tee, which
// the packages of the platforms need and which links nothing else.
type (
	Evidence  = tee.Evidence  // what a trusted execution environment says of itself
	Quoter    = tee.Quoter    // makes evidence
	Verifier  = tee.Verifier  // tells whether evidence of one platform is genuine
	Report    = tee.Report    // the facts of genuine evidence
	Basis     = tee.Basis     // something that a report rests on
	Window    = tee.Window    // a span of time
	TCB       = tee.TCB       // how up to date a platform is
	Level     = tee.Level     // the TCB level that one part reached
	Shortfall = tee.Shortfall // a component below the newest level
	Status    = tee.Status    // a TCB status
)

// ErrUnavailable is wrapped by the error of a [Verifier] that can't tell at the moment, since what
// it needs beside the evidence can't be had. A key that was trusted stays so meanwhile,
// as long as the collateral that it was judged by is valid, and for a day at most.
var ErrUnavailable = tee.ErrUnavailable

// ErrRevoked is wrapped by the error of a [Verifier] if a certificate that the evidence rests on is
// revoked. No other collateral lifts that.
var ErrRevoked = tee.ErrRevoked

// The TCB statuses of Intel's PCS API v4.
const (
	UpToDate                          = tee.UpToDate
	SWHardeningNeeded                 = tee.SWHardeningNeeded
	ConfigurationNeeded               = tee.ConfigurationNeeded
	ConfigurationAndSWHardeningNeeded = tee.ConfigurationAndSWHardeningNeeded
	OutOfDate                         = tee.OutOfDate
	OutOfDateConfigurationNeeded      = tee.OutOfDateConfigurationNeeded
	Revoked                           = tee.Revoked
)
