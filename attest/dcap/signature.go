package dcap

import (
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// Signature is the signature section of a quote: a chain of statements from
// the quote up to the certificates. Its offsets count from the section's start.
//
//	Key          signs the quote's header and body,
//	QE.Report    names SHA-256(Key ‖ QE.AuthData) as its report data,
//	the PCK      signs QE.Report, and
//	Certification says which PCK that is.
type Signature struct {
	Quote         [64]byte // offset 0: by Key, r ‖ s, big-endian
	Key           [64]byte // 64: the attestation key, P-256, x ‖ y, big-endian
	QE            QE       // 128
	Certification Certification
}

// QE is the quoting enclave's own report, and what is signed along with it.
type QE struct {
	Report    EnclaveReport // offset 0
	Signature [64]byte      // 384: by the PCK over Report, r ‖ s, big-endian
	AuthData  []byte        // 448: its length, uint16, then as many bytes
}

// Certification says which provisioning certification key (PCK) signed: its type (uint16),
// the length of the data (uint32), and the data. Type 5, the only one supported, is
// the PEM of the PCK certificate, the PCK CA's and the root's, and NULs.
type Certification struct {
	Type uint16
	Data []byte
}

// certifiesByChain is the type of certification data that holds the whole PCK certificate chain.
const certifiesByChain = 5

// certificationTypes names the types that Intel defines (table 9 of the reference).
var certificationTypes = map[uint16]string{
	1: "the platform's PPID in the clear",
	2: "the platform's PPID encrypted with RSA-2048",
	3: "the platform's PPID encrypted with RSA-3072",
	4: "a PCK certificate without its chain",
	6: "the certification of a quoting enclave, of quotes from version 4",
	7: "a platform manifest",
}

func (s *Signature) read(c *cursor) error {
	c.fill(s.Quote[:])
	c.fill(s.Key[:])
	s.QE.Report.read(c)
	c.fill(s.QE.Signature[:])
	s.QE.AuthData = c.take(int(c.uint16()))
	if c.err != nil {
		return c.err
	}
	return s.Certification.read(c)
}

// read reads the last part of a quote, which must end with it.
func (d *Certification) read(c *cursor) error {
	d.Type = c.uint16()
	length := c.uint32()
	if c.err != nil {
		return c.err
	}
	if uint64(length) != uint64(len(c.rest)) {
		return fmt.Errorf("length of the certification data at offset %d: got %d, but %d bytes follow", c.read-4, length, len(c.rest))
	}
	d.Data = c.take(len(c.rest))
	if d.Type != certifiesByChain {
		name, known := certificationTypes[d.Type]
		if !known {
			name = "unknown"
		}
		return fmt.Errorf("certification data: got type %d (%s), want type %d (the PCK certificate chain)", d.Type, name, certifiesByChain)
	}
	return nil
}

func (s *Signature) marshal() ([]byte, error) {
	switch {
	case len(s.QE.AuthData) > math.MaxUint16:
		return nil, fmt.Errorf("authentication data of the quoting enclave: got %d bytes, want at most %d", len(s.QE.AuthData), math.MaxUint16)
	case len(s.Certification.Data) > maxQuoteSize:
		return nil, fmt.Errorf("certification data: got %d bytes, want at most %d", len(s.Certification.Data), maxQuoteSize)
	}
	b := append([]byte(nil), s.Quote[:]...)
	b = append(b, s.Key[:]...)
	b = s.QE.Report.append(b)
	b = append(b, s.QE.Signature[:]...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(s.QE.AuthData)))
	b = append(b, s.QE.AuthData...)
	b = binary.LittleEndian.AppendUint16(b, s.Certification.Type)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s.Certification.Data)))
	return append(b, s.Certification.Data...), nil
}

// pem returns the PEM of certification data of type 5; the NULs behind it are padding.
func (d *Certification) pem() []byte { return bytes.TrimRight(d.Data, "\x00") }

// Chain parses the PCK certificate chain of a quote, the PCK certificate first and the root last.
// It checks no signature.
func (d *Certification) Chain() ([]*x509.Certificate, error) {
	ders, err := decodePEM(d.pem(), 3)
	if err != nil {
		return nil, fmt.Errorf("PCK certificate chain: %w", err)
	}
	chain, err := x509.ParseCertificates(slices.Concat(ders...))
	if err != nil {
		return nil, fmt.Errorf("PCK certificate chain: %w", err)
	}
	if len(chain) != 3 {
		return nil, fmt.Errorf("PCK certificate chain: got %d certificates, want 3", len(chain))
	}
	return chain, nil
}
