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

import (
	"context"
	"errors"
	"time"
)

// Evidence is what a trusted execution environment says of itself, signed by its hardware.
type Evidence struct {
	Platform   string // the [Verifier] that reads it: "dcap" for Intel SGX and TDX
	Quote      []byte // as the hardware made it
	Collateral []byte // what is needed to verify the quote and came along with it (signed by the hardware's maker), nil if nothing did
}

// A Quoter makes evidence. It is what a broker needs of the environment it runs in.
type Quoter interface {
	// Quote returns evidence that carries data as its report data.
	Quote(ctx context.Context, data [64]byte) (*Evidence, error)
}

// A Verifier tells whether evidence of one platform is genuine. It returns
// facts even of a platform that nobody should accept; what to accept is the
// question of a [Policy].
type Verifier interface {
	// Platform names the evidence that it reads, as in [Evidence].
	Platform() string
	// Verify checks every signature, chain and revocation list at the given
	// instant. An error means that the evidence is not genuine, or that it
	// can't be told.
	Verify(ctx context.Context, e *Evidence, at time.Time) (*Report, error)
}

// ErrUnavailable is wrapped by the error of a [Verifier] that can't tell at the moment, since what
// it needs beside the evidence can't be had. A key that was trusted stays so meanwhile,
// as long as the collateral that it was judged by is valid.
var ErrUnavailable = errors.New("can't be told now")

// Report holds the facts of genuine evidence.
type Report struct {
	TEE       string   // "sgx" or "tdx"
	Data      [64]byte // the report data
	Debug     bool     // the environment can be read by its host
	Simulated bool     // it was made under a development root, not by hardware

	// Measurements by their policy keys, in lower case: "mrenclave", "mrsigner" (32 bytes each),
	// "mrtd", "rtmr0" … (48 bytes), "attributes" and others that a platform has.
	Measurements map[string][]byte
	ISVProdID    uint16 // SGX: product number that the signer gave
	ISVSVN       uint16 // SGX: security version number that the signer gave

	FMSPC string // the platform's family, 6 bytes in lower-case hex (Intel)
	PCKCA string // which of Intel's CAs certified the platform: "processor" or "platform"
	TCB   TCB
	// Collateral is the window in which the collateral that was used is valid.
	Collateral Window
}

// Window is a span of time, both ends included.
type Window struct{ NotBefore, NotAfter time.Time }

// TCB tells how up to date a platform is.
type TCB struct {
	Status           Status   // converged over the parts below
	Platform         Status   // the level that the platform reached
	Module           Status   // the TDX module, empty where there is none
	QE               Status   // the quoting enclave
	Advisories       []string // of all parts, sorted, each once
	EvaluationNumber uint32   // tcbEvaluationDataNumber: which revision of the maker's judgement was used
	Shortfalls       []Shortfall
}

// Shortfall is one component that is below the newest level.
type Shortfall struct {
	Component  string // such as "sgxtcbcomponents[6]" or "pcesvn"
	Have, Want uint16
}

// Status is a TCB status, named as Intel's TCB info names it.
type Status string

// The TCB statuses of Intel's PCS API v4.
const (
	UpToDate                          Status = "UpToDate"
	SWHardeningNeeded                 Status = "SWHardeningNeeded"
	ConfigurationNeeded               Status = "ConfigurationNeeded"
	ConfigurationAndSWHardeningNeeded Status = "ConfigurationAndSWHardeningNeeded"
	OutOfDate                         Status = "OutOfDate"
	OutOfDateConfigurationNeeded      Status = "OutOfDateConfigurationNeeded"
	Revoked                           Status = "Revoked"
)
