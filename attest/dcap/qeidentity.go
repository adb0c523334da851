package dcap

import (
	"fmt"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// qeIdentity says which enclave is Intel's quoting enclave (Intel PCS API v4,
// "Enclave Identity V2").
type qeIdentity struct {
	window                     tee.Window // issueDate to nextUpdate
	evaluation                 uint32
	miscSelect, miscSelectMask [4]byte
	attributes, attributesMask [16]byte
	mrsigner                   [32]byte
	isvProdID                  uint16
	levels                     isvLevels
}

var qeIdentityNames = names{required: []string{
	"id", "version", "issueDate", "nextUpdate", "tcbEvaluationDataNumber", "miscselect", "miscselectMask",
	"attributes", "attributesMask", "mrsigner", "isvprodid", "tcbLevels",
}}

// parseQEIdentity reads the signed object, which must be about the quoting enclave of the given
// environment, "sgx" or "tdx". Its signature is the caller's question.
func parseQEIdentity(text, want string) (*qeIdentity, error) {
	q := new(qeIdentity)
	err := readDocument(text, qeIdentityNames, func(d *document, name string) error {
		if name == "id" {
			return d.is(documentIDs[want].qe)
		}
		return q.read(d, name)
	})
	if err != nil {
		return nil, fmt.Errorf("QE identity: %w", err)
	}
	return q, nil
}

func (q *qeIdentity) read(d *document, name string) (err error) {
	switch name {
	case "version":
		return d.number(2)
	case "issueDate":
		q.window.NotBefore, err = d.time()
	case "nextUpdate":
		q.window.NotAfter, err = d.time()
	case "tcbEvaluationDataNumber":
		n, err := d.uint(1<<32 - 1)
		q.evaluation = uint32(n)
		return err
	case "miscselect":
		return d.hex(q.miscSelect[:])
	case "miscselectMask":
		return d.hex(q.miscSelectMask[:])
	case "attributes":
		return d.hex(q.attributes[:])
	case "attributesMask":
		return d.hex(q.attributesMask[:])
	case "mrsigner":
		return d.hex(q.mrsigner[:])
	case "isvprodid":
		n, err := d.uint(0xffff)
		q.isvProdID = uint16(n)
		return err
	case "tcbLevels":
		return q.levels.read(d)
	}
	return err
}

// match checks that the report is of this enclave. Masks and values are written
// as the report has them, byte by byte.
func (q *qeIdentity) match(r *EnclaveReport) error {
	misc, attributes := r.MiscSelect, r.Attributes
	mask(misc[:], q.miscSelectMask[:])
	mask(attributes[:], q.attributesMask[:])
	wantMisc, wantAttributes := q.miscSelect, q.attributes
	mask(wantMisc[:], q.miscSelectMask[:])
	mask(wantAttributes[:], q.attributesMask[:])
	switch {
	case misc != wantMisc:
		return fmt.Errorf("quoting enclave: miscselect: got %x, want %x by the mask %x", misc, wantMisc, q.miscSelectMask)
	case attributes != wantAttributes:
		return fmt.Errorf("quoting enclave: attributes: got %x, want %x by the mask %x", attributes, wantAttributes, q.attributesMask)
	case r.MRSIGNER != q.mrsigner:
		return fmt.Errorf("quoting enclave: mrsigner: got %x, want %x", r.MRSIGNER, q.mrsigner)
	case r.ISVProdID != q.isvProdID:
		return fmt.Errorf("quoting enclave: isvprodid: got %d, want %d", r.ISVProdID, q.isvProdID)
	}
	return nil
}

func mask(b, mask []byte) {
	for i := range b {
		b[i] &= mask[i]
	}
}

// judge returns the first level that the quoting enclave reaches, and what it lacks of the newest.
func (q *qeIdentity) judge(r *EnclaveReport) (part, error) {
	reached := q.levels.reached(r.ISVSVN)
	if reached == nil {
		return part{}, fmt.Errorf("QE identity: the quoting enclave reaches none of the %d levels; of the lowest it misses: qe.isvsvn is %d, want %d",
			len(q.levels), r.ISVSVN, q.levels.lowest())
	}
	return q.levels.judge(tee.PartQE, "qe.isvsvn", r.ISVSVN, reached), nil
}
