package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb/attest"
)

const teeSimulated = "simulated"

// tees are the values of the key tee.
var tees = []string{"auto", "gramine", "tdx", "sev-snp", teeSimulated}

// quoters are those that this build has, by their value of tee. Files with build constraints add to it.
var quoters = map[string]func(*config) (*hardware, error){}

// hardware is where evidence comes from, and the root that it is verified under.
type hardware struct {
	attest.Quoter
	root *x509.Certificate // nil: the hardware maker's
}

// checkTEE refuses at once what this build cannot do.
func (c *config) checkTEE() error {
	if !slices.Contains(tees, c.TEE) {
		return c.file.Fault("tee", "got %q, want one of %s", c.TEE, strings.Join(tees, ", "))
	}
	if quoters[c.TEE] == nil {
		return c.file.Fault("tee", "this build cannot get evidence from %q: %s", c.TEE, buildHas())
	}
	if c.Simulated != (simulatedTEE{}) && c.TEE != teeSimulated {
		return c.file.Fault("simulated", "it is for tee: simulated alone")
	}
	return nil
}

func buildHas() string {
	if len(quoters) == 0 {
		return "it has no source of evidence at all; tee: simulated is in builds with the tag \"simulated\", which are for development"
	}
	var names []string
	for name := range quoters {
		names = append(names, name)
	}
	slices.Sort(names)
	return "it has " + strings.Join(names, ", ")
}

func newHardware(c *config) (*hardware, error) {
	make := quoters[c.TEE]
	if make == nil {
		return nil, errors.New(buildHas())
	}
	q, err := make(c)
	if err != nil {
		return nil, fmt.Errorf("tee %s: %w", c.TEE, err)
	}
	return q, nil
}

func teeWords(c *config) string {
	if c.TEE == teeSimulated {
		return "simulated: evidence of the genuine format under a development root"
	}
	return c.TEE
}
