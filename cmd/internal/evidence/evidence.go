// Package evidence turns the files that an operator names on a command line or
// in a configuration into what package attest needs: a policy, and the
// verifiers of the platforms that this program knows.
//
// It owns file names and the choice of platforms, for every program alike. It
// does not know how evidence is verified (that is package dcap's) or what is
// accepted (that is the policy's).
//
// [Load] serves whoever has a policy:
//
//	policy, platforms, err := evidence.Load("policy.yaml", "collateral.json")
//	keys, err := attest.NewKeySet(attest.Config{URL: url, Policy: policy, Platforms: platforms})
//
// [Root], [Collateral] and [Platforms] are its parts, for whoever only wants facts.
package evidence

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// maxFile is the largest file that is read. Collateral, the largest, has about 30 KiB.
const maxFile = 1 << 20

// Load reads a policy file and, if collateralPath is not empty, a collateral
// file (the JSON form of [dcap.ParseCollateral]), which serves evidence that
// brings none. A simulated_root in the policy is a path relative to the policy
// file and becomes the one root that is trusted; without it, that is Intel's.
// Errors name the file.
func Load(policyPath, collateralPath string) (*attest.Policy, []attest.Verifier, error) {
	data, err := fetch.File(policyPath, maxFile)
	if err != nil {
		return nil, nil, fmt.Errorf("policy: %w", err)
	}
	policy, err := attest.ParsePolicy(data)
	if err != nil {
		return nil, nil, fmt.Errorf("policy %s: %w", policyPath, err)
	}
	var root *x509.Certificate
	if path := policy.SimulatedRoot; path != "" {
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(policyPath), path)
		}
		if root, err = Root(path); err != nil {
			return nil, nil, fmt.Errorf("policy %s: simulated_root: %w", policyPath, err)
		}
	}
	var collateral *dcap.Collateral
	if collateralPath != "" {
		if collateral, err = Collateral(collateralPath); err != nil {
			return nil, nil, err
		}
	}
	return policy, Platforms(root, collateral), nil
}

// Platforms returns a verifier for each platform that this program knows. A
// nil root means the hardware maker's, and nil collateral that only evidence
// which brings its own can be verified.
func Platforms(root *x509.Certificate, collateral *dcap.Collateral) []attest.Verifier {
	v := &dcap.Verifier{Root: root}
	if collateral != nil { // a nil *Collateral in the interface would not be a nil Source
		v.Collateral = collateral
	}
	return []attest.Verifier{v}
}

// Root reads a root certificate: one certificate, PEM or DER.
func Root(path string) (*x509.Certificate, error) {
	data, err := fetch.File(path, maxFile)
	if err != nil {
		return nil, err
	}
	der := data
	if block, rest := pem.Decode(data); block != nil {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: got PEM of %q, want CERTIFICATE", path, block.Type)
		}
		if more, _ := pem.Decode(rest); more != nil {
			return nil, fmt.Errorf("%s: got several PEM blocks, want one root certificate", path)
		}
		der = block.Bytes
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%s: not a certificate, PEM or DER: %w", path, err)
	}
	return cert, nil
}

// Collateral reads a collateral file.
func Collateral(path string) (*dcap.Collateral, error) {
	data, err := fetch.File(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("collateral: %w", err)
	}
	c, err := dcap.ParseCollateral(data)
	if err != nil {
		return nil, fmt.Errorf("collateral %s: %w", path, err)
	}
	return c, nil
}
