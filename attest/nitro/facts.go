package nitro

import (
	"strconv"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// dataSize is that of the report data of other platforms, which user data stands for here.
const dataSize = 64

// facts are what a genuine document says.
func facts(d *Document, c chain) *tee.Report {
	r := &tee.Report{
		TEE:          tee.NitroEnclave,
		Debug:        d.debug(),
		Measurements: map[string][]byte{},
		AWS: &tee.AWSFacts{
			ModuleID: d.ModuleID, Timestamp: d.Timestamp,
			PublicKey: d.PublicKey, UserData: d.UserData, Nonce: d.Nonce,
		},
		TCB:        tee.TCB{Status: tee.NotJudged},
		Collateral: c.window(),
		Basis:      c.basis(),
	}
	if len(d.UserData) == dataSize {
		r.Data = [dataSize]byte(d.UserData)
	}
	for i, value := range d.PCRs {
		r.Measurements["pcr"+strconv.Itoa(int(i))] = value
	}
	return r
}

// debug tells whether none of the registers 0, 1 and 2 measures anything: those of an enclave in debug mode are zero, and where there are none of
// them nobody can say that it is not.
func (d *Document) debug() bool {
	for i := range uint8(3) {
		for _, b := range d.PCRs[i] {
			if b != 0 {
				return false
			}
		}
	}
	return true
}
