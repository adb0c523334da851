package dcap

import (
	"errors"
	"fmt"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// tcbInfo is Intel's judgement of a family of platforms: TCB info of version 3
// (Intel PCS API v4, "TCB Info V3"), for SGX or TDX, or of version 2 (API v3, "TCB Info V2"), for SGX.
type tcbInfo struct {
	tee        string // "sgx" or "tdx"
	version    uint64
	window     tee.Window // issueDate to nextUpdate
	fmspc      [6]byte
	pceID      [2]byte
	evaluation uint32
	levels     []tcbLevel // from the newest to the oldest
	names      componentNames

	module  *moduleIdentity   // TDX: of the major version 0
	modules []*moduleIdentity // TDX: of the others
}

var tcbInfoNames = names{
	required: []string{"version", "issueDate", "nextUpdate", "fmspc", "pceId", "tcbType", "tcbEvaluationDataNumber", "tcbLevels"},
	optional: []string{"id", "tdxModule", "tdxModuleIdentities"}, // see check
}

// documentIDs are what the documents call the environments: TCB info, QE identity.
var documentIDs = map[string]struct{ tcb, qe string }{"sgx": {"SGX", "QE"}, "tdx": {"TDX", "TD_QE"}}

// parseTCBInfo reads the signed object, which must be about the given environment, "sgx" or "tdx"
// ("" for either). Its signature is the caller's question.
func parseTCBInfo(text, want string) (*tcbInfo, error) {
	t := &tcbInfo{levels: make([]tcbLevel, 0, 16)}
	err := readDocument(text, tcbInfoNames, func(d *document, name string) error { return t.read(d, name, want) })
	if err == nil {
		err = t.check(want)
	}
	if err != nil {
		return nil, fmt.Errorf("TCB info: %w", err)
	}
	return t, nil
}

func (t *tcbInfo) read(d *document, name, want string) (err error) {
	switch name {
	case "id":
		return t.readID(d, want)
	case "version":
		t.version, err = d.uint(1 << 32)
		if err == nil && t.version != 2 && t.version != 3 {
			err = fmt.Errorf("got %d, want 3, or 2 of the PCS API v3", t.version)
		}
	case "issueDate":
		t.window.NotBefore, err = d.time()
	case "nextUpdate":
		t.window.NotAfter, err = d.time()
	case "fmspc":
		return d.hex(t.fmspc[:])
	case "pceId":
		return d.hex(t.pceID[:])
	case "tcbType":
		// How levels are compared. Intel defines 0 alone: each component by itself.
		return d.number(0)
	case "tcbEvaluationDataNumber":
		n, err := d.uint(1<<32 - 1)
		t.evaluation = uint32(n)
		return err
	case "tcbLevels":
		return t.readLevels(d)
	case "tdxModule":
		t.module = new(moduleIdentity)
		return t.module.read(d, moduleNames)
	case "tdxModuleIdentities":
		return t.readModules(d)
	}
	return err
}

func (t *tcbInfo) readID(d *document, want string) error {
	id, err := d.str()
	if err != nil {
		return err
	}
	for name, ids := range documentIDs {
		if ids.tcb == id && (want == "" || want == name) {
			t.tee = name
			return nil
		}
	}
	if want == "" {
		return fmt.Errorf("got %.40q, want \"SGX\" or \"TDX\"", id)
	}
	return fmt.Errorf("got %.40q, want %q", id, documentIDs[want].tcb)
}

// check checks that all members are there that a document of its kind has, and no others.
func (t *tcbInfo) check(want string) error {
	if len(t.levels) == 0 {
		return in("tcbLevels", errors.New("it is empty"))
	}
	tdx := t.tee == "tdx"
	switch {
	case t.version == 3 && t.tee == "":
		return errors.New(`"id" is missing`)
	case t.version == 2 && t.tee != "":
		return in("id", errors.New("version 2 has none"))
	case t.version == 2 && want == "tdx":
		return errors.New("version 2 is about SGX, want version 3 about TDX")
	case tdx && t.module == nil:
		return errors.New(`"tdxModule" is missing`)
	case !tdx && (t.module != nil || t.modules != nil):
		return errors.New("it is about SGX, but has a TDX module")
	}
	if t.version == 2 {
		t.tee = "sgx"
	}
	for i := range t.levels {
		if err := t.levels[i].check(t.version, tdx); err != nil {
			return in("tcbLevels", in(fmt.Sprintf("[%d]", i), in("tcb", err)))
		}
	}
	return nil
}

// match checks that the document is about the platform. Both are compared as
// bytes: Intel writes their hex digits in either case.
func (t *tcbInfo) match(p *PCK) error {
	switch {
	case t.fmspc != p.FMSPC:
		return fmt.Errorf("TCB info: fmspc: got %x, want %x, which the PCK certificate has", t.fmspc, p.FMSPC)
	case t.pceID != p.PCEID:
		return fmt.Errorf("TCB info: pceId: got %x, want %x, which the PCK certificate has", t.pceID, p.PCEID)
	}
	return nil
}
