package simulated

// qeIdentity says which quoting enclaves are the maker's, in the order and
// spelling of Intel's PCS API v4 (version 2 of the document), appendix B.
type qeIdentity struct {
	ID                      string     `json:"id"`
	Version                 int        `json:"version"`
	IssueDate               string     `json:"issueDate"`
	NextUpdate              string     `json:"nextUpdate"`
	TCBEvaluationDataNumber uint32     `json:"tcbEvaluationDataNumber"`
	Miscselect              string     `json:"miscselect"`
	MiscselectMask          string     `json:"miscselectMask"`
	Attributes              string     `json:"attributes"`
	AttributesMask          string     `json:"attributesMask"`
	MRSIGNER                string     `json:"mrsigner"`
	ISVProdID               uint16     `json:"isvprodid"`
	TCBLevels               []isvLevel `json:"tcbLevels"`
}

// The quoting enclaves for SGX and for TDX are two products (ISVPRODID 1 and 2).
func newQEIdentity(l life, id string, mrsigner string, product uint16) *qeIdentity {
	q := &qeIdentity{
		ID:                      id,
		Version:                 2,
		TCBEvaluationDataNumber: EvaluationNumber,
		Miscselect:              "00000000",
		MiscselectMask:          "FFFFFFFF",
		Attributes:              "11000000000000000000000000000000", // INIT, PROVISIONKEY
		AttributesMask:          "FBFFFFFFFFFFFFFF0000000000000000", // all flags but MODE64BIT, no XFRM
		MRSIGNER:                mrsigner,
		ISVProdID:               product,
		TCBLevels:               isvLevels(qeLevels),
	}
	q.IssueDate, q.NextUpdate = l.dates()
	return q
}
