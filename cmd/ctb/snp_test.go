package main

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
)

// A host may give the certificates of both kinds of keys: the one of the key that signed counts.
func TestTableWithBothKinds(t *testing.T) {
	chip, err := snptest.New(snptest.Config{Now: simulatedNow})
	if err != nil {
		t.Fatal(err)
	}
	cloud, err := snptest.New(snptest.Config{SignedBy: kds.VLEK, Now: simulatedNow})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*snptest.Platform{chip, cloud} {
		report, err := p.Report([64]byte{})
		if err != nil {
			t.Fatal(err)
		}
		e, err := recogniseReport(append(report, bothKinds(chip.Table(), cloud.Table())...))
		if err != nil {
			t.Fatal(err)
		}
		c, err := kds.ParseCollateral(e.Collateral)
		if err != nil || !bytes.Equal(c.Leaf, p.Certificates().Leaf) {
			t.Errorf("of a %s the certificate of the other key was taken (%v)", p.About().SignedBy, err)
		}
	}
}

// bothKinds is a table of two tables' first entries.
func bothKinds(one, other []byte) []byte {
	const entry = 24
	head, blobs := []byte{}, []byte{}
	for _, table := range [][]byte{one, other} {
		at, size := binary.LittleEndian.Uint32(table[16:]), binary.LittleEndian.Uint32(table[20:])
		head = binary.LittleEndian.AppendUint32(append(head, table[:16]...), uint32(3*entry+len(blobs)))
		head = binary.LittleEndian.AppendUint32(head, size)
		blobs = append(blobs, table[at:at+size]...)
	}
	return append(append(head, make([]byte, entry)...), blobs...)
}
