// Package tee is the vocabulary of attestation that every platform shares: what
// evidence is, who makes it and who verifies it, and which facts come out.
//
// It is types and a few constants, links the standard library alone, and decides nothing: a
// package of each platform, such as dcap, says whether evidence is genuine,
// and package attest, which has these types under the same names, whether it is ours.
package tee

import (
	"context"
	"errors"
	"time"
)

// The platforms: which [Verifier] reads the evidence.
const (
	DCAP  = "dcap"  // Intel SGX and TDX
	SNP   = "snp"   // AMD SEV-SNP
	Nitro = "nitro" // AWS Nitro Enclaves
)

// The trusted execution environments, as reports and policies name them.
const (
	SGX          = "sgx"
	TDX          = "tdx"
	SEVSNP       = "sev-snp"
	NitroEnclave = "nitro"
)

// Evidence is what a trusted execution environment says of itself, signed by its hardware.
type Evidence struct {
	Platform   string // the [Verifier] that reads it: DCAP, SNP or Nitro
	Quote      []byte // as the hardware made it: a quote, an attestation report, an attestation document
	Collateral []byte // what is needed to verify the quote and came along with it (signed by the hardware's maker), nil if nothing did
	// NotAfter is when the quote by itself can be verified no more, such as the end of a certificate inside
	// it; zero if it has no such end. Whoever keeps evidence gets other before.
	NotAfter time.Time
}

// A Quoter makes evidence. It is what a broker needs of the environment it runs in.
type Quoter interface {
	// Quote returns evidence that carries data as its report data.
	Quote(ctx context.Context, data [64]byte) (*Evidence, error)
}

// A Verifier tells whether evidence of one platform is genuine. It returns
// facts even of a platform that nobody should accept; what to accept is the
// question of a policy (package attest).
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

// ErrRevoked is wrapped by the error of a [Verifier] if a certificate that the evidence rests on is
// revoked. No other collateral lifts that.
var ErrRevoked = errors.New("revoked")

// Report holds the facts of genuine evidence.
type Report struct {
	TEE       string    // SGX, TDX, SEVSNP or NitroEnclave
	At        time.Time // the instant that it was judged at
	Data      [64]byte  // the report data
	Debug     bool      // the environment can be read by its host, or its maker does not trust it for a like reason
	Simulated bool      // it was made under a development root, not by hardware

	// Measurements by their policy keys, in lower case: "mrenclave", "mrsigner" (32 bytes each),
	// "mrtd", "rtmr0" … (48 bytes), "attributes" and others that a platform has. SEV-SNP: "measurement",
	// "id_key_digest", "author_key_digest" (48), "host_data", "report_id", "report_id_ma" (32), "family_id", "image_id" (16),
	// "chip_id" (64), "guest_policy" (8, as a big-endian number). Nitro: "pcr0" … "pcr31", those that are there (48).
	Measurements map[string][]byte
	ISVProdID    uint16 // SGX: product number that the signer gave
	ISVSVN       uint16 // SGX: security version number that the signer gave

	AMD *AMDFacts // what SEV-SNP evidence says beyond this, else nil
	AWS *AWSFacts // what a Nitro document says beyond this, else nil

	FMSPC string // the platform's family, 6 bytes in lower-case hex (Intel)
	PCKCA string // which of Intel's CAs certified the platform: "processor" or "platform"
	TCB   TCB
	// Collateral is the window in which the collateral that was used is valid.
	Collateral Window
	// Basis is all that the facts rest on beside the quote, from the root on.
	Basis []Basis
}

// Basis is one certificate, revocation list or signed document that a report rests on.
type Basis struct {
	What     string // such as "TCB info" or "PCK certificate"
	SignedBy string // the common name of the signer
	Window          // when it is valid
}

// Window is a span of time, both ends included.
type Window struct{ NotBefore, NotAfter time.Time }

// TCB tells how up to date a platform is.
type TCB struct {
	Status           Status   // converged over the parts below, or NotJudged
	Platform         Status   // the level that the platform reached
	Module           Status   // the TDX module, empty where there is none, or none that has levels of its own (major version 0)
	QE               Status   // the quoting enclave
	Advisories       []string // of all parts, sorted, each once
	EvaluationNumber uint32   // tcbEvaluationDataNumber: which revision of the maker's judgement was used

	Levels     []Level     // what each part reached: the platform, the TDX module if it has a status, the quoting enclave
	Shortfalls []Shortfall // what keeps the parts from their newest levels
	Remedies   []string    // what its owner can do about it, in words, the most effective first
}

// The parts of a platform that are judged apart.
const (
	PartPlatform = "platform" // processor, microcode, BIOS, PCE
	PartModule   = "module"   // the TDX module
	PartQE       = "qe"       // the quoting enclave
)

// Level is the TCB level that one part of a platform reached.
type Level struct {
	Part       string // PartPlatform, PartModule or PartQE
	Status     Status
	Date       time.Time // tcbDate: of all that the maker had published by then, nothing is missing
	Advisories []string  // that concern a part of this level, sorted
}

// Shortfall is one component that is below the newest level of its part.
type Shortfall struct {
	Part       string // PartPlatform, PartModule or PartQE
	Component  string // such as "sgxtcbcomponents[6]" or "pcesvn"
	Name       string // what the maker calls it, such as "BIOS, Early Microcode Update"; empty if it has no name
	Have, Want uint16
}

// Title returns the component with the maker's name for it, as in "sgxtcbcomponents[0] (BIOS, Early Microcode Update)".
func (s Shortfall) Title() string {
	if s.Name == "" {
		return s.Component
	}
	return s.Component + " (" + s.Name + ")"
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

// NotJudged is the status of a platform whose maker publishes no judgement of how up to date it is: AMD's and AWS's.
// It is in no list of a policy, which names a minimum TCB for AMD's instead.
const NotJudged Status = "NotJudged"
