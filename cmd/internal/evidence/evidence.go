// Package evidence turns what an operator names on a command line or in a
// configuration into what package attest needs: a policy, the verifiers of the
// platforms that this program knows, and where their collateral comes from.
//
// It owns file names, the choice of platforms and the order of the sources of
// collateral, for every program alike. It does not know how evidence is verified (that is
// package dcap's), how collateral is asked for (package pcs's) or what is
// accepted (the policy's).
//
// [Load] serves whoever has a policy:
//
//	policy, platforms, err := evidence.Load("policy.yaml", evidence.Source{PCS: "intel", Cache: "collateral.d"})
//	keys, err := attest.NewKeySet(attest.Config{URL: url, Policy: policy, Platforms: platforms})
//
// [LoadPolicy], [Source.Open] and [Platforms] are its parts, for whoever only wants facts
// or holds the collateral in its own hands.
package evidence

import (
	"crypto/x509"
	"fmt"
	"path/filepath"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// Load reads a policy file and opens the source of collateral, which serves
// evidence that brings none. Nothing is fetched yet. Errors name the file.
func Load(policyPath string, s Source) (*attest.Policy, []attest.Verifier, error) {
	policy, root, err := LoadPolicy(policyPath)
	if err != nil {
		return nil, nil, err
	}
	collateral, err := s.Open(root)
	if err != nil {
		return nil, nil, err
	}
	return policy, Platforms(root, collateral.Source()), nil
}

// LoadPolicy reads a policy file and the root certificate that it names. A
// simulated_root is a path relative to the policy file, and becomes the one
// root that is trusted; without it the root is nil, which stands for Intel's.
func LoadPolicy(path string) (*attest.Policy, *x509.Certificate, error) {
	data, err := fetch.File(path, maxFile)
	if err != nil {
		return nil, nil, fmt.Errorf("policy: %w", err)
	}
	policy, err := attest.ParsePolicy(data)
	if err != nil {
		return nil, nil, fmt.Errorf("policy %s: %w", path, err)
	}
	name := policy.SimulatedRoot
	if name == "" {
		return policy, nil, nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(path), name)
	}
	root, err := Root(name)
	if err != nil {
		return nil, nil, fmt.Errorf("policy %s: simulated_root: %w", path, err)
	}
	return policy, root, nil
}

// Platforms returns a verifier for each platform that this program knows. A
// nil root means the hardware maker's, and a nil source that only evidence
// which brings its collateral can be verified.
func Platforms(root *x509.Certificate, source dcap.Source) []attest.Verifier {
	return []attest.Verifier{&dcap.Verifier{Root: root, Collateral: source}}
}
