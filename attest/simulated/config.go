package simulated

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Config describes the platform to simulate. Its zero value is an up-to-date
// SGX platform under a fresh root, with a production enclave, whose collateral
// is valid from a day before Now until 30 days after it.
type Config struct {
	Seed []byte    // 32 bytes or more make the same keys and root each time; nil makes fresh ones
	Now  time.Time // when the hardware is "made", between 2019 and 2040; zero means time.Now

	TEE          string // "sgx" (the default) or "tdx"
	QuoteVersion uint16 // 3 (SGX alone), 4 or 5; 0 means 3 for SGX and 4 for TDX
	TD15         bool   // TDX with quote version 5: the report of TDX 1.5 (body type 3), 648 bytes; else that of 1.0, 584 bytes

	Padding int // quote version 4 and later: how many NULs follow the quote, as in a quote provider's buffer

	// Of an enclave (SGX).
	MRENCLAVE, MRSIGNER [32]byte // zero means DevMRENCLAVE and DevMRSIGNER
	ISVProdID, ISVSVN   uint16

	// Of a trust domain (TDX).
	MRTD                               [48]byte    // zero means DevMRTD
	RTMR                               [4][48]byte // each that is zero means that of DevRTMR
	MRConfigID, MROwner, MROwnerConfig [48]byte
	TDAttributes                       uint64 // zero means SEPT_VE_DISABLE alone, as Linux guests have it
	XFAM                               uint64 // zero means 0x602e7: x87, SSE, AVX, AVX-512, PKRU, AMX

	Debug bool // the debug attribute of the enclave or of the trust domain

	FMSPC    string     // the platform's family, 6 bytes in hex; empty means FMSPC
	CA       string     // which CA certified the platform: "platform" (the default) or "processor"
	Status   tee.Status // the TCB level that the platform reaches; empty means UpToDate
	QEStatus tee.Status // of the quoting enclave: UpToDate (the default), OutOfDate or Revoked

	// Module is the TDX module, by Intel's name for the identity that judges it: "TDX_01" (the default) or
	// "TDX_03"; or "TDX_00", a module of the first generation, which has no identity and is judged with the platform.
	Module       string
	ModuleStatus tee.Status // of the module: UpToDate (the default), OutOfDate or Revoked; none for TDX_00
	// ModuleReplaced says that a module which is up to date runs by now, though another one launched the trust domain:
	// TDX 1.5 replaces modules under running domains, and tells it in TEE_TCB_SVN_2. What launched the domain counts.
	ModuleReplaced bool
	// TDXOutOfDate gives the microcode of TDX (a component that SGX does not have) the
	// version of the level OutOfDate, whatever Status says of the others.
	TDXOutOfDate bool

	TCBInfoVersion int // SGX: 3 (the default), or 2 as PCS API v3 has it

	Fault Fault // what is wrong with the evidence; empty means nothing
}

// FMSPC is the family of the simulated platforms that name none, 6 bytes in lower-case hex.
// Intel has given it to no processor. The TCB info spells it in upper case, as
// Intel's does for some families and not for others.
const FMSPC = "f0c7b0de0000"

// EvaluationNumber is the tcbEvaluationDataNumber of the simulated collateral.
const EvaluationNumber = 17

// Measurements of an enclave or a trust domain whose configuration names none. They say what they
// are: the digest of a sentence, so that nobody takes them for those of a build.
var (
	DevMRENCLAVE = sha256.Sum256([]byte("MRENCLAVE of confidential-token-broker's simulated hardware"))
	DevMRSIGNER  = sha256.Sum256([]byte("MRSIGNER of confidential-token-broker's simulated hardware"))

	DevMRTD = sha512.Sum384([]byte("MRTD of confidential-token-broker's simulated hardware"))
	DevRTMR = [4][48]byte{
		sha512.Sum384([]byte("RTMR0 of confidential-token-broker's simulated hardware")),
		sha512.Sum384([]byte("RTMR1 of confidential-token-broker's simulated hardware")),
		sha512.Sum384([]byte("RTMR2 of confidential-token-broker's simulated hardware")),
		sha512.Sum384([]byte("RTMR3 of confidential-token-broker's simulated hardware")),
	}
)

// settle checks the configuration, and fills in what it leaves open.
func (c Config) settle() (Config, error) {
	if c.Now.IsZero() {
		c.Now = time.Now()
	}
	c.Now = wholeSeconds(c.Now)
	if y := c.Now.Year(); y < 2019 || y > 2040 {
		return c, fmt.Errorf("now: got %d, want a year from 2019 to 2040", y)
	}
	if c.Seed == nil {
		c.Seed = make([]byte, 32)
		rand.Read(c.Seed) // never fails
	}
	if len(c.Seed) < 32 {
		return c, fmt.Errorf("seed: got %d bytes, want at least 32", len(c.Seed))
	}
	for _, f := range []struct {
		value    *string
		fallback string
	}{{&c.TEE, "sgx"}, {&c.CA, "platform"}, {&c.FMSPC, FMSPC}} {
		if *f.value == "" {
			*f.value = f.fallback
		}
	}
	for _, s := range []*tee.Status{&c.Status, &c.QEStatus} {
		if *s == "" {
			*s = tee.UpToDate
		}
	}
	if family, err := hex.DecodeString(c.FMSPC); err != nil || len(family) != 6 {
		return c, fmt.Errorf("FMSPC: got %q, want 6 bytes in hex", c.FMSPC)
	}
	if c.CA != "platform" && c.CA != "processor" {
		return c, fmt.Errorf("CA: got %q, want \"platform\" or \"processor\"", c.CA)
	}
	if most := 1024; c.Padding < 0 || c.Padding > most || c.Padding > 0 && c.QuoteVersion < 4 && c.TEE != "tdx" {
		return c, fmt.Errorf("padding: got %d, want 0 to %d, and 0 in quote version 3", c.Padding, most)
	}
	switch c.TEE {
	case "sgx":
		return c.settleSGX()
	case "tdx":
		return c.settleTDX()
	default:
		return c, fmt.Errorf("TEE: got %q, want \"sgx\" or \"tdx\"", c.TEE)
	}
}

func (c Config) settleSGX() (Config, error) {
	if c.QuoteVersion == 0 {
		c.QuoteVersion = 3
	}
	if c.TCBInfoVersion == 0 {
		c.TCBInfoVersion = 3
	}
	if c.MRENCLAVE == ([32]byte{}) {
		c.MRENCLAVE = DevMRENCLAVE
	}
	if c.MRSIGNER == ([32]byte{}) {
		c.MRSIGNER = DevMRSIGNER
	}
	switch {
	case c.QuoteVersion < 3 || c.QuoteVersion > 5:
		return c, fmt.Errorf("quote version: got %d, want 3, 4 or 5", c.QuoteVersion)
	case c.TCBInfoVersion != 2 && c.TCBInfoVersion != 3:
		return c, fmt.Errorf("TCB info version: got %d, want 2 or 3", c.TCBInfoVersion)
	case c.TD15 || c.Module != "" || c.ModuleStatus != "" || c.ModuleReplaced || c.TDXOutOfDate:
		return c, fmt.Errorf("TD15, module, its status, its replacement and TDXOutOfDate are of TDX, and the TEE is %q", c.TEE)
	}
	return c, nil
}

func (c Config) settleTDX() (Config, error) {
	if c.QuoteVersion == 0 {
		c.QuoteVersion = 4
	}
	if c.TCBInfoVersion == 0 {
		c.TCBInfoVersion = 3
	}
	if c.Module == "" {
		c.Module = "TDX_01"
	}
	if c.ModuleStatus == "" && c.Module != firstModule {
		c.ModuleStatus = tee.UpToDate
	}
	if c.MRTD == ([48]byte{}) {
		c.MRTD = DevMRTD
	}
	for i, r := range c.RTMR {
		if r == ([48]byte{}) {
			c.RTMR[i] = DevRTMR[i]
		}
	}
	if c.TDAttributes == 0 {
		c.TDAttributes = tdSeptVEDisable
	}
	if c.XFAM == 0 {
		c.XFAM = 0x602e7
	}
	switch {
	case c.QuoteVersion != 4 && c.QuoteVersion != 5:
		return c, fmt.Errorf("quote version: got %d, want 4 or 5 for TDX", c.QuoteVersion)
	case c.TD15 && c.QuoteVersion != 5:
		return c, fmt.Errorf("quote version: got %d, want 5 for the report of TDX 1.5", c.QuoteVersion)
	case c.ModuleReplaced && !c.TD15:
		return c, errors.New("a module is replaced in TDX 1.5 alone")
	case c.TCBInfoVersion != 3:
		return c, fmt.Errorf("TCB info version: got %d, want 3 for TDX", c.TCBInfoVersion)
	case c.Module == firstModule && c.ModuleStatus != "":
		return c, fmt.Errorf("module status: got %q, want none: %s is judged with the platform", c.ModuleStatus, c.Module)
	}
	return c, nil
}
