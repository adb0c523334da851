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
// the quote up to the certificates. It has the same shape for all versions; its offsets count from
// the section's start in version 3. In versions 4 and 5 the type (6) and the length of all that
// follows stand before QE, which is undone here.
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

const (
	certifiesByChain = 5 // data that holds the whole PCK certificate chain
	certifiesByQE    = 6 // data that is QE and then Certification: what versions 4 and 5 have around those
)

// certificationTypes names the types that Intel defines (SGX ECDSA Quote Library reference, A.4
// "Certification Data"; TDX DCAP Quoting Library API, A.3.10).
var certificationTypes = map[uint16]string{
	1: "the platform's PPID in the clear",
	2: "the platform's PPID encrypted with RSA-2048",
	3: "the platform's PPID encrypted with RSA-3072",
	4: "a PCK certificate without its chain",
	5: "the PCK certificate chain",
	6: "the certification of a quoting enclave, of quotes from version 4",
	7: "a platform manifest",
}

// read reads the signature section, which is all that is left. Version 3 has
// QE and Certification side by side; from version 4 on they are the data of certification data of type 6.
func (s *Signature) read(c *cursor, version uint16) error {
	c.fill(s.Quote[:])
	c.fill(s.Key[:])
	if version > 3 {
		if err := readCertification(c, certifiesByQE); err != nil {
			return err
		}
	}
	s.QE.Report.read(c)
	c.fill(s.QE.Signature[:])
	s.QE.AuthData = c.take(int(c.uint16()))
	if err := readCertification(c, certifiesByChain); err != nil {
		return err
	}
	s.Certification = Certification{certifiesByChain, c.take(len(c.rest))}
	return nil
}

// readCertification reads the type of certification data and its length, which must be all that is left.
func readCertification(c *cursor, want uint16) error {
	got, length := c.uint16(), c.uint32()
	switch {
	case c.err != nil:
		return c.err
	case uint64(length) != uint64(len(c.rest)):
		return fmt.Errorf("length of the certification data at offset %d: got %d, but %d bytes follow", c.read-4, length, len(c.rest))
	case got != want:
		return fmt.Errorf("certification data: got type %d (%s), want type %d (%s)", got, certificationType(got), want, certificationType(want))
	}
	return nil
}

func certificationType(n uint16) string {
	if name, known := certificationTypes[n]; known {
		return name
	}
	return "unknown"
}

func (s *Signature) marshal(version uint16) ([]byte, error) {
	switch {
	case len(s.QE.AuthData) > math.MaxUint16:
		return nil, fmt.Errorf("authentication data of the quoting enclave: got %d bytes, want at most %d", len(s.QE.AuthData), math.MaxUint16)
	case len(s.Certification.Data) > maxQuoteSize:
		return nil, fmt.Errorf("certification data: got %d bytes, want at most %d", len(s.Certification.Data), maxQuoteSize)
	}
	qe := s.QE.Report.append(nil)
	qe = append(qe, s.QE.Signature[:]...)
	qe = binary.LittleEndian.AppendUint16(qe, uint16(len(s.QE.AuthData)))
	qe = append(qe, s.QE.AuthData...)
	qe = s.Certification.append(qe)
	b := slices.Concat(s.Quote[:], s.Key[:])
	if version > 3 {
		return (&Certification{certifiesByQE, qe}).append(b), nil
	}
	return append(b, qe...), nil
}

func (d *Certification) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, d.Type)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(d.Data)))
	return append(b, d.Data...)
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
