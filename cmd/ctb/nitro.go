package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/nitro"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// nitroPlatform is AWS Nitro Enclaves.
func nitroPlatform() platform {
	return platform{
		name: tee.Nitro, tees: []string{tee.NitroEnclave}, maker: "AWS",
		recognise: recogniseDocument,
		claims:    nitroClaims,
		about:     func(*attest.Report) string { return "" }, // it needs no collateral
		facts:     (*finding).nitroFacts,
		printRuns: (*finding).printRegisters,
		printOn:   (*finding).printModule,
	}
}

// Beginnings of an attestation document: COSE_Sign1, an array of four whose first is the protected header
// {1: -35}, ES384 (RFC 9052 section 4.2). The tag 18 before it may be left out, and the security module does.
var (
	coseTag   = []byte{0xd2}
	coseBegin = []byte{0x84, 0x44, 0xa1, 0x01, 0x38, 0x22}
)

// recogniseDocument recognises an attestation document of a Nitro Enclave.
func recogniseDocument(raw []byte) (*attest.Evidence, error) {
	untagged := bytes.TrimPrefix(raw, coseTag)
	if !bytes.HasPrefix(untagged, coseBegin) {
		return nil, nil
	}
	return &attest.Evidence{Platform: tee.Nitro, Quote: untagged}, nil
}

func nitroClaims(e *attest.Evidence) *claimsJSON {
	d, err := nitro.ParseDocument(e.Quote)
	if err != nil {
		return nil
	}
	debug := true // which is that what the image consists of is not measured
	for i := range uint8(3) {
		debug = debug && len(bytes.Trim(d.PCRs[i], "\x00")) == 0
	}
	return &claimsJSON{TEE: tee.NitroEnclave, Debug: debug, ModuleID: d.ModuleID, PCR0: hex.EncodeToString(d.PCRs[0]), made: d.Timestamp}
}

// moduleLife is how long the certificate of a security module lives, inside which a document can be verified.
const moduleLife = 3 * time.Hour

// fixFor says what would help evidence that is judged outside of the time in which it can be; "" for any other.
func (c *claimsJSON) fixFor(at time.Time) string {
	if c == nil || c.made.IsZero() || !at.Before(c.made) && at.Sub(c.made) < moduleLife {
		return ""
	}
	return fmt.Sprintf("it says that it was made at %s, and such a document can be verified for some three hours: get a new one, or judge this one at its time, --at %s",
		show(c.made), c.made.UTC().Format(time.RFC3339))
}

// nitroJSON is what only a Nitro document has, beside its registers. Byte strings are in lower-case hex.
type nitroJSON struct {
	ModuleID  string    `json:"module_id"`
	Timestamp time.Time `json:"timestamp"`
	PublicKey string    `json:"public_key,omitempty"`
	UserData  string    `json:"user_data,omitempty"`
	Nonce     string    `json:"nonce,omitempty"`
}

// nitroFacts copies what only Nitro has.
func (x *finding) nitroFacts(r *attest.Report) {
	x.measured(r)
	if f := r.AWS; f != nil {
		x.Nitro = &nitroJSON{
			ModuleID: f.ModuleID, Timestamp: f.Timestamp.UTC(), PublicKey: hex.EncodeToString(f.PublicKey),
			UserData: hex.EncodeToString(f.UserData), Nonce: hex.EncodeToString(f.Nonce),
		}
	}
}
