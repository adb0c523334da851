package simulated

import (
	"crypto/x509/pkix"
	"encoding/asn1"
)

// The SGX extension of a PCK certificate ("Intel SGX PCK Certificate and
// Certificate Revocation List Profile Specification", section 1.3.5).
var oidSGX = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}

// sgxExtension holds the facts about the processor that Intel certifies.
type sgxExtension struct {
	ppid       [16]byte
	tcb        [16]byte // component SVNs; CPUSVN is the same, as Intel writes it there
	pcesvn     uint16
	pceid      [2]byte
	fmspc      [6]byte
	instanceID *[16]byte // platforms certified by the Platform CA only
}

// field is SEQUENCE { OBJECT IDENTIFIER, ANY }, the form of every entry.
type field struct {
	ID    asn1.ObjectIdentifier
	Value any
}

// sub returns the identifier below the extension's, such as 1.2.840.113741.1.13.1.2.17 for sub(2, 17).
func sub(arcs ...int) asn1.ObjectIdentifier {
	return append(append(asn1.ObjectIdentifier{}, oidSGX...), arcs...)
}

func (e *sgxExtension) marshal() (pkix.Extension, error) {
	var tcb []field
	for i, svn := range e.tcb {
		tcb = append(tcb, field{sub(2, i+1), int(svn)})
	}
	tcb = append(tcb, field{sub(2, 17), int(e.pcesvn)}, field{sub(2, 18), e.tcb[:]})

	sgxType := asn1.Enumerated(0) // Standard
	if e.instanceID != nil {
		sgxType = 1 // Scalable
	}
	fields := []field{
		{sub(1), e.ppid[:]},
		{sub(2), tcb},
		{sub(3), e.pceid[:]},
		{sub(4), e.fmspc[:]},
		{sub(5), sgxType},
	}
	if e.instanceID != nil {
		fields = append(fields,
			field{sub(6), e.instanceID[:]},
			field{sub(7), []field{ // configuration
				{sub(7, 1), true},  // dynamic platform
				{sub(7, 2), false}, // cached keys
				{sub(7, 3), false}, // SMT enabled
			}})
	}
	der, err := asn1.Marshal(fields)
	return pkix.Extension{Id: oidSGX, Value: der}, err
}
