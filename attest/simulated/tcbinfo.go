package simulated

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// tcbInfo says how good which security versions of a platform are, in the order
// and spelling of Intel's PCS API v4 (version 3 of the document), appendix A.
type tcbInfo struct {
	ID                      string           `json:"id"`
	Version                 int              `json:"version"`
	IssueDate               string           `json:"issueDate"`
	NextUpdate              string           `json:"nextUpdate"`
	FMSPC                   string           `json:"fmspc"`
	PCEID                   string           `json:"pceId"`
	TCBType                 int              `json:"tcbType"`
	TCBEvaluationDataNumber uint32           `json:"tcbEvaluationDataNumber"`
	TDXModule               *seamIdentity    `json:"tdxModule,omitempty"`
	TDXModuleIdentities     []moduleIdentity `json:"tdxModuleIdentities,omitempty"`
	TCBLevels               []tcbLevel       `json:"tcbLevels"`
}

type tcbLevel struct {
	TCB         tcbVersions `json:"tcb"`
	TCBDate     string      `json:"tcbDate"`
	TCBStatus   tee.Status  `json:"tcbStatus"`
	AdvisoryIDs []string    `json:"advisoryIDs,omitempty"`
}

type tcbVersions struct {
	SGXTCBComponents [16]tcbComponent  `json:"sgxtcbcomponents"`
	PCESVN           uint16            `json:"pcesvn"`
	TDXTCBComponents *[16]tcbComponent `json:"tdxtcbcomponents,omitempty"`
}

type tcbComponent struct {
	SVN      uint8  `json:"svn"`
	Category string `json:"category,omitempty"`
	Type     string `json:"type,omitempty"`
}

// seamIdentity says which TDX modules (SEAM modules) are the maker's.
type seamIdentity struct {
	MRSIGNER       string `json:"mrsigner"`
	Attributes     string `json:"attributes"`
	AttributesMask string `json:"attributesMask"`
}

// moduleIdentity judges the modules of one major version.
type moduleIdentity struct {
	ID string `json:"id"`
	seamIdentity
	TCBLevels []isvLevel `json:"tcbLevels"`
}

// isvLevel is a level of a TDX module or of a quoting enclave.
type isvLevel struct {
	TCB struct {
		ISVSVN uint16 `json:"isvsvn"`
	} `json:"tcb"`
	TCBDate     string     `json:"tcbDate"`
	TCBStatus   tee.Status `json:"tcbStatus"`
	AdvisoryIDs []string   `json:"advisoryIDs,omitempty"`
}

func isvLevels(all []partLevel) (out []isvLevel) {
	for _, l := range all {
		level := isvLevel{TCBDate: l.date, TCBStatus: l.status, AdvisoryIDs: l.advisories}
		level.TCB.ISVSVN = l.isvsvn
		out = append(out, level)
	}
	return out
}

func newTCBInfo(c Config, l life) *tcbInfo {
	t := &tcbInfo{
		ID:                      strings.ToUpper(c.TEE),
		Version:                 c.TCBInfoVersion,
		FMSPC:                   strings.ToUpper(c.FMSPC),
		PCEID:                   "0000",
		TCBEvaluationDataNumber: EvaluationNumber,
	}
	t.IssueDate, t.NextUpdate = l.dates()
	for _, l := range levels {
		level := tcbLevel{TCBDate: l.date, TCBStatus: l.status, AdvisoryIDs: l.advisories}
		level.TCB.PCESVN = l.svn.pce
		level.TCB.SGXTCBComponents = named(l.svn.components(), sgxNames)
		if c.TEE == "tdx" {
			tdx := named(l.tdxComponents(), tdxNames)
			level.TCB.TDXTCBComponents = &tdx
		}
		t.TCBLevels = append(t.TCBLevels, level)
	}
	if c.TEE == "tdx" {
		t.TDXModule = intelSEAM()
		for _, m := range modules {
			t.TDXModuleIdentities = append(t.TDXModuleIdentities, moduleIdentity{m.id, *intelSEAM(), isvLevels(m.levels)})
		}
	}
	return t
}

// intelSEAM is the identity of all of Intel's production modules: zero, in each of its bits.
func intelSEAM() *seamIdentity {
	return &seamIdentity{MRSIGNER: strings.Repeat("0", 96), Attributes: strings.Repeat("0", 16), AttributesMask: strings.Repeat("F", 16)}
}

// componentName is what Intel calls a component; most have no name.
type componentName struct{ category, kind string }

var (
	sgxNames = []componentName{
		{"BIOS", "Early Microcode Update"}, {"OS/VMM", "SGX Late Microcode Update"}, {"OS/VMM", "TXT SINIT"},
		{"BIOS", ""}, {"BIOS", ""}, {"BIOS", ""}, {}, {"OS/VMM", "SEAMLDR ACM"},
	}
	tdxNames = []componentName{{"OS/VMM", "TDX Module"}, {"OS/VMM", "TDX Module"}, {"OS/VMM", "TDX Late Microcode Update"}}
)

func named(svns [16]byte, names []componentName) (out [16]tcbComponent) {
	for i, v := range svns {
		out[i].SVN = v
		if i < len(names) {
			out[i].Category, out[i].Type = names[i].category, names[i].kind
		}
	}
	return out
}

// MarshalJSON writes the document as its version has it. Version 2, of PCS API
// v3, knows SGX alone, has no id and names every component.
func (t *tcbInfo) MarshalJSON() ([]byte, error) {
	type version3 tcbInfo
	if t.Version != 2 {
		return json.Marshal((*version3)(t))
	}
	type level struct {
		TCB         json.RawMessage `json:"tcb"`
		TCBDate     string          `json:"tcbDate"`
		TCBStatus   tee.Status      `json:"tcbStatus"`
		AdvisoryIDs []string        `json:"advisoryIDs,omitempty"`
	}
	var all []level
	for _, l := range t.TCBLevels {
		var b bytes.Buffer
		for i, c := range l.TCB.SGXTCBComponents {
			fmt.Fprintf(&b, `"sgxtcbcomp%02dsvn":%d,`, i+1, c.SVN)
		}
		all = append(all, level{fmt.Appendf(nil, `{%s"pcesvn":%d}`, &b, l.TCB.PCESVN), l.TCBDate, l.TCBStatus, l.AdvisoryIDs})
	}
	return json.Marshal(struct {
		Version                 int     `json:"version"`
		IssueDate               string  `json:"issueDate"`
		NextUpdate              string  `json:"nextUpdate"`
		FMSPC                   string  `json:"fmspc"`
		PCEID                   string  `json:"pceId"`
		TCBType                 int     `json:"tcbType"`
		TCBEvaluationDataNumber uint32  `json:"tcbEvaluationDataNumber"`
		TCBLevels               []level `json:"tcbLevels"`
	}{t.Version, t.IssueDate, t.NextUpdate, t.FMSPC, t.PCEID, t.TCBType, t.TCBEvaluationDataNumber, all})
}

// dates are written as in TCB info and QE identity.
func (l life) dates() (from, to string) {
	return l.from.UTC().Format(time.RFC3339), l.to.UTC().Format(time.RFC3339)
}
