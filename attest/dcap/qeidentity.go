package dcap

import (
	"errors"
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
	levels                     []qeLevel // from the newest to the oldest
}

// qeLevel is what a quoting enclave reaches that has at least this number.
type qeLevel struct {
	isvSVN uint16
	verdict
}

var (
	qeIdentityNames = names{required: []string{
		"id", "version", "issueDate", "nextUpdate", "tcbEvaluationDataNumber", "miscselect", "miscselectMask",
		"attributes", "attributesMask", "mrsigner", "isvprodid", "tcbLevels",
	}}
	isvSVNNames = names{required: []string{"isvsvn"}}
)

// parseQEIdentity reads the signed object. Its signature is the caller's question.
func parseQEIdentity(text string) (*qeIdentity, error) {
	q := new(qeIdentity)
	if err := readDocument(text, qeIdentityNames, q.read); err != nil {
		return nil, fmt.Errorf("QE identity: %w", err)
	}
	if len(q.levels) == 0 {
		return nil, errors.New("QE identity: tcbLevels: it is empty")
	}
	return q, nil
}

func (q *qeIdentity) read(d *document, name string) (err error) {
	switch name {
	case "id":
		return d.is("QE")
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
		return d.array(func(int) error {
			q.levels = append(q.levels, qeLevel{})
			return q.levels[len(q.levels)-1].read(d)
		})
	}
	return err
}

func (l *qeLevel) read(d *document) error {
	return d.object(levelNames, func(name string) error {
		if name != "tcb" {
			return l.verdict.read(d, name)
		}
		return d.object(isvSVNNames, func(string) error {
			n, err := d.uint(0xffff)
			l.isvSVN = uint16(n)
			return err
		})
	})
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

// level returns the first level that the quoting enclave reaches, and what it lacks of the newest.
func (q *qeIdentity) level(r *EnclaveReport) (*qeLevel, []tee.Shortfall, error) {
	for i := range q.levels {
		if r.ISVSVN >= q.levels[i].isvSVN {
			return &q.levels[i], q.levels[0].shortfalls(r), nil
		}
	}
	lowest := &q.levels[len(q.levels)-1]
	return nil, nil, fmt.Errorf("QE identity: the quoting enclave reaches none of the %d levels; of the lowest it misses: %s",
		len(q.levels), describe(lowest.shortfalls(r)))
}

func (l *qeLevel) shortfalls(r *EnclaveReport) []tee.Shortfall {
	if r.ISVSVN >= l.isvSVN {
		return nil
	}
	return []tee.Shortfall{{Component: "qe.isvsvn", Have: r.ISVSVN, Want: l.isvSVN}}
}
