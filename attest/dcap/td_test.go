package dcap

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// TestTDLevels: how the platform, the module and the quoting enclave of a trust domain are judged.
func TestTDLevels(t *testing.T) {
	const up, out = tee.UpToDate, tee.OutOfDate
	module := func(have uint16) tee.Shortfall {
		return tee.Shortfall{Part: "module", Component: "module.isvsvn", Have: have, Want: 6}
	}
	for _, test := range []struct {
		name   string
		change func(*forge)
		want   tee.TCB
	}{
		{"the newest", func(*forge) {}, tee.TCB{Status: up, Platform: up, Module: up, QE: up}},
		{"above the newest", func(f *forge) { f.quote.TD.TEETCBSVN = [16]byte{255, 0x1a, 255, 255} }, tee.TCB{Status: up, Platform: up, Module: up, QE: up}},
		{"another module", func(f *forge) { f.quote.TD.TEETCBSVN = [16]byte{7, 3, 5} }, tee.TCB{Status: up, Platform: up, Module: up, QE: up}},
		{"an old module", func(f *forge) { f.quote.TD.TEETCBSVN[0] = 5 }, tee.TCB{
			Status: out, Platform: up, Module: out, QE: up, Advisories: []string{"INTEL-SA-00007"}, Shortfalls: []tee.Shortfall{module(5)},
		}},
		{"the components 0 and 1 do not count with a major version", tcbInfoWith(`"tdxtcbcomponents":[{"svn":2`, `"tdxtcbcomponents":[{"svn":99`), tee.TCB{Status: up, Platform: up, Module: up, QE: up}},
		{"the component 2 counts", func(f *forge) { f.quote.TD.TEETCBSVN[2] = 4 }, tee.TCB{
			Status: out, Platform: out, Module: up, QE: up, Advisories: []string{"INTEL-SA-00002"},
			Shortfalls: []tee.Shortfall{{Part: "platform", Component: "tdxtcbcomponents[2]", Name: "OS/VMM, TDX Late Microcode Update", Have: 4, Want: 5}},
		}},
		{"a module without a major version is a component", func(f *forge) { f.quote.TD.TEETCBSVN = [16]byte{2, 0, 5} }, tee.TCB{Status: up, Platform: up, QE: up}},
		{"an old one without a major version", func(f *forge) { f.quote.TD.TEETCBSVN = [16]byte{1, 0, 5} }, tee.TCB{
			Status: out, Platform: out, QE: up, Advisories: []string{"INTEL-SA-00002"},
			Shortfalls: []tee.Shortfall{{Part: "platform", Component: "tdxtcbcomponents[0]", Name: "OS/VMM, TDX Module", Have: 1, Want: 2}},
		}},
		{"an old platform", extensionWith(15, sgxField(1, 2, 16)), tee.TCB{
			Status: out, Platform: out, Module: up, QE: up, Advisories: []string{"INTEL-SA-00002"},
			Shortfalls: []tee.Shortfall{{Part: "platform", Component: "sgxtcbcomponents[15]", Have: 1, Want: 2}},
		}},
		{"all old", func(f *forge) {
			f.quote.TD.TEETCBSVN = [16]byte{3, 0x1a, 4}
			f.quote.Signature.QE.Report.ISVSVN = 5
			extensionWith(16, sgxField(5, 2, 17))(f)
		}, tee.TCB{
			Status: out, Platform: out, Module: out, QE: out, Advisories: []string{"INTEL-SA-00002", "INTEL-SA-00003", "INTEL-SA-00007"},
			Shortfalls: []tee.Shortfall{
				{Part: "platform", Component: "tdxtcbcomponents[2]", Name: "OS/VMM, TDX Late Microcode Update", Have: 4, Want: 5},
				{Part: "platform", Component: "pcesvn", Have: 5, Want: 13},
				module(3),
				{Part: "qe", Component: "qe.isvsvn", Have: 5, Want: 8},
			},
		}},
		{"a revoked module is a fact", tcbInfoWith(`{"isvsvn":6},"tcbDate":"2025-03-13T00:00:00Z","tcbStatus":"UpToDate"`, `{"isvsvn":6},"tcbDate":"2025-03-13T00:00:00Z","tcbStatus":"Revoked"`),
			tee.TCB{Status: tee.Revoked, Platform: up, Module: tee.Revoked, QE: up}},
		{"a module id in lower case", tcbInfoWith(`"TDX_1A"`, `"tdx_1a"`), tee.TCB{Status: up, Platform: up, Module: up, QE: up}},
		{"no identities, and no need for them", func(f *forge) {
			f.quote.TD.TEETCBSVN = [16]byte{2, 0, 5}
			dropIdentities(f)
		}, tee.TCB{Status: up, Platform: up, QE: up}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, version := range []uint16{4, 5} {
				f := newTDForge(version)
				test.change(f)
				r, err := f.verify(t)
				if err != nil {
					t.Fatal(err)
				}
				test.want.EvaluationNumber = 17
				got := r.TCB
				if want := 2 + min(1, len(got.Module)); len(got.Levels) != want {
					t.Errorf("got the levels %+v, want %d", got.Levels, want)
				}
				got.Levels, got.Remedies = nil, nil
				if !reflect.DeepEqual(got, test.want) {
					t.Errorf("version %d: got %+v\nwant %+v", version, got, test.want)
				}
			}
		})
	}
}

// dropIdentities takes the member tdxModuleIdentities away.
func dropIdentities(f *forge) {
	i := strings.Index(f.tcbInfo, `"tdxModuleIdentities"`)
	f.tcbInfo = f.tcbInfo[:i] + f.tcbInfo[strings.Index(f.tcbInfo, `"tcbLevels":[{"tcb":{"sgx`):]
}

// TestTDConvergence: the module's status counts as the quoting enclave's does.
func TestTDConvergence(t *testing.T) {
	const level = `{"isvsvn":6},"tcbDate":"2025-03-13T00:00:00Z","tcbStatus":"`
	for _, test := range []struct{ platform, module, want tee.Status }{
		{tee.UpToDate, tee.OutOfDate, tee.OutOfDate}, {tee.SWHardeningNeeded, tee.OutOfDate, tee.OutOfDate},
		{tee.ConfigurationNeeded, tee.OutOfDate, tee.OutOfDateConfigurationNeeded},
		{tee.ConfigurationAndSWHardeningNeeded, tee.OutOfDate, tee.OutOfDateConfigurationNeeded},
		{tee.OutOfDate, tee.UpToDate, tee.OutOfDate}, {tee.OutOfDateConfigurationNeeded, tee.OutOfDate, tee.OutOfDateConfigurationNeeded},
		{tee.SWHardeningNeeded, tee.UpToDate, tee.SWHardeningNeeded}, {tee.UpToDate, tee.Revoked, tee.Revoked}, {tee.Revoked, tee.UpToDate, tee.Revoked},
	} {
		f := newTDForge(4)
		replaced(&f.tcbInfo, level+"UpToDate", level+string(test.module))
		replaced(&f.tcbInfo, `Z","tcbStatus":"UpToDate"},{"tcb":{"sgx`, `Z","tcbStatus":"`+string(test.platform)+`"},{"tcb":{"sgx`)
		r, err := f.verify(t)
		if err != nil {
			t.Fatal(err)
		}
		if r.TCB.Status != test.want || r.TCB.Platform != test.platform || r.TCB.Module != test.module {
			t.Errorf("%s with a module %s: got %+v, want %s", test.platform, test.module, r.TCB, test.want)
		}
	}
}

// TestTDOfBothCAs: either PCK CA certifies platforms with TDX.
func TestTDOfBothCAs(t *testing.T) {
	for which, name := range map[string]string{"processor": nameProcessorCA, "platform": namePlatformCA} {
		f := newTDForge(4)
		f.ca.Subject.CommonName = name
		r, err := f.verify(t)
		if err != nil {
			t.Fatal(err)
		}
		if r.PCKCA != which || r.TCB.Status != tee.UpToDate {
			t.Errorf("got %q, %+v, want %q", r.PCKCA, r.TCB, which)
		}
	}
}

func TestHostileTD(t *testing.T) {
	td := func(change func(*TDReport)) func(*forge) { return func(f *forge) { change(f.quote.TD) } }
	refuseFrom(t, func() *forge { return newTDForge(4) }, []hostile{
		{"no identity of the module", td(func(r *TDReport) { r.TEETCBSVN[1] = 5 }),
			"TCB info: tdxModuleIdentities: got TDX_03, TDX_1A, want TDX_05, since TEE_TCB_SVN[1], the major version of the TDX module, is 5"},
		{"no identities at all", dropIdentities, "TCB info: tdxModuleIdentities: got none, want TDX_1A"},
		{"module below all levels", td(func(r *TDReport) { r.TEETCBSVN[0] = 2 }),
			"TCB info: TDX_1A: the TDX module reaches none of the 2 levels: TEE_TCB_SVN[0], its isvsvn, is 2, and the lowest wants 3"},
		{"platform below all levels", td(func(r *TDReport) { r.TEETCBSVN[2] = 3 }),
			"TCB info: the platform reaches none of the 2 levels; of the lowest it misses: tdxtcbcomponents[2] (OS/VMM, TDX Late Microcode Update) is 3, want 4"},
		{"module without a major version below all levels", td(func(r *TDReport) { r.TEETCBSVN = [16]byte{0, 0, 9} }),
			"of the lowest it misses: tdxtcbcomponents[0] (OS/VMM, TDX Module) is 0, want 1"},
		{"quoting enclave below all levels", func(f *forge) { f.quote.Signature.QE.Report.ISVSVN = 4 }, "QE identity: the quoting enclave reaches none of the 2 levels"},
		{"a module of another signer", td(func(r *TDReport) { r.MRSIGNERSEAM[47] = 1 }), "TDX module: mrsignerseam: got 0000"},
		{"a module of another signer than its identity's", func(f *forge) {
			i := strings.Index(f.tcbInfo, `"TDX_1A","mrsigner":"`) + len(`"TDX_1A","mrsigner":"`)
			f.tcbInfo = f.tcbInfo[:i] + "ff" + f.tcbInfo[i+2:]
		}, "as in the TCB info's TDX_1A"},
		{"without a major version, of another signer than tdxModule's", func(f *forge) {
			f.quote.TD.TEETCBSVN = [16]byte{2, 0, 5}
			replaced(&f.tcbInfo, `"tdxModule":{"mrsigner":"00`, `"tdxModule":{"mrsigner":"01`)
		}, "as in the TCB info's tdxModule"},
		{"SEAM attributes", td(func(r *TDReport) { r.SEAMAttributes[7] = 1 }), "TDX module: seam_attributes: got 0000000000000001, want 0000000000000000 by the mask ffffffffffffffff as in the TCB info's TDX_1A"},
		{"SEAM attributes that the mask lets through", func(f *forge) {
			f.tcbInfo = strings.ReplaceAll(f.tcbInfo, `"attributesMask":"FFFFFFFFFFFFFFFF"`, `"attributesMask":"0000000000000000"`)
			f.quote.TD.SEAMAttributes[0] = 1
		}, "TDX module: seam_attributes: got 0100000000000000, want zero, as a module in production has it"},
		{"TCB info of SGX", func(f *forge) { f.tcbInfo = forgedTCBInfo }, `TCB info: id: got "SGX", want "TDX"`},
		{"TCB info of version 2", func(f *forge) { f.tcbInfo = forgedTCBInfo2() }, "TCB info: version 2 is about SGX, want version 3 about TDX"},
		{"QE identity of SGX", func(f *forge) { f.qeIdentity = forgedQEIdentity }, `QE identity: id: got "QE", want "TD_QE"`},
		{"a quoting enclave of SGX", func(f *forge) { f.quote.Signature.QE.Report.ISVProdID = 1 }, "quoting enclave: isvprodid: got 1, want 2"},
		{"no tdxModule", tcbInfoWith(`"tdxModule":{`, `"tdxmodul":{`), `TCB info: "tdxModule" is missing`},
		{"tdxModule in another case", tcbInfoWith(`"tdxModule":{`, `"TDXModule":{`), `TCB info: got the name "TDXModule", want "tdxModule"`},
		{"tdxModule without a mask", tcbInfoWith(`"attributesMask"`, `"mask"`), `TCB info: tdxModule: "attributesMask" is missing`},
		{"a signer too short", tcbInfoWith(`"mrsigner":"00`, `"mrsigner":"`), "TCB info: tdxModule.mrsigner: got 94 hex digits, want 96"},
		{"an identity twice", tcbInfoWith(`"TDX_03"`, `"tdx_1A"`), `TCB info: tdxModuleIdentities[1].id: got "TDX_1A" twice`},
		{"no identity in the list", func(f *forge) {
			dropIdentities(f)
			replaced(&f.tcbInfo, `"tdxModule":`, `"tdxModuleIdentities":[],"tdxModule":`)
		}, "TCB info: tdxModuleIdentities: it is empty"},
		{"an identity without levels", tcbInfoWith(`"tcbLevels":[{"tcb":{"isvsvn":7},"tcbDate":"2025-03-13T00:00:00Z","tcbStatus":"UpToDate"}]`, `"tcbLevels":[]`), "TCB info: tdxModuleIdentities[0].tcbLevels: it is empty"},
		{"a module level without a date", tcbInfoWith(`{"isvsvn":7},"tcbDate":"2025-03-13T00:00:00Z",`, `{"isvsvn":7},`), `TCB info: tdxModuleIdentities[0].tcbLevels[0]: "tcbDate" is missing`},
		{"a module level of an unknown status", tcbInfoWith(`{"isvsvn":7},"tcbDate":"2025-03-13T00:00:00Z","tcbStatus":"UpToDate"`, `{"isvsvn":7},"tcbDate":"2025-03-13T00:00:00Z","tcbStatus":"Fine"`), `TCB info: tdxModuleIdentities[0].tcbLevels[0].tcbStatus: got the unknown status "Fine"`},
		{"no TDX components", tcbInfoWith(`"tdxtcbcomponents"`, `"components"`), `TCB info: tcbLevels[0].tcb: "tdxtcbcomponents" is missing`},
		{"17 TDX components", tcbInfoWith(`"tdxtcbcomponents":[`, `"tdxtcbcomponents":[{"svn":0},`), "TCB info: tcbLevels[0].tcb.tdxtcbcomponents[16]: got more than 16 components"},
	})
}

// TestUntrustedTDs: any bit of the first byte of the attributes (TUD) makes a trust domain as good as one in debug mode, the others do not.
func TestUntrustedTDs(t *testing.T) {
	for bit := range 64 {
		r := new(TDReport)
		r.TDAttributes[bit/8] |= 1 << (bit % 8)
		if got, want := r.Debug(), bit < 8; got != want {
			t.Errorf("with bit %d of the attributes: got debug %t, want %t", bit, got, want)
		}
	}
}

// TestTDFacts: debug is reported, and TDX 1.5 has two measurements more.
func TestTDFacts(t *testing.T) {
	f := newTDForge(5)
	f.quote.TD.TDAttributes[0] |= 1
	r, err := f.verify(t)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Debug {
		t.Error("a trust domain with the debug attribute is not reported as such")
	}
	want := map[string]int{
		"mrtd": 48, "rtmr0": 48, "rtmr1": 48, "rtmr2": 48, "rtmr3": 48, "mrconfigid": 48, "mrowner": 48, "mrownerconfig": 48,
		"mrseam": 48, "mrsignerseam": 48, "td_attributes": 8, "xfam": 8, "seam_attributes": 8, "tee_tcb_svn": 16, "tee_tcb_svn2": 16, "mrservicetd": 48,
	}
	for name, size := range want {
		if len(r.Measurements[name]) != size {
			t.Errorf("%s: got %x, want %d bytes", name, r.Measurements[name], size)
		}
	}
	if len(r.Measurements) != len(want) {
		t.Errorf("got %d measurements, want %d", len(r.Measurements), len(want))
	}
}

// TestRelaunch: with TDX 1.5 the module may have been replaced under the trust domain, which
// is judged by what launched it, and told what would help.
func TestRelaunch(t *testing.T) {
	old := [16]byte{5, 0x1a, 5}
	for _, test := range []struct {
		name      string
		now       [16]byte
		launch    [16]byte
		advisable bool
	}{
		{"the newest runs", [16]byte{6, 0x1a, 5}, old, true},
		{"the newest of another major version runs", [16]byte{7, 3, 5}, old, true},
		{"the newest without a major version runs", [16]byte{2, 0, 5}, old, true},
		{"the same runs", old, old, false},
		{"another old one runs", [16]byte{6, 3, 5}, old, false},
		{"an old one without a major version runs", [16]byte{1, 0, 5}, old, false},
		{"an unknown one runs", [16]byte{9, 9, 9}, old, false},
		{"microcode stays behind", [16]byte{6, 0x1a, 4}, old, false},
		{"there is no need", [16]byte{7, 0x1a, 5}, [16]byte{6, 0x1a, 5}, false},
	} {
		f := newTDForge(5)
		f.quote.TD.TEETCBSVN, f.quote.TD.TEETCBSVN2 = test.launch, test.now
		r, err := f.verify(t)
		if err != nil {
			t.Fatal(err)
		}
		if want := test.launch == old; (r.TCB.Module == tee.OutOfDate) != want {
			t.Errorf("%s: got the module %s", test.name, r.TCB.Module)
		}
		if got := slices.Contains(r.TCB.Remedies, remedyRelaunch); got != test.advisable {
			t.Errorf("%s: got %q, want a relaunch among them: %t", test.name, r.TCB.Remedies, test.advisable)
		}
	}
}
