package pcs

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// TestLies: whatever the source says, what is not better than the good one leaves it in use, and the reason is told.
func TestLies(t *testing.T) {
	day := t0.Add(24 * time.Hour)
	good := issued(t, t0)
	fresh := issued(t, day)
	with := func(change func(*dcap.Collateral)) *dcap.Collateral {
		c := *fresh
		change(&c)
		return &c
	}
	of := func(c simulated.Config) *dcap.Collateral { c.Now = day; return hardware(t, c).Collateral() }
	other, err := simulated.New(simulated.Config{Now: day})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		says *dcap.Collateral
		want string
	}{
		"nothing":                {nil, "no collateral"},
		"of another FMSPC":       {of(simulated.Config{FMSPC: "f0c7b0de0001"}), "got collateral of sgx f0c7b0de0001 (platform CA), want that of sgx f0c7b0de0000 (platform CA)"},
		"of the other CA":        {of(simulated.Config{CA: "processor"}), "got collateral of sgx f0c7b0de0000 (processor CA)"},
		"of TDX":                 {of(simulated.Config{TEE: "tdx"}), "got collateral of tdx f0c7b0de0000"},
		"of another root":        {other.Collateral(), "root"},
		"the day before":         {issued(t, t0.Add(-24*time.Hour)), "which was seen before"},
		"the TCB info of before": {with(func(c *dcap.Collateral) { c.TCBInfo, c.TCBInfoSignature = issuedTCB(t, t0.Add(-time.Hour)) }), "TCB info: got one of 2025-08-19T11:00:00Z, want none before 2025-08-19T12:00:00Z"},
		"the root CRL of before": {with(func(c *dcap.Collateral) { c.RootCACRL = issued(t, t0.Add(-time.Hour)).RootCACRL }), "root CRL: got one of 2025-08-19T11:00:00Z"},
		"the PCK CRL of before":  {with(func(c *dcap.Collateral) { c.PCKCRL = issued(t, t0.Add(-time.Hour)).PCKCRL }), "PCK CRL: got one of 2025-08-19T11:00:00Z"},
		"expired":                {of(simulated.Config{Fault: simulated.TCBInfoExpired}), "TCB info: not valid after"},
		"not yet valid":          {of(simulated.Config{Fault: simulated.QEIdentityNotYetValid}), "QE identity: not valid before"},
		"forged":                 {of(simulated.Config{Fault: simulated.TCBInfoForged}), "TCB info: not signed by"},
		"altered":                {with(func(c *dcap.Collateral) { c.TCBInfo = strings.Replace(c.TCBInfo, "UpToDate", "UpToDatE", 1) }), "TCB info: not signed by"},
		"a revoked signer":       {of(simulated.Config{Fault: simulated.TCBSignerRevoked}), "revoked"},
		"a revoked CA":           {of(simulated.Config{Fault: simulated.PCKCARevoked}), "revoked"},
		"chains swapped": {with(func(c *dcap.Collateral) {
			c.TCBInfoIssuerChain, c.PCKCRLIssuerChain = c.PCKCRLIssuerChain, c.TCBInfoIssuerChain
		}), "issuer chain"},
		"lists swapped":           {with(func(c *dcap.Collateral) { c.RootCACRL, c.PCKCRL = c.PCKCRL, c.RootCACRL }), "root CRL"},
		"documents swapped":       {with(func(c *dcap.Collateral) { c.TCBInfo, c.QEIdentity = c.QEIdentity, c.TCBInfo }), "not signed by"},
		"no list of revoked PCKs": {with(func(c *dcap.Collateral) { c.PCKCRL = nil }), "PCK CRL"},
		"an identity of TDX to SGX": {with(func(c *dcap.Collateral) {
			tdx := of(simulated.Config{TEE: "tdx"})
			c.QEIdentity, c.QEIdentitySignature = tdx.QEIdentity, tdx.QEIdentitySignature
		}), "QE identity"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &source{}
				s.gives(good, nil)
				cache := cacheOf(t, s, clock())
				wantSame(t, cache, good)
				s.gives(c.says, nil)
				time.Sleep(DefaultRefresh)
				cache.Refresh(t.Context())
				wantSame(t, cache, good)
				wantError(t, cache.Err(), c.want)
				time.Sleep(29 * 24 * time.Hour)
				wantSame(t, cache, good)
				time.Sleep(time.Second)
				got, err := cache.Collateral(t.Context(), sgx)
				if got == good || got == nil && err == nil {
					t.Errorf("got %p, %v beyond the end of the good one", got, err)
				}
				if got != nil { // what was not yet valid is so by now
					if _, err := (&dcap.Verifier{Root: hardware(t, simulated.Config{}).Root()}).Inspect(got, cache.larder.Now()); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// issuedTCB is the TCB info of the platform as it was issued for the instant.
func issuedTCB(t *testing.T, at time.Time) (string, []byte) {
	c := issued(t, at)
	return c.TCBInfo, c.TCBInfoSignature
}

// TestEvaluationNumbersDoNotGoBack: each document has its own.
func TestEvaluationNumbersDoNotGoBack(t *testing.T) {
	of := func(tcb, qe uint32) *dcap.Judged { return &dcap.Judged{TCBEvaluation: tcb, QEEvaluation: qe} }
	for _, c := range []struct {
		old, new *dcap.Judged
		want     string
	}{
		{of(17, 17), of(17, 17), ""},
		{of(17, 17), of(18, 18), ""},
		{of(17, 18), of(18, 18), ""},
		{of(17, 17), of(16, 18), "TCB info: tcbEvaluationDataNumber: got 16, want at least 17"},
		{of(17, 17), of(18, 16), "QE identity: tcbEvaluationDataNumber: got 16, want at least 17"},
	} {
		err := new(kind).NotOlder(c.new, c.old)
		if c.want != "" {
			wantError(t, err, c.want)
		} else if err != nil {
			t.Error(err)
		}
	}
}
