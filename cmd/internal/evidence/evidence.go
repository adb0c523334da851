// Package evidence turns what an operator names on a command line or in a
// configuration into what package attest needs: a policy, with the root that it names, and where the
// collateral of each platform comes from.
//
// It owns file names and the order of the sources of
// collateral, for every program alike. It does not know how evidence is verified (that is the work of the
// packages of the platforms, which package platforms puts together), how collateral is asked for (of pcs and kds) or what is
// accepted (the policy's).
package evidence

import (
	"crypto/x509"
	"fmt"
	"path/filepath"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

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
