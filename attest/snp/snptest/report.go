package snptest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Measurement is what reports have, unless Config.Report writes another one.
func Measurement() [48]byte { return [48]byte{'a', ' ', 'b', 'r', 'o', 'k', 'e', 'r'} }

// Report makes a report that carries data (AMD publication 56860, table ATTESTATION_REPORT).
func (p *Platform) Report(data [64]byte) ([]byte, error) {
	r := p.unsigned(data)
	if p.config.Report != nil {
		p.config.Report(r)
	}
	digest := sha512.Sum384(r[:0x2a0])
	a, b, err := ecdsa.Sign(rand.Reader, keys[p.config.SignedBy], digest[:])
	if err != nil {
		return nil, fmt.Errorf("snptest: %w", err)
	}
	putScalar(r[0x2a0:0x2e8], a)
	putScalar(r[0x2e8:0x330], b)
	return r, nil
}

// putScalar writes a number as AMD does, little-endian.
func putScalar(to []byte, n *big.Int) {
	n.FillBytes(to)
	slices.Reverse(to)
}

func (p *Platform) unsigned(data [64]byte) []byte {
	r := make([]byte, kds.ReportSize)
	u32 := func(at int, n uint32) { binary.LittleEndian.PutUint32(r[at:], n) }
	u64 := func(at int, n uint64) { binary.LittleEndian.PutUint64(r[at:], n) }
	c := p.config
	u32(0, c.Version)
	u64(8, 0x30000) // guest policy: SMT, and the bit that is always set
	u32(0x34, 1)    // ECDSA P-384 with SHA-384
	u64(0x40, 0x25) // SMT, ECC, alias check complete
	if c.SignedBy == kds.VLEK {
		u32(0x48, 1<<2)
	}
	copy(r[0x50:], data[:])
	measurement := Measurement()
	copy(r[0x90:], measurement[:])
	copy(r[0x140:], "report id")
	copy(r[0x160:], slices.Repeat([]byte{0xff}, 32))
	for _, at := range []int{0x38, 0x180, 0x1e0, 0x1f0} {
		u64(at, p.tcb)
	}
	if c.Version >= 3 {
		copy(r[0x188:], cpuid[c.Product])
	}
	copy(r[0x1a0:], p.chip())
	copy(r[0x1e8:], []byte{30, 55, 1, 0, 30, 55, 1})
	return r
}

// cpuid is family, model and stepping of the products.
var cpuid = map[string][]byte{kds.Milan: {0x19, 0x01, 1}, kds.Genoa: {0x19, 0x11, 1}, kds.Turin: {0x1a, 0x02, 1}}

// chip is the id, of which Turins have 8 bytes.
func (p *Platform) chip() []byte {
	id := make([]byte, 64)
	for i := range id {
		if i < 8 || p.config.Product != kds.Turin {
			id[i] = byte(i) + 0x10
		}
	}
	id[0] = p.config.Chip
	return id
}

// version is the TCB as reports have it.
func version(product string, t tee.AMDTCB) uint64 {
	b := [8]byte{t.Bootloader, t.TEE, 6: t.SNP, 7: t.Microcode}
	if product == kds.Turin {
		b = [8]byte{t.FMC, t.Bootloader, t.TEE, t.SNP, 7: t.Microcode}
	}
	return binary.LittleEndian.Uint64(b[:])
}
