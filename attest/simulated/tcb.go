package simulated

import (
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// The judgements of the maker, in the order and spelling of Intel's PCS API v4.

// tcbInfo says how good which security versions of a platform are (version 3).
type tcbInfo struct {
	ID                      string     `json:"id"`
	Version                 int        `json:"version"`
	IssueDate               string     `json:"issueDate"`
	NextUpdate              string     `json:"nextUpdate"`
	FMSPC                   string     `json:"fmspc"`
	PCEID                   string     `json:"pceId"`
	TCBType                 int        `json:"tcbType"`
	TCBEvaluationDataNumber uint32     `json:"tcbEvaluationDataNumber"`
	TCBLevels               []tcbLevel `json:"tcbLevels"`
}

type tcbLevel struct {
	TCB struct {
		SGXTCBComponents [16]tcbComponent `json:"sgxtcbcomponents"`
		PCESVN           uint16           `json:"pcesvn"`
	} `json:"tcb"`
	TCBDate     string     `json:"tcbDate"`
	TCBStatus   tee.Status `json:"tcbStatus"`
	AdvisoryIDs []string   `json:"advisoryIDs,omitempty"`
}

type tcbComponent struct {
	SVN      uint8  `json:"svn"`
	Category string `json:"category,omitempty"`
	Type     string `json:"type,omitempty"`
}

// qeIdentity says which quoting enclaves are the maker's (version 2).
type qeIdentity struct {
	ID                      string    `json:"id"`
	Version                 int       `json:"version"`
	IssueDate               string    `json:"issueDate"`
	NextUpdate              string    `json:"nextUpdate"`
	TCBEvaluationDataNumber uint32    `json:"tcbEvaluationDataNumber"`
	Miscselect              string    `json:"miscselect"`
	MiscselectMask          string    `json:"miscselectMask"`
	Attributes              string    `json:"attributes"`
	AttributesMask          string    `json:"attributesMask"`
	MRSIGNER                string    `json:"mrsigner"`
	ISVProdID               uint16    `json:"isvprodid"`
	TCBLevels               []qeLevel `json:"tcbLevels"`
}

type qeLevel struct {
	TCB struct {
		ISVSVN uint16 `json:"isvsvn"`
	} `json:"tcb"`
	TCBDate     string     `json:"tcbDate"`
	TCBStatus   tee.Status `json:"tcbStatus"`
	AdvisoryIDs []string   `json:"advisoryIDs,omitempty"`
}

// svn is a platform's security versions, reduced to what tells its levels
// apart: the microcode (components 0 and 1), the BIOS configuration (component 6) and the PCE.
type svn struct {
	microcode, configuration uint8
	pce                      uint16
}

// components spreads the versions over the 16 components, the others as on genuine platforms.
func (s svn) components() [16]byte {
	return [16]byte{s.microcode, s.microcode, 3, 3, 255, 255, s.configuration}
}

// levels are those of the simulated platform, best first. A platform that has
// exactly the versions of a level reaches that one and none before it.
var levels = []struct {
	status     tee.Status
	svn        svn
	date       string
	advisories []string
}{
	{tee.UpToDate, svn{16, 3, 13}, "2024-03-13T00:00:00Z", nil},
	{tee.SWHardeningNeeded, svn{16, 2, 13}, "2024-03-13T00:00:00Z", []string{"INTEL-SA-00615"}},
	{tee.ConfigurationNeeded, svn{16, 1, 13}, "2024-03-13T00:00:00Z", []string{"INTEL-SA-00657"}},
	{tee.ConfigurationAndSWHardeningNeeded, svn{16, 0, 13}, "2024-03-13T00:00:00Z", []string{"INTEL-SA-00657", "INTEL-SA-00767", "INTEL-SA-00615"}},
	{tee.OutOfDate, svn{12, 3, 13}, "2023-02-15T00:00:00Z", []string{"INTEL-SA-00828", "INTEL-SA-00615"}},
	{tee.OutOfDateConfigurationNeeded, svn{12, 0, 13}, "2023-02-15T00:00:00Z", []string{"INTEL-SA-00657", "INTEL-SA-00828", "INTEL-SA-00615"}},
	{tee.Revoked, svn{4, 0, 5}, "2018-01-04T00:00:00Z", []string{"INTEL-SA-00106", "INTEL-SA-00203"}},
}

// qeLevels are those of the simulated quoting enclave, best first.
var qeLevels = []struct {
	status     tee.Status
	isvsvn     uint16
	date       string
	advisories []string
}{
	{tee.UpToDate, 8, "2024-03-13T00:00:00Z", nil},
	{tee.OutOfDate, 6, "2021-11-10T00:00:00Z", []string{"INTEL-SA-00477"}},
	{tee.Revoked, 2, "2019-05-15T00:00:00Z", []string{"INTEL-SA-00219", "INTEL-SA-00477"}},
}

func newTCBInfo(l life) *tcbInfo {
	t := &tcbInfo{
		ID:                      "SGX",
		Version:                 3,
		FMSPC:                   "F0C7B0DE0000",
		PCEID:                   "0000",
		TCBEvaluationDataNumber: EvaluationNumber,
	}
	t.IssueDate, t.NextUpdate = l.dates()
	for _, l := range levels {
		level := tcbLevel{TCBDate: l.date, TCBStatus: l.status, AdvisoryIDs: l.advisories}
		level.TCB.PCESVN = l.svn.pce
		for i, v := range l.svn.components() {
			level.TCB.SGXTCBComponents[i].SVN = v
		}
		level.TCB.SGXTCBComponents[0].Category = "BIOS"
		level.TCB.SGXTCBComponents[0].Type = "Early Microcode Update"
		level.TCB.SGXTCBComponents[1].Category = "OS/VMM"
		level.TCB.SGXTCBComponents[1].Type = "SGX Late Microcode Update"
		t.TCBLevels = append(t.TCBLevels, level)
	}
	return t
}

func newQEIdentity(l life, mrsigner string) *qeIdentity {
	q := &qeIdentity{
		ID:                      "QE",
		Version:                 2,
		TCBEvaluationDataNumber: EvaluationNumber,
		Miscselect:              "00000000",
		MiscselectMask:          "FFFFFFFF",
		Attributes:              "11000000000000000000000000000000", // INIT, PROVISIONKEY
		AttributesMask:          "FBFFFFFFFFFFFFFF0000000000000000", // all flags but MODE64BIT, no XFRM
		MRSIGNER:                mrsigner,
		ISVProdID:               1,
	}
	q.IssueDate, q.NextUpdate = l.dates()
	for _, l := range qeLevels {
		level := qeLevel{TCBDate: l.date, TCBStatus: l.status, AdvisoryIDs: l.advisories}
		level.TCB.ISVSVN = l.isvsvn
		q.TCBLevels = append(q.TCBLevels, level)
	}
	return q
}

// dates are written as in TCB info and QE identity.
func (l life) dates() (from, to string) {
	return l.from.UTC().Format(time.RFC3339), l.to.UTC().Format(time.RFC3339)
}
