package simulated

import (
	"crypto/sha256"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Config describes the platform to simulate. Its zero value is an up-to-date
// SGX platform under a fresh root, with a production enclave, whose collateral
// is valid from a day before Now until 30 days after it.
type Config struct {
	Seed []byte    // 32 bytes or more make the same keys and root each time; nil makes fresh ones
	Now  time.Time // when the hardware is "made", between 2019 and 2040; zero means time.Now

	MRENCLAVE, MRSIGNER [32]byte // zero means DevMRENCLAVE and DevMRSIGNER
	ISVProdID, ISVSVN   uint16
	Debug               bool // the enclave's debug attribute

	CA       string     // which CA certified the platform: "platform" (the default) or "processor"
	Status   tee.Status // the TCB level that the platform reaches; empty means UpToDate
	QEStatus tee.Status // of the quoting enclave: UpToDate (the default), OutOfDate or Revoked

	Fault Fault // what is wrong with the evidence; empty means nothing
}

// FMSPC is the family of every simulated platform, 6 bytes in lower-case hex.
// Intel has given it to no processor. The TCB info spells it in upper case, as
// Intel's does for some families and not for others.
const FMSPC = "f0c7b0de0000"

// EvaluationNumber is the tcbEvaluationDataNumber of the simulated collateral.
const EvaluationNumber = 17

// Measurements of an enclave whose configuration names none. They say what they
// are: the SHA-256 of a sentence, so that nobody takes them for those of a build.
var (
	DevMRENCLAVE = sha256.Sum256([]byte("MRENCLAVE of confidential-token-broker's simulated hardware"))
	DevMRSIGNER  = sha256.Sum256([]byte("MRSIGNER of confidential-token-broker's simulated hardware"))
)
