package kds

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
)

// The entries of a certificate table (AMD publication 56421, "SNP Extended Guest Request"), by their GUIDs as they are in memory.
var (
	guidVCEK = [16]byte{0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd}
	guidVLEK = [16]byte{0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1}
	guidCA   = [16]byte{0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82}
	guidRoot = [16]byte{0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae}
	guidCRL  = [16]byte{0x92, 0xf8, 0x1b, 0xc3, 0x58, 0x11, 0x4d, 0x3d, 0x97, 0xff, 0xd1, 0x9f, 0x88, 0xdc, 0x67, 0xea}
)

const (
	entrySize  = 24
	maxEntries = 32 // of a table; genuine ones have up to seven
)

// FromTable reads the certificate table that a host gives a guest along with its report: the auxblob of configfs-tsm, which is
// the data of SNP_GET_EXT_REPORT (AMD publication 56421, "SNP Extended Guest Request"), of at most 256 KiB. A host may
// write certificates as DER or PEM. If it gives both a VCEK and a VLEK, [FromTableFor] tells which is meant; here the VCEK goes first. Of a table with none
// of the certificates, and of no table, the result is empty.
func FromTable(aux []byte) (*Collateral, error) { return FromTableFor(aux, VCEK) }

// FromTableFor is FromTable for reports of one kind of key, VCEK or VLEK.
func FromTableFor(aux []byte, signedBy string) (*Collateral, error) {
	c, err := fromTable(aux, signedBy)
	if err != nil {
		return nil, fmt.Errorf("certificate table: %w", err)
	}
	return c, nil
}

func fromTable(aux []byte, signedBy string) (*Collateral, error) {
	if len(aux) > maxCollateral {
		return nil, fmt.Errorf("got %d bytes, want at most %d", len(aux), maxCollateral)
	}
	found := map[[16]byte][]byte{}
	for rest, n := aux, 0; len(rest) > 0; rest, n = rest[entrySize:], n+1 {
		if len(rest) < entrySize {
			return nil, errors.New("it ends within an entry")
		}
		id := [16]byte(rest)
		offset, size := uint64(binary.LittleEndian.Uint32(rest[16:])), uint64(binary.LittleEndian.Uint32(rest[20:]))
		if id == [16]byte{} && offset == 0 && size == 0 {
			break
		}
		switch {
		case n == maxEntries:
			return nil, fmt.Errorf("it has more than %d entries", maxEntries)
		case offset+size > uint64(len(aux)):
			return nil, fmt.Errorf("entry %d: its %d bytes from %d on are not within the %d bytes of the table", n, size, offset, len(aux))
		case found[id] != nil && id != [16]byte{}: // some hosts put an ASVK below the zero GUID, which is no GUID of AMD's
			return nil, fmt.Errorf("entry %d: the GUID %x comes twice", n, id)
		}
		found[id] = aux[offset : offset+size : offset+size]
	}
	leaf := found[guidVCEK]
	if other := found[guidVLEK]; len(other) > 0 && (signedBy == VLEK || len(leaf) == 0) {
		leaf = other
	}
	c := &Collateral{Leaf: leaf, CA: found[guidCA], Root: found[guidRoot], CRL: found[guidCRL]}
	for _, p := range c.parts() {
		*p.der = decodeBlob(*p.der)
	}
	if n := len(c.Marshal()); n > maxCollateral { // entries may overlap, and base64 takes more
		return nil, fmt.Errorf("what is in it would be %d bytes of collateral, want at most %d", n, maxCollateral)
	}
	return c, nil
}

// decodeBlob returns the DER of what a host wrote as DER or PEM, without the zeros that fill a page behind it. What is neither is left for the verifier to refuse.
func decodeBlob(b []byte) []byte {
	if block, _ := pem.Decode(b); block != nil {
		return block.Bytes
	}
	if len(b) > 4 && b[0] == 0x30 && b[1] == 0x82 {
		if end := 4 + int(binary.BigEndian.Uint16(b[2:])); end < len(b) && len(bytes.Trim(b[end:], "\x00")) == 0 {
			b = b[:end]
		}
	}
	return bytes.Clone(b)
}
