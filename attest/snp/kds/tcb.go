package kds

import (
	"encoding/binary"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// TCBOf reads a TCB_VERSION, little-endian in reports, whose parts have other places on Turin (AMD publication 56860, "TCB_VERSION").
func TCBOf(product string, version uint64) tee.AMDTCB {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], version)
	if product == Turin {
		return tee.AMDTCB{FMC: b[0], Bootloader: b[1], TEE: b[2], SNP: b[3], Microcode: b[7]}
	}
	return tee.AMDTCB{Bootloader: b[0], TEE: b[1], SNP: b[6], Microcode: b[7]}
}
