// Package platforms has the verifiers of all platforms that the programs of
// relying parties know. The broker does not link it: it makes evidence, and verifies none of others.
//
// [Load] serves whoever has a policy:
//
//	policy, verifiers, err := platforms.Load("policy.yaml", evidence.Source{PCS: "intel", KDS: "amd", Cache: "collateral.d"})
//	keys, err := attest.NewKeySet(attest.Config{URL: url, Policy: policy, Platforms: verifiers})
//
// [evidence.LoadPolicy], [evidence.Source.Open] and [All] are its parts, for whoever only wants facts
// or holds the collateral in its own hands.
package platforms

import (
	"crypto/x509"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/nitro"
	"github.com/confidential-token-broker/ctb/attest/snp"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// Load reads a policy file and opens the source of collateral, which serves
// evidence that brings none. Nothing is fetched yet. Errors name the file.
func Load(policyPath string, s evidence.Source) (*attest.Policy, []attest.Verifier, error) {
	policy, root, err := evidence.LoadPolicy(policyPath)
	if err != nil {
		return nil, nil, err
	}
	collateral, err := s.Open(root)
	if err != nil {
		return nil, nil, err
	}
	return policy, All(root, collateral), nil
}

// All returns a verifier for each platform: Intel SGX and TDX, AMD SEV-SNP, AWS Nitro Enclaves. A
// nil root means the hardware makers' own; any other is the one root of all platforms, for a development root may be
// of any. Without collateral, only evidence that brings its own can be verified, and Nitro's, which needs none.
func All(root *x509.Certificate, c *evidence.Collateral) []attest.Verifier {
	return Of(root, c.DCAP(), c.SNP())
}

// Of is [All] with sources of collateral of the caller's own; a nil one has none.
func Of(root *x509.Certificate, intel dcap.Source, amd kds.Source) []attest.Verifier {
	return []attest.Verifier{
		&dcap.Verifier{Root: root, Collateral: intel},
		&snp.Verifier{Root: root, Collateral: amd},
		&nitro.Verifier{Root: root},
	}
}
