package simulated_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// fill is 48 bytes that are all the same.
func fill(b byte) (out [48]byte) {
	copy(out[:], bytes.Repeat([]byte{b}, 48))
	return out
}

// domain is a trust domain each of whose measurements can be told from the others.
var domain = simulated.Config{
	TEE: "tdx", MRTD: fill(1), MRConfigID: fill(2), MROwner: fill(3), MROwnerConfig: fill(4),
	RTMR: [4][48]byte{fill(5), fill(6), fill(7), fill(8)}, TDAttributes: 0x0102030405060700, XFAM: 0xe7, Debug: true,
}

// TestTDReportHasGenuineLayout reads the reports by the offsets of Intel's document.
func TestTDReportHasGenuineLayout(t *testing.T) {
	data := [64]byte{0: 0xaa, 63: 0xbb}
	for _, c := range []struct {
		name    string
		version uint16
		td15    bool
		body    int // where the report begins
		size    int
		head    string // what stands before it in version 5
	}{
		{"version 4", 4, false, 48, 584, ""},
		{"version 5, TDX 1.0", 5, false, 54, 584, "020048020000"},
		{"version 5, TDX 1.5", 5, true, 54, 648, "030088020000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := domain
			config.QuoteVersion, config.TD15 = c.version, c.td15
			q := quote(t, platform(t, config), data).Quote
			if got, want := hex.EncodeToString(q[:12]), fmt.Sprintf("%02x00020081000000", c.version)+"00000000"; got != want {
				t.Errorf("header: got %s, want %s", got, want)
			}
			if got := hex.EncodeToString(q[48:c.body]); got != c.head {
				t.Errorf("before the body: got %s, want %s", got, c.head)
			}
			r := q[c.body : c.body+c.size]
			for _, f := range []struct {
				name string
				at   int
				want []byte
			}{
				{"tee_tcb_svn", 0, []byte{6, 1, 2, 0}},
				{"mrsignerseam", 64, make([]byte, 48)},
				{"seam attributes", 112, make([]byte, 8)},
				{"TD attributes", 120, []byte{1, 7, 6, 5, 4, 3, 2, 1}},
				{"xfam", 128, []byte{0xe7, 0, 0, 0, 0, 0, 0, 0}},
				{"mrtd", 136, bytes.Repeat([]byte{1}, 48)},
				{"mrconfigid", 184, bytes.Repeat([]byte{2}, 48)},
				{"mrowner", 232, bytes.Repeat([]byte{3}, 48)},
				{"mrownerconfig", 280, bytes.Repeat([]byte{4}, 48)},
				{"rtmr0", 328, bytes.Repeat([]byte{5}, 48)},
				{"rtmr3", 472, bytes.Repeat([]byte{8}, 48)},
				{"report data", 520, data[:]},
			} {
				if got := r[f.at : f.at+len(f.want)]; !bytes.Equal(got, f.want) {
					t.Errorf("%s: got %x, want %x", f.name, got, f.want)
				}
			}
			if c.td15 && !bytes.Equal(r[584:600], r[:16]) {
				t.Errorf("tee_tcb_svn_2: got %x, want %x", r[584:600], r[:16])
			}
			wantNested(t, q[c.body+c.size:])
		})
	}
}

// wantNested reads the signature section of versions 4 and 5: the quoting enclave's report is within
// certification data of type 6, the certificates within certification data of type 5.
func wantNested(t *testing.T, section []byte) {
	t.Helper()
	if got, want := int(binary.LittleEndian.Uint32(section)), len(section)-4; got != want {
		t.Errorf("length of the signature section: got %d, want %d", got, want)
	}
	outer := section[4+128:]
	if kind, n := binary.LittleEndian.Uint16(outer), int(binary.LittleEndian.Uint32(outer[2:])); kind != 6 || n != len(outer)-6 {
		t.Errorf("certification data: got type %d with %d bytes, want 6 with %d", kind, n, len(outer)-6)
	}
	inner := outer[6+384+64+2+32:]
	if kind, n := binary.LittleEndian.Uint16(inner), int(binary.LittleEndian.Uint32(inner[2:])); kind != 5 || n != len(inner)-6 {
		t.Errorf("within it: got type %d with %d bytes, want 5 with %d", kind, n, len(inner)-6)
	}
	certificates(t, inner[6:], "Intel SGX PCK Certificate", "Intel SGX PCK Platform CA", "Intel SGX Root CA")
}

// TestTDFactsComeOut: the verifier tells each measurement under its own name.
func TestTDFactsComeOut(t *testing.T) {
	config := domain
	config.QuoteVersion, config.TD15 = 5, true
	p := platform(t, config)
	r, err := (&dcap.Verifier{Root: p.Root()}).Verify(t.Context(), quote(t, p, [64]byte{9}), made)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"mrtd", "mrconfigid", "mrowner", "mrownerconfig", "rtmr0", "rtmr1", "rtmr2", "rtmr3"} {
		if want := fill(byte(i + 1)); !bytes.Equal(r.Measurements[name], want[:]) {
			t.Errorf("%s: got %x, want %x", name, r.Measurements[name], want)
		}
	}
	if !r.Debug || r.Data != [64]byte{9} {
		t.Errorf("got debug %v, data %x", r.Debug, r.Data)
	}
}

// TestDevMeasurementsTellThemselvesApart: no two of them are the same, and none is zero.
func TestDevMeasurementsTellThemselvesApart(t *testing.T) {
	all := [][48]byte{{}, simulated.DevMRTD, simulated.DevRTMR[0], simulated.DevRTMR[1], simulated.DevRTMR[2], simulated.DevRTMR[3]}
	for i, m := range all {
		if slices.Contains(all[:i], m) {
			t.Errorf("measurement %d: got %x again", i, m)
		}
	}
}

// TestVariantsAreToldApart: names are what interop/README.md refers to.
func TestVariantsAreToldApart(t *testing.T) {
	names := map[string]bool{}
	faults := map[simulated.Fault]bool{}
	for _, v := range simulated.Variants() {
		if names[v.Name] {
			t.Errorf("%s: listed twice", v.Name)
		}
		names[v.Name] = true
		faults[v.Config.Fault] = true
	}
	if len(names) < 300 {
		t.Errorf("got %d variants, want some hundreds", len(names))
	}
	for _, f := range simulated.Faults() {
		if !faults[f] {
			t.Errorf("fault %s: no variant has it", f)
		}
	}
	for _, name := range []string{"status UpToDate", "status Revoked, QE OutOfDate", "processor CA", "debug", "fault pck-revoked", "fault quote-other-vendor",
		"tdx status UpToDate", "tdx status SWHardeningNeeded, module Revoked, QE OutOfDate", "tdx v5 TD 1.5 status UpToDate, module OutOfDate", "v4 status OutOfDate"} {
		if !names[name] {
			t.Errorf("%s: not listed", name)
		}
	}
}

// TestReplacedModuleIsToldApart: the versions that launched the domain stay, those that run are the newest.
func TestReplacedModuleIsToldApart(t *testing.T) {
	q := quote(t, platform(t, simulated.Config{TEE: "tdx", QuoteVersion: 5, TD15: true, ModuleStatus: tee.OutOfDate, ModuleReplaced: true}), [64]byte{}).Quote
	if launched, running := q[54:57], q[54+584:54+587]; !bytes.Equal(launched, []byte{4, 1, 2}) || !bytes.Equal(running, []byte{6, 1, 2}) {
		t.Errorf("got tee_tcb_svn %v, tee_tcb_svn_2 %v", launched, running)
	}
}

// TestModulesAreNotComparedWithComponents: for a module with an identity the first two components of the levels
// have no meaning, and it has versions that are below them.
func TestModulesAreNotComparedWithComponents(t *testing.T) {
	p := platform(t, simulated.Config{TEE: "tdx", ModuleStatus: tee.Revoked})
	q := quote(t, p, [64]byte{}).Quote
	if !strings.Contains(p.Collateral().TCBInfo, `"tdxtcbcomponents":[{"svn":5,`) || q[48] >= 3 {
		t.Errorf("got the module's version %d and the TCB info %s", q[48], p.Collateral().TCBInfo)
	}
}
