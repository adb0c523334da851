package kds

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// ReportSize is the size of an attestation report, in bytes.
const ReportSize = 0x4a0

// The kinds of keys that sign reports.
const (
	VCEK = "vcek" // of the chip, derived from its TCB
	VLEK = "vlek" // of the cloud, loaded into its chips
)

// The families of processors that have SEV-SNP, as AMD's service names them.
const (
	Milan = "Milan"
	Genoa = "Genoa" // also Bergamo and Siena
	Turin = "Turin"
)

// Platform is what collateral is about, and what it is asked for by. It can be compared.
type Platform struct {
	// Product is Milan, Genoa or Turin. It is empty if the report does not tell, which those of version 2 do not.
	Product string
	// ChipID is the chip's, zero of a VLEK, which is no chip's, and where the host hides it.
	ChipID   [64]byte
	TCB      uint64 // REPORTED_TCB as the report has it: little-endian, its parts depend on the product
	SignedBy string // VCEK or VLEK
}

// String returns such as "Milan, chip 3ac3fe21e13fb099…, VCEK, TCB 0x4405000000000002".
func (p Platform) String() string {
	product, chip := p.Product, fmt.Sprintf("chip %x…", p.ChipID[:8])
	if product == "" {
		product = "Milan or Genoa"
	}
	if p.ChipID == ([64]byte{}) {
		chip = "a chip that its host hides"
	}
	return fmt.Sprintf("%s, %s, %s, TCB %#016x", product, chip, strings.ToUpper(p.SignedBy), p.TCB)
}

// ParsePlatform returns what to ask collateral for, of a report of version 2, 3 or 5 (AMD publication 56860, table
// ATTESTATION_REPORT). Nothing of it is verified: who fetches collateral for a report fetches it for whatever the report says.
func ParsePlatform(report []byte) (Platform, error) {
	if len(report) != ReportSize {
		return Platform{}, fmt.Errorf("report: got %d bytes, want %d", len(report), ReportSize)
	}
	version := binary.LittleEndian.Uint32(report)
	if version != 2 && version != 3 && version != 5 {
		return Platform{}, fmt.Errorf("report: version: got %d, want 2, 3 or 5", version)
	}
	p := Platform{TCB: binary.LittleEndian.Uint64(report[0x180:])}
	switch key := binary.LittleEndian.Uint32(report[0x48:]) >> 2 & 7; key {
	case 0:
		p.SignedBy = VCEK
		p.ChipID = [64]byte(report[0x1a0:])
	case 1:
		p.SignedBy = VLEK
	default:
		return Platform{}, fmt.Errorf("report: signing key: got the kind %d, want 0 (VCEK) or 1 (VLEK)", key)
	}
	if version == 2 {
		return p, nil
	}
	var err error
	p.Product, err = Product(report[0x188], report[0x189])
	return p, err
}

// Product returns the product of a CPUID family and model (AMD publication 57230, "Determining the Product Name").
func Product(family, model byte) (string, error) {
	switch {
	case family == 0x19 && model <= 0x0f:
		return Milan, nil
	case family == 0x19 && (model >= 0x10 && model <= 0x1f || model >= 0xa0 && model <= 0xaf):
		return Genoa, nil
	case family == 0x1a && model <= 0x1f:
		return Turin, nil
	}
	return "", fmt.Errorf("report: no product is known of the CPUID family %#x and model %#x", family, model)
}

// Served tells whether a service can have the certificate of the key: AMD's has none of VLEKs for the public, and it can't be asked about a chip whose
// host hides its id (mask_chip_id). It comes along with the report then, from the host's certificate table.
func (p Platform) Served() bool { return p.SignedBy == VCEK && p.ChipID != [64]byte{} }

// Of returns the platform with the product that a certificate of its key names, DER, if the report does not tell. Nothing of it is verified: what is
// asked for by it vouches for itself.
func (p Platform) Of(leaf []byte) Platform {
	if p.Product != "" || len(leaf) == 0 {
		return p
	}
	cert, err := parseCertificate(leaf)
	if err != nil {
		return p
	}
	key, err := parseKey(cert)
	if err != nil {
		return p
	}
	for _, product := range []string{Milan, Genoa, Turin} {
		if key.check(product, p.SignedBy) == nil {
			p.Product = product
		}
	}
	return p
}

// check lets nothing through that a path or a query is not to be made of.
func (p Platform) check() error {
	if !slices.Contains([]string{"", Milan, Genoa, Turin}, p.Product) {
		return fmt.Errorf("platform: product: got %.20q, want %s, %s or %s", p.Product, Milan, Genoa, Turin)
	}
	if p.SignedBy != VCEK && p.SignedBy != VLEK {
		return fmt.Errorf("platform: signed by: got %.20q, want %q or %q", p.SignedBy, VCEK, VLEK)
	}
	return nil
}
