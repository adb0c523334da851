//go:build simulated

package main

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

func init() { quoters[teeSimulated] = newSimulated }

// newSimulated makes simulated hardware, and writes what its checkers need: the root and the collateral.
func newSimulated(c *config) (*hardware, error) {
	var sc simulated.Config
	if c.Simulated.SeedFile != "" {
		seed, err := fetch.File(c.Simulated.SeedFile, maxSeed)
		if err != nil {
			return nil, fmt.Errorf("seed: %w", err)
		}
		sc.Seed = seed
	}
	p, err := simulated.New(sc)
	if err != nil {
		return nil, err
	}
	simulation := &hardware{Quoter: p, root: p.Root(), tee: teeSimulated, what: "simulated hardware"}
	if c.Simulated.Directory == "" {
		return simulation, nil
	}
	if err := os.MkdirAll(c.Simulated.Directory, 0o755); err != nil {
		return nil, err
	}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Root().Raw})
	if err := os.WriteFile(filepath.Join(c.Simulated.Directory, "root.pem"), root, 0o644); err != nil {
		return nil, err
	}
	return simulation, os.WriteFile(filepath.Join(c.Simulated.Directory, "collateral.json"), p.Collateral().Marshal(), 0o644)
}
