package dcap

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// replaced puts new for the first old in the document, which must be there.
func replaced(document *string, old, new string) {
	if !strings.Contains(*document, old) {
		panic(fmt.Sprintf("the document has no %q", old))
	}
	*document = strings.Replace(*document, old, new, 1)
}

func tcbInfoWith(old, new string) func(*forge) {
	return func(f *forge) { replaced(&f.tcbInfo, old, new) }
}

func qeIdentityWith(old, new string) func(*forge) {
	return func(f *forge) { replaced(&f.qeIdentity, old, new) }
}

// extensionWith replaces one field of the PCK's TCB.
func extensionWith(i int, field []byte) func(*forge) {
	return func(f *forge) {
		tcb := tcbFields()
		tcb[i] = field
		fields := standardFields()
		fields[1] = sgxField(rawDER(sgxExtension(tcb...)), 2)
		f.extension = sgxExtension(fields...)
	}
}

func TestLevels(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*forge)
		want   tee.TCB
	}{
		{"the newest", func(*forge) {}, tee.TCB{Status: tee.UpToDate, Platform: tee.UpToDate, QE: tee.UpToDate}},
		{"above the newest", extensionWith(3, sgxField(255, 2, 4)), tee.TCB{Status: tee.UpToDate, Platform: tee.UpToDate, QE: tee.UpToDate}},
		{"the last component short", extensionWith(15, sgxField(1, 2, 16)), tee.TCB{
			Status: tee.OutOfDate, Platform: tee.OutOfDate, QE: tee.UpToDate,
			Advisories: []string{"INTEL-SA-00001", "INTEL-SA-00002"},
			Shortfalls: []tee.Shortfall{{Part: "platform", Component: "sgxtcbcomponents[15]", Have: 1, Want: 2}},
		}},
		{"PCESVN short", extensionWith(16, sgxField(12, 2, 17)), tee.TCB{
			Status: tee.OutOfDate, Platform: tee.OutOfDate, QE: tee.UpToDate,
			Advisories: []string{"INTEL-SA-00001", "INTEL-SA-00002"},
			Shortfalls: []tee.Shortfall{{Part: "platform", Component: "pcesvn", Have: 12, Want: 13}},
		}},
		{"quoting enclave short", func(f *forge) { f.quote.Signature.QE.Report.ISVSVN = 7 }, tee.TCB{
			Status: tee.OutOfDate, Platform: tee.UpToDate, QE: tee.OutOfDate,
			Advisories: []string{"INTEL-SA-00001", "INTEL-SA-00003"},
			Shortfalls: []tee.Shortfall{{Part: "qe", Component: "qe.isvsvn", Have: 7, Want: 8}},
		}},
		{"both short", func(f *forge) {
			f.quote.Signature.QE.Report.ISVSVN = 5
			extensionWith(0, sgxField(1, 2, 1))(f)
		}, tee.TCB{
			Status: tee.OutOfDate, Platform: tee.OutOfDate, QE: tee.OutOfDate,
			Advisories: []string{"INTEL-SA-00001", "INTEL-SA-00002", "INTEL-SA-00003"},
			Shortfalls: []tee.Shortfall{{Part: "platform", Component: "sgxtcbcomponents[0]", Have: 1, Want: 2}, {Part: "qe", Component: "qe.isvsvn", Have: 5, Want: 8}},
		}},
		{"a revoked platform is a fact", tcbInfoWith("UpToDate", "Revoked"), tee.TCB{Status: tee.Revoked, Platform: tee.Revoked, QE: tee.UpToDate}},
		{"a revoked quoting enclave is a fact", qeIdentityWith("UpToDate", "Revoked"), tee.TCB{Status: tee.Revoked, Platform: tee.UpToDate, QE: tee.Revoked}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newForge()
			test.change(f)
			r, err := f.verify(t)
			if err != nil {
				t.Fatal(err)
			}
			test.want.EvaluationNumber = 17
			got := r.TCB
			got.Levels, got.Remedies = nil, nil // see TestVectors and TestRemedies
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// TestConvergence is Intel's convergence table: what becomes of a platform's status beside a quoting enclave's.
func TestConvergence(t *testing.T) {
	const (
		up, sw, conf, confSW = tee.UpToDate, tee.SWHardeningNeeded, tee.ConfigurationNeeded, tee.ConfigurationAndSWHardeningNeeded
		out, outConf, no     = tee.OutOfDate, tee.OutOfDateConfigurationNeeded, tee.Revoked
	)
	for _, test := range []struct{ platform, beside, want tee.Status }{
		{up, up, up}, {sw, up, sw}, {conf, up, conf}, {confSW, up, confSW}, {out, up, out}, {outConf, up, outConf}, {no, up, no},
		{up, out, out}, {sw, out, out}, {conf, out, outConf}, {confSW, out, outConf}, {out, out, out}, {outConf, out, outConf}, {no, out, no},
		{up, no, no}, {sw, no, no}, {conf, no, no}, {confSW, no, no}, {out, no, no}, {outConf, no, no}, {no, no, no},
		{up, sw, sw}, {conf, sw, confSW}, {out, conf, outConf},
		{up, "Excellent", no}, // cannot come up, and would be refused if it did
	} {
		if got := converge(test.platform, test.beside); got != test.want {
			t.Errorf("%s beside %s: got %s, want %s", test.platform, test.beside, got, test.want)
		}
		if got := converge(test.beside, test.platform); got != test.want {
			t.Errorf("%s beside %s: got %s, want %s", test.beside, test.platform, got, test.want)
		}
		if test.beside == "Excellent" {
			continue
		}
		f := newForge()
		replaced(&f.tcbInfo, "UpToDate", string(test.platform))
		replaced(&f.qeIdentity, "UpToDate", string(test.beside))
		r, err := f.verify(t)
		if err != nil {
			t.Fatal(err)
		}
		if r.TCB.Status != test.want || r.TCB.Platform != test.platform || r.TCB.QE != test.beside {
			t.Errorf("%s beside %s: got %+v", test.platform, test.beside, r.TCB)
		}
	}
}

func TestUnreachedLevels(t *testing.T) {
	refuse(t, []hostile{
		{"platform below all levels", func(f *forge) {
			extensionWith(2, sgxField(0, 2, 3))(f)
			replaced(&f.tcbInfo, `"pcesvn":5`, `"pcesvn":14`)
		}, "TCB info: the platform reaches none of the 2 levels; of the lowest it misses: sgxtcbcomponents[2] is 0, want 1; pcesvn is 13, want 14"},
		{"quoting enclave below all levels", func(f *forge) { f.quote.Signature.QE.Report.ISVSVN = 4 },
			"QE identity: the quoting enclave reaches none of the 2 levels; of the lowest it misses: qe.isvsvn is 4, want 5"},
	})
}

func TestNotOfThisPlatform(t *testing.T) {
	refuse(t, []hostile{
		{"fmspc", tcbInfoWith("00906ED50000", "00906ED50001"), "TCB info: fmspc: got 00906ed50001, want 00906ed50000, which the PCK certificate has"},
		{"pceId", tcbInfoWith(`"pceId":"0000"`, `"pceId":"0001"`), "TCB info: pceId: got 0001, want 0000, which the PCK certificate has"},
		{"miscselect", func(f *forge) { f.quote.Signature.QE.Report.MiscSelect[0] = 1 }, "quoting enclave: miscselect: got 01000000, want 00000000 by the mask ffffffff"},
		{"a debug quoting enclave", func(f *forge) { f.quote.Signature.QE.Report.Attributes[0] |= 2 }, "quoting enclave: attributes: got 1300"},
		{"mrsigner", func(f *forge) { f.quote.Signature.QE.Report.MRSIGNER[31]++ }, "quoting enclave: mrsigner: got 8c4f"},
		{"isvprodid", func(f *forge) { f.quote.Signature.QE.Report.ISVProdID = 2 }, "quoting enclave: isvprodid: got 2, want 1"},
	})
}

// TestIndifferent: what Intel leaves open stays open.
func TestIndifferent(t *testing.T) {
	for name, change := range map[string]func(*forge){
		"fmspc in lower case": tcbInfoWith("00906ED50000", "00906ed50000"),
		"masked attributes":   func(f *forge) { f.quote.Signature.QE.Report.Attributes[0] |= 4 },
		"masked XFRM":         func(f *forge) { f.quote.Signature.QE.Report.Attributes[9] = 0xff },
		"attributes outside of the mask in the identity": qeIdentityWith(`"attributes":"11000000000000000000000000000000"`, `"attributes":"11000000000000000000000000000001"`),
		"masked miscselect": func(f *forge) {
			f.quote.Signature.QE.Report.MiscSelect = [4]byte{0xd1, 0x82, 0xb1, 0x8c}
			replaced(&f.qeIdentity, `"miscselectMask":"FFFFFFFF"`, `"miscselectMask":"2E7D4E73"`)
		},
		"miscselect in the report's order": func(f *forge) {
			f.quote.Signature.QE.Report.MiscSelect = [4]byte{0xd1, 0x82, 0xb1, 0x8c}
			replaced(&f.qeIdentity, `"miscselect":"00000000"`, `"miscselect":"D182B18C"`)
		},
		"unknown members": func(f *forge) {
			replaced(&f.tcbInfo, `{"id"`, `{"new":[{"a":null,"b":[true,false,{}]},"x",12,[]],"id"`)
		},
		"white space":            func(f *forge) { replaced(&f.tcbInfo, `{"id":`, "\r\n{ \t\"id\" :\n ") },
		"no authentication data": func(f *forge) { f.quote.Signature.QE.AuthData = nil },
		"the processor CA":       func(f *forge) { f.ca.Subject.CommonName = nameProcessorCA },
	} {
		t.Run(name, func(t *testing.T) {
			f := newForge()
			change(f)
			r, err := f.verify(t)
			if err != nil {
				t.Fatal(err)
			}
			if r.TCB.Status != tee.UpToDate {
				t.Errorf("got %+v", r.TCB)
			}
		})
	}
}

func TestHostileTCBInfo(t *testing.T) {
	component := `{"svn":2},`
	refuse(t, []hostile{
		{"TDX", tcbInfoWith(`"SGX"`, `"TDX"`), `TCB info: id: got "TDX", want "SGX"`},
		{"version 4", tcbInfoWith(`"version":3`, `"version":4`), "TCB info: version: got 4, want 3, or 2 of the PCS API v3"},
		{"version 2 with an id", tcbInfoWith(`"version":3`, `"version":2`), "TCB info: id: version 2 has none"},
		{"version 3 without an id", tcbInfoWith(`"id":"SGX",`, ``), `TCB info: "id" is missing`},
		{"version 2 with levels of version 3", func(f *forge) {
			replaced(&f.tcbInfo, `"id":"SGX",`, ``)
			replaced(&f.tcbInfo, `"version":3`, `"version":2`)
		}, `TCB info: tcbLevels[0].tcb: "sgxtcbcomp01svn" is missing`},
		{"version 3 with levels of version 2", tcbInfoWith(`"sgxtcbcomponents":`, `"sgxtcbcomp01svn":1,"new":`), `TCB info: tcbLevels[0].tcb: "sgxtcbcomponents" is missing`},
		{"a level of both versions", tcbInfoWith(`"pcesvn":5`, `"pcesvn":5,"sgxtcbcomp01svn":1`), "TCB info: tcbLevels[1].tcb: components both as in version 2 and as in version 3"},
		{"a TDX module", tcbInfoWith(`"tcbType":0`, `"tdxModule":{"mrsigner":"`+strings.Repeat("00", 48)+`","attributes":"0000000000000000","attributesMask":"FFFFFFFFFFFFFFFF"},"tcbType":0`), "TCB info: it is about SGX, but has a TDX module"},
		{"no tcbDate", tcbInfoWith(`"tcbDate":"2024-03-13T00:00:00Z",`, ``), `TCB info: tcbLevels[1]: "tcbDate" is missing`},
		{"a date that is no day", tcbInfoWith(`"2024-03-13T00:00:00Z"`, `"2024-02-30T00:00:00Z"`), `TCB info: tcbLevels[1].tcbDate: got "2024-02-30T00:00:00Z", want an instant`},
		{"another tcbType", tcbInfoWith(`"tcbType":0`, `"tcbType":1`), "TCB info: tcbType: got 1, want 0"},
		{"no fmspc", tcbInfoWith(`"fmspc":"00906ED50000",`, ``), `TCB info: "fmspc" is missing`},
		{"fmspc too short", tcbInfoWith(`"00906ED50000"`, `"00906ED500"`), "TCB info: fmspc: got 10 hex digits, want 12"},
		{"fmspc no hex", tcbInfoWith(`"00906ED50000"`, `"00906ED5000g"`), "TCB info: fmspc: encoding/hex: invalid byte"},
		{"fmspc escaped", tcbInfoWith(`"00906ED50000"`, `"\u00300906ED50000"`), "TCB info: fmspc: got the byte 0x5c at offset"},
		{"a name escaped", tcbInfoWith(`"fmspc"`, `"fmsp\u0063"`), "TCB info: got the byte 0x5c at offset"},
		{"fmspc twice", tcbInfoWith(`"fmspc"`, `"fmspc":"000000000000","fmspc"`), `TCB info: "fmspc" and "fmspc": a name may come once only`},
		{"fmspc in another case beside", tcbInfoWith(`"fmspc"`, `"FMSPC":"000000000000","fmspc"`), `TCB info: got the name "FMSPC", want "fmspc"`},
		{"an unknown name in two spellings", tcbInfoWith(`"fmspc"`, `"new":1,"NEW":2,"fmspc"`), `TCB info: "new" and "NEW": a name may come once only, in one spelling`},
		{"too many names", tcbInfoWith(`"fmspc"`, manyNames(33)+`"fmspc"`), "TCB info: got more than 32 members"},
		{"nested too deep", tcbInfoWith(`"fmspc"`, `"new":`+strings.Repeat("[", 17)+strings.Repeat("]", 17)+`,"fmspc"`), "nested deeper than 16 levels"},
		{"issueDate with an offset", tcbInfoWith(`2025-06-01T00:00:00Z`, `2025-06-01T00:00:00+00:00`), `TCB info: issueDate: got "2025-06-01T00:00:00+00:00", want an instant`},
		{"issueDate with a fraction", tcbInfoWith(`2025-06-01T00:00:00Z`, `2025-06-01T00:00:00.5Z`), `TCB info: issueDate: got`},
		{"evaluation number too large", tcbInfoWith(`"tcbEvaluationDataNumber":17`, `"tcbEvaluationDataNumber":4294967296`), "TCB info: tcbEvaluationDataNumber: got a number above 4294967295"},
		{"evaluation number negative", tcbInfoWith(`"tcbEvaluationDataNumber":17`, `"tcbEvaluationDataNumber":-1`), "TCB info: tcbEvaluationDataNumber: malformed JSON: got '-' at offset"},
		{"evaluation number with an exponent", tcbInfoWith(`"tcbEvaluationDataNumber":17`, `"tcbEvaluationDataNumber":1e1`), "TCB info: malformed JSON: got 'e' at offset"},
		{"evaluation number with a leading zero", tcbInfoWith(`"tcbEvaluationDataNumber":17`, `"tcbEvaluationDataNumber":017`), "TCB info: tcbEvaluationDataNumber: got a number with a leading zero"},
		{"no levels", func(f *forge) { f.tcbInfo = f.tcbInfo[:strings.Index(f.tcbInfo, `[{"tcb"`)] + "[]}" }, "TCB info: tcbLevels: it is empty"},
		{"15 components", tcbInfoWith(component, ``), "TCB info: tcbLevels[0].tcb.sgxtcbcomponents: got 15 components, want 16"},
		{"17 components", tcbInfoWith(component, component+component), "TCB info: tcbLevels[0].tcb.sgxtcbcomponents[16]: got more than 16 components"},
		{"component above 255", tcbInfoWith(component, `{"svn":256},`), "TCB info: tcbLevels[0].tcb.sgxtcbcomponents[0].svn: got a number above 255"},
		{"component without svn", tcbInfoWith(component, `{},`), `TCB info: tcbLevels[0].tcb.sgxtcbcomponents[0]: "svn" is missing`},
		{"component that is a number", tcbInfoWith(component, `2,`), "TCB info: tcbLevels[0].tcb.sgxtcbcomponents[0]: malformed JSON: got '2' at offset"},
		{"pcesvn above 65535", tcbInfoWith(`"pcesvn":13`, `"pcesvn":65536`), "TCB info: tcbLevels[0].tcb.pcesvn: got a number above 65535"},
		{"no pcesvn", tcbInfoWith(`,"pcesvn":5`, ``), `TCB info: tcbLevels[1].tcb: "pcesvn" is missing`},
		{"unknown status", tcbInfoWith(`"UpToDate"`, `"Excellent"`), `TCB info: tcbLevels[0].tcbStatus: got the unknown status "Excellent"`},
		{"no status", tcbInfoWith(`,"tcbStatus":"UpToDate"`, ``), `TCB info: tcbLevels[0]: "tcbStatus" is missing`},
		{"advisories not a list", tcbInfoWith(`["INTEL-SA-00002","INTEL-SA-00001"]`, `"INTEL-SA-00002"`), "TCB info: tcbLevels[1].advisoryIDs: malformed JSON"},
		{"an advisory that is null", tcbInfoWith(`"INTEL-SA-00001"`, `null`), "TCB info: tcbLevels[1].advisoryIDs[1]: malformed JSON: got 'n'"},
		{"a comma too many", tcbInfoWith(`"INTEL-SA-00001"`, `"INTEL-SA-00001",`), "TCB info: tcbLevels[1].advisoryIDs[2]: malformed JSON: got ']'"},
		{"something behind", func(f *forge) { f.tcbInfo += "x" }, "TCB info: something follows the JSON object"},
		{"cut short", func(f *forge) { f.tcbInfo = f.tcbInfo[:len(f.tcbInfo)-1] }, "TCB info: malformed JSON: ends at offset"},
		{"not ASCII", tcbInfoWith(`"fmspc"`, `"é":1,"fmspc"`), "collateral: tcb_info: got characters outside of ASCII"},
	})
}

func TestHostileQEIdentity(t *testing.T) {
	refuse(t, []hostile{
		{"of the TDX quoting enclave", qeIdentityWith(`"QE"`, `"TD_QE"`), `QE identity: id: got "TD_QE", want "QE"`},
		{"version 1", qeIdentityWith(`"version":2`, `"version":1`), "QE identity: version: got 1, want 2"},
		{"no mask", qeIdentityWith(`"attributesMask":"FBFFFFFFFFFFFFFF0000000000000000",`, ``), `QE identity: "attributesMask" is missing`},
		{"miscselect too long", qeIdentityWith(`"miscselect":"00000000"`, `"miscselect":"0000000000"`), "QE identity: miscselect: got 10 hex digits, want 8"},
		{"isvprodid above 65535", qeIdentityWith(`"isvprodid":1`, `"isvprodid":65536`), "QE identity: isvprodid: got a number above 65535"},
		{"no levels", func(f *forge) { f.qeIdentity = f.qeIdentity[:strings.Index(f.qeIdentity, `[{"tcb"`)] + "[]}" }, "QE identity: tcbLevels: it is empty"},
		{"level without isvsvn", qeIdentityWith(`"isvsvn":5`, `"svn":5`), `QE identity: tcbLevels[1].tcb: "isvsvn" is missing`},
		{"level with two isvsvn", qeIdentityWith(`"isvsvn":5`, `"isvsvn":5,"isvSvn":1`), `QE identity: tcbLevels[1].tcb: "isvsvn" and "isvSvn": a name may come once only, in one spelling`},
		{"unknown status", qeIdentityWith(`"OutOfDate"`, `"outofdate"`), `QE identity: tcbLevels[1].tcbStatus: got the unknown status "outofdate"`},
	})
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"new%d":0,`, i)
	}
	return b.String()
}
