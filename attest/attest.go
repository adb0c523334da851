// Package attest answers two questions about a key, and keeps them apart: is
// it genuine (does the hardware vouch for it), and is it ours (does it live in
// a build that we accept, under rules that we accept)?
//
// A resource server that accepts the tokens of an attested broker needs a
// [Policy] and a [KeySet]; the example of the package is such a server, whole. A program
// that runs in a trusted execution environment makes its keys vouch for
// themselves with [Certify]. Who calls either over the network trusts the
// other end by [TLSConfig]. [Appraise], [Appraisals] and [DefaultRefusals] are for
// looking closely.
//
// The package owns the form of attested certificates, what evidence binds to a
// key, and reference values. It does not read quotes: that is for a [Verifier]
// of each platform, such as package dcap, which says what is genuine and
// nothing about what is acceptable. It does not verify tokens either: that is package ctb.
//
// What is not configurable: a policy names at least one build; debug builds,
// published sample signing keys and simulated hardware are refused unless it
// says otherwise, and revoked platforms always; the report data is compared
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
// as long as the collateral that it was judged by is valid.
var ErrUnavailable = tee.ErrUnavailable

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
