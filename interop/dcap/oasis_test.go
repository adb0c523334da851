package dcap_test

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"

	"github.com/oasisprotocol/oasis-core/go/common/sgx/pcs"

	"github.com/confidential-token-broker/ctb/attest"
)

// askOasis asks oasis-core. Its roots and its debug mode are variables of the
// process, so that tests which ask it do not run in parallel.
//
// It accepts UpToDate and SWHardeningNeeded alone, and does not say which of
// them it is. Of any other status it says what it is: that is a genuine platform which its
// policy refuses, and counts as genuine here. The quoting enclave's status comes first, and then alone.
func askOasis(t *testing.T, all []evidence) []verdict {
	intel := pcs.IntelTrustRoots
	defer func() {
		pcs.IntelTrustRoots = intel
		pcs.UnsetAllowDebugEnclaves()
	}()
	var out []verdict
	for _, e := range all {
		pcs.IntelTrustRoots = intel
		if e.root != nil {
			pcs.IntelTrustRoots = x509.NewCertPool()
			pcs.IntelTrustRoots.AddCert(e.root)
		}
		pcs.UnsetAllowDebugEnclaves()
		if e.debug {
			pcs.SetAllowDebugEnclaves()
		}
		bundle := pcs.QuoteBundle{Quote: e.quote, TCB: pcs.TCBBundle{
			TCBInfo: pcs.SignedTCBInfo{
				TCBInfo:   json.RawMessage(e.collateral.TCBInfo),
				Signature: hex.EncodeToString(e.collateral.TCBInfoSignature),
			},
			QEIdentity: pcs.SignedQEIdentity{
				EnclaveIdentity: json.RawMessage(e.collateral.QEIdentity),
				Signature:       hex.EncodeToString(e.collateral.QEIdentitySignature),
			},
			Certificates: []byte(e.collateral.TCBInfoIssuerChain),
		}}
		_, err := bundle.Verify(&pcs.QuotePolicy{TCBValidityPeriod: 30}, e.at)
		out = append(out, oasisVerdict(err))
	}
	return out
}

func oasisVerdict(err error) verdict {
	var level *pcs.TCBOutOfDateError
	switch {
	case err == nil:
		return verdict{status: []attest.Status{attest.UpToDate, attest.SWHardeningNeeded}}
	case errors.As(err, &level) && level.Kind == pcs.TCBKindEnclave:
		return verdict{qe: attest.Status(level.Status.String())}
	case errors.As(err, &level):
		return verdict{status: []attest.Status{attest.Status(level.Status.String())}, advisories: sorted(level.AdvisoryIDs)}
	default:
		return verdict{refused: err.Error()}
	}
}
