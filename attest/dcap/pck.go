package dcap

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
)

// PCK is what Intel certifies of a platform, in the extension
// 1.2.840.113741.1.13.1 of the provisioning certification key's certificate
// (Intel SGX PCK Certificate and CRL Profile Specification, §1.3.5).
// After each field is the last part of its OID.
type PCK struct {
	PPID    [16]byte  // .1: names the platform to Intel
	SVN     [16]uint8 // .2.1 … .2.16: the platform's TCB components, as TCB info judges them
	PCESVN  uint16    // .2.17
	CPUSVN  [16]byte  // .2.18
	PCEID   [2]byte   // .3
	FMSPC   [6]byte   // .4: the platform's family
	SGXType uint8     // .5: 0 standard, 1 scalable, 2 scalable with integrity

	// What only the platform CA certifies; zero elsewhere.
	PlatformInstance [16]byte // .6
	DynamicPlatform  bool     // .7.1: packages may be added later
	CachedKeys       bool     // .7.2: Intel keeps the platform's root keys
	SMT              bool     // .7.3: simultaneous multithreading is on
}

var (
	oidSGX = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}
	// sgxArc is oidSGX as DER has it, the content of an OBJECT IDENTIFIER.
	sgxArc = []byte{0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01}
)

// ParsePCK reads the extension of a PCK certificate. It checks no signature.
func ParsePCK(cert *x509.Certificate) (*PCK, error) {
	for _, ext := range cert.Extensions {
		if ext.Id.Equal(oidSGX) {
			return parsePCK(ext.Value)
		}
	}
	return nil, errors.New("PCK certificate: the SGX extension 1.2.840.113741.1.13.1 is missing")
}

func parsePCK(extension []byte) (*PCK, error) {
	p := new(PCK)
	seen, err := each(extension, sgxArc, p.read)
	if err == nil {
		err = seen.require(1, 2, 3, 4, 5)
	}
	if err != nil {
		return nil, fmt.Errorf("PCK certificate: SGX extension: %w", err)
	}
	return p, nil
}

// read reads one of the fields 1 to 7.
func (p *PCK) read(field byte, value der) error {
	switch field {
	case 1:
		return value.octets(p.PPID[:])
	case 2:
		seen, err := each(value, append(sgxArc[:len(sgxArc):len(sgxArc)], 2), p.readTCB)
		if err != nil {
			return err
		}
		return seen.require(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
	case 3:
		return value.octets(p.PCEID[:])
	case 4:
		return value.octets(p.FMSPC[:])
	case 5:
		n, err := value.uint(tagEnumerated, 2)
		p.SGXType = uint8(n)
		return err
	case 6:
		return value.octets(p.PlatformInstance[:])
	case 7:
		_, err := each(value, append(sgxArc[:len(sgxArc):len(sgxArc)], 7), p.readConfiguration)
		return err
	}
	return errors.New("is unknown")
}

// readTCB reads one of the fields 2.1 to 2.18.
func (p *PCK) readTCB(field byte, value der) error {
	switch {
	case 1 <= field && field <= 16:
		n, err := value.uint(tagInteger, 0xff)
		p.SVN[field-1] = uint8(n)
		return err
	case field == 17:
		n, err := value.uint(tagInteger, 0xffff)
		p.PCESVN = uint16(n)
		return err
	case field == 18:
		return value.octets(p.CPUSVN[:])
	}
	return errors.New("is unknown")
}

// readConfiguration reads one of the fields 7.1 to 7.3.
func (p *PCK) readConfiguration(field byte, value der) (err error) {
	switch field {
	case 1:
		p.DynamicPlatform, err = value.bool()
	case 2:
		p.CachedKeys, err = value.bool()
	case 3:
		p.SMT, err = value.bool()
	default:
		err = errors.New("is unknown")
	}
	return err
}

// fields is a set of field numbers below 32.
type fields uint32

func (f fields) require(numbers ...byte) error {
	for _, n := range numbers {
		if f&(1<<n) == 0 {
			return fmt.Errorf("field .%d is missing", n)
		}
	}
	return nil
}

// each reads a SEQUENCE of SEQUENCE { OBJECT IDENTIFIER, value }, whose OIDs are
// the arc and one number below 32 each, no number twice.
func each(b der, arc []byte, read func(field byte, value der) error) (seen fields, err error) {
	list, err := b.only(tagSequence)
	if err != nil {
		return 0, err
	}
	for len(list) > 0 {
		pair, err := list.next(tagSequence)
		if err != nil {
			return 0, err
		}
		oid, err := pair.next(tagOID)
		if err != nil {
			return 0, err
		}
		number, ok := bytes.CutPrefix(oid, arc)
		if !ok || len(number) != 1 || number[0] >= 32 {
			return 0, fmt.Errorf("got an unknown field (OID %x)", []byte(oid))
		}
		field := number[0]
		if seen&(1<<field) != 0 {
			return 0, fmt.Errorf("field .%d is there twice", field)
		}
		seen |= 1 << field
		if err := read(field, pair); err != nil {
			return 0, fmt.Errorf("field .%d: %w", field, err)
		}
	}
	return seen, nil
}
