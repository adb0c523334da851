package main

import (
	"encoding/hex"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// dcapPlatform is Intel SGX and TDX.
func dcapPlatform() platform {
	return platform{
		name: tee.DCAP, tees: []string{tee.SGX, tee.TDX}, maker: "Intel",
		recognise: func(raw []byte) (*attest.Evidence, error) {
			if !isQuote(raw) {
				return nil, nil
			}
			return &attest.Evidence{Platform: tee.DCAP, Quote: raw}, nil
		},
		claims:    dcapClaims,
		about:     aboutFamily,
		facts:     (*finding).dcapFacts,
		printRuns: (*finding).printEnclave,
		printOn:   (*finding).printLevels,
	}
}

// isQuote tells whether data begins like a quote of version 3, 4 or 5 by an
// ECDSA P-256 attestation key (type 2), both little-endian.
func isQuote(data []byte) bool {
	return len(data) >= 4 && data[0] >= 3 && data[0] <= 5 && data[1] == 0 && data[2] == 2 && data[3] == 0
}

func dcapClaims(e *attest.Evidence) *claimsJSON {
	q, err := dcap.ParseQuote(e.Quote)
	if err != nil {
		return nil
	}
	c := &claimsJSON{TEE: q.TEE()}
	if e := q.Enclave; e != nil {
		c.Debug, c.MRENCLAVE, c.MRSIGNER = e.Debug(), hex.EncodeToString(e.MRENCLAVE[:]), hex.EncodeToString(e.MRSIGNER[:])
	}
	if d := q.TD; d != nil {
		c.Debug, c.MRTD = d.Debug(), hex.EncodeToString(d.MRTD[:])
	}
	if p, err := q.Platform(); err == nil {
		c.FMSPC = hex.EncodeToString(p.FMSPC[:])
	}
	return c
}

// aboutFamily names the family of platforms that a report's collateral is about.
func aboutFamily(r *attest.Report) string {
	p := dcap.Platform{TEE: r.TEE, CA: r.PCKCA}
	if n, err := hex.Decode(p.FMSPC[:], []byte(r.FMSPC)); err != nil || n != len(p.FMSPC) {
		return ""
	}
	return p.String()
}

// dcapFacts copies what only SGX and TDX have.
func (x *finding) dcapFacts(r *attest.Report) {
	m := func(key string) string { return hex.EncodeToString(r.Measurements[key]) }
	x.MRENCLAVE, x.MRSIGNER = m("mrenclave"), m("mrsigner")
	if r.TEE == tee.SGX {
		x.ISVProdID, x.ISVSVN = new(int(r.ISVProdID)), new(int(r.ISVSVN))
	}
	x.domainJSON = domainJSON{
		MRTD: m("mrtd"), RTMR0: m("rtmr0"), RTMR1: m("rtmr1"), RTMR2: m("rtmr2"), RTMR3: m("rtmr3"),
		MRCONFIGID: m("mrconfigid"), MROWNER: m("mrowner"), MROWNERCONFIG: m("mrownerconfig"), MRSEAM: m("mrseam"), MRSERVICETD: m("mrservicetd"),
		Attributes: m("td_attributes"), XFAM: m("xfam"),
	}
	x.FMSPC, x.PCKCA = r.FMSPC, r.PCKCA
}
