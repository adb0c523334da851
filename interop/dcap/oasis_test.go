package dcap_test

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/oasisprotocol/oasis-core/go/common/sgx/pcs"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// askOasis asks oasis-core. Its roots and its debug mode are variables of the
// process, so that tests which ask it do not run in parallel.
//
// It accepts UpToDate and SWHardeningNeeded alone, and does not say which of
// them it is. Of any other status it says what it is: that is a genuine platform which its
// policy refuses, and counts as genuine here. The quoting enclave's status comes first, and then alone; so does
// that of a TDX module, before the platform's. Either has the kind "QE" in its error, whose text tells them apart.
func askOasis(_ *testing.T, all []evidence) []verdict {
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
		// Its window is 30 days from the date of issue, which is Intel's; nextUpdate is not looked at.
		policy := &pcs.QuotePolicy{TCBValidityPeriod: 30, TDX: &pcs.TdxQuotePolicy{}} // any TDX module of Intel's
		_, err := bundle.Verify(policy, e.at)
		out = append(out, oasisVerdict(err))
	}
	return out
}

func oasisVerdict(err error) verdict {
	if err == nil {
		return verdict{status: []tee.Status{tee.UpToDate, tee.SWHardeningNeeded}, qe: tee.UpToDate}
	}
	var level *pcs.TCBOutOfDateError
	if !errors.As(err, &level) {
		return verdict{refused: err.Error()}
	}
	status := tee.Status(level.Status.String())
	v := verdict{declines: true, qe: tee.UpToDate, advisories: sorted(level.AdvisoryIDs)}
	switch {
	case strings.Contains(err.Error(), "failed to verify QE identity"):
		v.qe, v.of = status, tee.PartQE
	case level.Kind == pcs.TCBKindEnclave:
		v.module, v.of = status, tee.PartModule
	default:
		v.status, v.platform, v.of = []tee.Status{status}, status, tee.PartPlatform
	}
	return v
}
