package simulated

import (
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// edition says which judgements of a platform are wanted: the maker publishes
// them anew all the time, for both TEEs of a processor and both PCK CAs.
type edition struct {
	at             time.Time // when they are issued
	tee            string    // "sgx" or "tdx"
	ca             string    // whose revocation list: "platform" or "processor"; empty: the platform's
	number         uint32    // tcbEvaluationDataNumber
	tcbInfoVersion int
	spoil          func(*plan) // nil, or what is wrong with it
}

// documentLife is how long Intel's documents and revocation lists are valid.
const documentLife = 30 * 24 * time.Hour

// edition issues collateral of the platform. What is wrong with the platform itself
// (say, its PCK is revoked) is wrong in every edition.
func (p *Platform) edition(e edition) (*dcap.Collateral, error) {
	c := p.config
	c.Now, c.TCBInfoVersion = wholeSeconds(e.at), e.tcbInfoVersion
	if e.tee != c.TEE {
		c = Config{Now: c.Now, Seed: c.Seed, TEE: e.tee, FMSPC: c.FMSPC, CA: c.CA, TCBInfoVersion: e.tcbInfoVersion}
	}
	if e.ca != "" && e.ca != c.CA {
		c.CA, c.Fault = e.ca, ""
	}
	c, err := c.settle()
	if err != nil {
		return nil, err
	}
	plan, err := newPlan(c, life{c.Now, c.Now.Add(documentLife)})
	if err != nil {
		return nil, err
	}
	plan.tcbInfo.TCBEvaluationDataNumber, plan.qeIdentity.TCBEvaluationDataNumber = e.number, e.number
	if e.spoil != nil {
		e.spoil(plan)
	}
	certs, err := newPKI(plan, p.keys)
	if err != nil {
		return nil, err
	}
	return newCollateral(plan, p.keys, certs)
}
