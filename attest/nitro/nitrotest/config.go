package nitrotest

import (
	"crypto/rand"
	"crypto/sha512"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Config describes the enclave and the module that vouches for it. Its zero value is a
// production enclave under a fresh root.
type Config struct {
	Seed []byte           // 32 bytes or more make the same keys and root each time; nil makes fresh ones
	Now  func() time.Time // the clock of [Module.Quote]; nil means time.Now

	ModuleID string           // empty means DevModuleID
	PCRs     map[int][48]byte // the registers that are locked, 0 to 31; nil means those of DevPCRs
	Debug    bool             // as in debug mode, the registers 0, 1 and 2 are zero

	Tagged    bool // the document has CBOR tag 18, which AWS's leaves out
	Lookalike bool // the root has the subject of AWS's

	Fault Fault // what is wrong with the documents; empty means nothing
}

// DevModuleID is the name of a module whose configuration gives none.
const DevModuleID = "i-0000000000000c7b0-enc0000000000000c7b0"

// DevPCRs returns the registers of an enclave whose configuration names none: 0 to 15, of which 0, 1, 2, 3, 4 and 8 are set. They
// say what they are: the digest of a sentence, so that nobody takes them for those of a build.
func DevPCRs() map[int][48]byte {
	pcrs := map[int][48]byte{}
	for i := range 16 {
		pcrs[i] = [48]byte{}
	}
	for _, i := range []int{0, 1, 2, 3, 4, 8} {
		pcrs[i] = sha512.Sum384([]byte("PCR" + strconv.Itoa(i) + " of confidential-token-broker's simulated enclave"))
	}
	return pcrs
}

// checkInstant bounds when documents are made: within the life of the root, with room for that of every certificate below.
func checkInstant(at time.Time) error {
	if y := at.UTC().Year(); y < 2020 || y > 2045 {
		return fmt.Errorf("instant: got the year %d, want 2020 to 2045", y)
	}
	return nil
}

// settle checks the configuration, and fills in what it leaves open.
func (c Config) settle() (Config, error) {
	if c.Seed == nil {
		c.Seed = make([]byte, 32)
		rand.Read(c.Seed) // never fails
	}
	if len(c.Seed) < 32 {
		return c, fmt.Errorf("seed: got %d bytes, want at least 32", len(c.Seed))
	}
	c.Seed = slices.Clone(c.Seed)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ModuleID == "" {
		c.ModuleID = DevModuleID
	}
	c.PCRs = maps.Clone(c.PCRs)
	if c.PCRs == nil {
		c.PCRs = DevPCRs()
	}
	for i := range c.PCRs {
		if i < 0 || i > 31 {
			return c, fmt.Errorf("PCRs: got a register %d, want 0 to 31", i)
		}
	}
	if c.Fault != "" && !slices.Contains(Faults(), c.Fault) {
		return c, fmt.Errorf("fault: got %q, want one of Faults()", string(c.Fault))
	}
	if err := checkInstant(c.Now()); err != nil {
		return c, err
	}
	if c.Debug {
		for i := range 3 {
			c.PCRs[i] = [48]byte{}
		}
	}
	return c, nil
}
