package kds

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Key is what a VCEK or VLEK certificate says in AMD's extensions, below 1.3.6.1.4.1.3704.1 (AMD publication 57230, "VCEK Certificate").
type Key struct {
	ProductName string   // such as "Milan-B0", with the stepping; Turins and VLEKs have none
	HWID        []byte   // of the chip: 64 bytes, 8 on Turin; nil of a VLEK
	CSP         string   // of a VLEK: the cloud that it was given to
	SPL         [9]uint8 // security patch levels 1 to 9, of the extensions 3.1 to 3.9
}

// The indexes of SPL that have a meaning. The others, 4 to 7, are reserved.
const (
	splBootloader = iota
	splTEE
	splSNP
	splMicrocode = 7
	splFMC       = 8 // Turin and later
)

// The arc of AMD's extensions.
var amdArc = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}

// parseKey reads the extensions, none of which is there twice (crypto/x509 refuses that). Those that AMD has not told about are left alone, unless they are critical.
func parseKey(cert *x509.Certificate) (*Key, error) {
	k := new(Key)
	seen := make(map[string]bool, 16)
	for _, e := range cert.Extensions {
		if len(e.Id) <= len(amdArc) || !slices.Equal(e.Id[:len(amdArc)], amdArc) {
			continue
		}
		seen[e.Id[len(amdArc):].String()] = true
		if err := k.read(e.Id[len(amdArc):], e.Value); err != nil {
			return nil, fmt.Errorf("extension %.100s: %w", e.Id, err)
		}
	}
	for _, id := range []string{"1", "2", "3.1", "3.2", "3.3", "3.8"} {
		if !seen[id] {
			return nil, fmt.Errorf("the extension %s.%s is missing", amdArc, id)
		}
	}
	return k, nil
}

func (k *Key) read(id asn1.ObjectIdentifier, value []byte) (err error) {
	switch {
	case id.Equal(asn1.ObjectIdentifier{1}):
		_, err = small(value) // the version of the structure: 0, and 1 from Turin on; the extensions that are there say more
	case id.Equal(asn1.ObjectIdentifier{2}):
		k.ProductName, err = ia5(value)
	case len(id) == 2 && id[0] == 3 && id[1] >= 1 && id[1] <= len(k.SPL):
		k.SPL[id[1]-1], err = small(value)
	case id.Equal(asn1.ObjectIdentifier{4}):
		k.HWID, err = hwid(value)
	case id.Equal(asn1.ObjectIdentifier{5}):
		k.CSP, err = ia5(value)
	}
	return err
}

func small(der []byte) (uint8, error) {
	var n int
	if rest, err := asn1.Unmarshal(der, &n); err != nil || len(rest) > 0 || n < 0 || n > 255 {
		return 0, errors.New("want an integer from 0 to 255")
	}
	return uint8(n), nil
}

func ia5(der []byte) (string, error) {
	var s string
	if len(der) == 0 || len(der) > 256 || der[0] != asn1.TagIA5String {
		return "", errors.New("want an IA5String")
	}
	if rest, err := asn1.UnmarshalWithParams(der, &s, "ia5"); err != nil || len(rest) > 0 {
		return "", errors.New("want an IA5String")
	}
	return s, nil
}

// hwid reads the chip's id, which AMD writes without a tag.
func hwid(value []byte) ([]byte, error) {
	if len(value) == 64 || len(value) == 8 {
		return value, nil
	}
	var octets []byte
	if rest, err := asn1.Unmarshal(value, &octets); err != nil || len(rest) > 0 || len(octets) != 64 && len(octets) != 8 {
		return nil, errors.New("want 64 bytes, or 8 of a Turin")
	}
	return octets, nil
}

// check checks that the extensions are those of the kind of key and of the product that the CA is of.
func (k *Key) check(product, signedBy string) error {
	if signedBy == VLEK {
		switch {
		case k.CSP == "" || k.HWID != nil:
			return errors.New("want the id of a cloud (1.3.6.1.4.1.3704.1.5), and none of a chip")
		case k.ProductName != product:
			return fmt.Errorf("product: got %.40q, want %q", k.ProductName, product)
		}
		return nil
	}
	size := 64
	if product == Turin {
		size = 8
	}
	if k.CSP != "" || len(k.HWID) != size {
		return fmt.Errorf("want the id of a chip (1.3.6.1.4.1.3704.1.4) of %d bytes, and none of a cloud", size)
	}
	// Bergamo and Siena are of the CAs of Genoa.
	line, _, _ := strings.Cut(k.ProductName, "-")
	if line != product && (product != Genoa || line != "Bergamo" && line != "Siena") {
		return fmt.Errorf("product: got %.40q, want %q", k.ProductName, product)
	}
	return nil
}

// tcb returns the TCB as reports of the product have it (TCB_VERSION, AMD publication 56860).
func (k *Key) tcb(product string) uint64 {
	var b [8]byte
	if product == Turin {
		b = [8]byte{k.SPL[splFMC], k.SPL[splBootloader], k.SPL[splTEE], k.SPL[splSNP], 0, 0, 0, k.SPL[splMicrocode]}
	} else {
		b = [8]byte{k.SPL[splBootloader], k.SPL[splTEE], k.SPL[3], k.SPL[4], k.SPL[5], k.SPL[6], k.SPL[splSNP], k.SPL[splMicrocode]}
	}
	return binary.LittleEndian.Uint64(b[:])
}

// About checks that the chain is of the platform: its product, the kind of key and, of a leaf that is there, chip and TCB. The id of
// a chip that its host hides can't be compared: that the chip's key signed the report says that it is one of AMD's, and not which.
func (ch *Chain) About(p Platform) error {
	switch {
	case p.Product != "" && ch.Product != p.Product:
		return fmt.Errorf("the certificates are of the product %s, the report is of %s", ch.Product, p.Product)
	case ch.SignedBy != p.SignedBy:
		return fmt.Errorf("the CA certifies a %s, the report is signed by a %s", ch.SignedBy, p.SignedBy)
	case ch.Leaf == nil:
		return nil
	case ch.Key.tcb(ch.Product) != p.TCB:
		return fmt.Errorf("%s certificate: it is for the TCB %#016x, the report is of %#016x", strings.ToUpper(ch.SignedBy), ch.Key.tcb(ch.Product), p.TCB)
	case p.SignedBy == VLEK || p.ChipID == [64]byte{}:
		return nil
	}
	var chip [64]byte
	copy(chip[:], ch.Key.HWID)
	if chip != p.ChipID {
		return fmt.Errorf("VCEK certificate: it is of the chip %x…, the report is of %x…", chip[:8], p.ChipID[:8])
	}
	return nil
}
