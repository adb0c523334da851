package dcap

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// vector reads a file of the shared vectors, which are not part of the project; without them the test is skipped.
func vector(t testing.TB, name string) []byte {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above this package")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(dir, "..", "shared", "vectors", name)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("needs the shared vectors: %s is absent", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func evidence(t testing.TB, quote, collateral string) *tee.Evidence {
	t.Helper()
	return &tee.Evidence{
		Platform:   "dcap",
		Quote:      vector(t, quote),
		Collateral: vector(t, collateral),
	}
}

func instant(s string) time.Time {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return at
}

const (
	processorQuote      = "dcap/sgx_v3_processor_ca.quote"
	processorCollateral = "dcap/sgx_v3_processor_ca.collateral.json"
	platformQuote       = "dcap/sgx_v3_platform_ca.quote"
	platformCollateral  = "dcap/fmspc_00606a000000.2025-08.collateral.json"
	originalQuote       = "original/quote.bin"
	tdxQuote            = "dcap/tdx_v4.quote"
	tdxCollateral       = "dcap/tdx_v4.collateral.json"
)

// day is a tcbDate.
func day(s string) time.Time { return instant(s + "T00:00:00Z") }

func level(part string, status tee.Status, date string, advisories ...string) tee.Level {
	return tee.Level{Part: part, Status: status, Date: day(date), Advisories: advisories}
}

func TestVectors(t *testing.T) {
	const (
		early = "BIOS, Early Microcode Update"
		late  = "OS/VMM, SGX Late Microcode Update"
	)
	hardening := "platform: no update mends it all: build the software that runs on it with the mitigations that Intel asks for, see INTEL-SA-00615"
	for _, test := range []struct {
		quote, collateral, at string
		want                  tee.TCB
		window                [2]string
		ca, fmspc             string
		debug                 bool
	}{
		{
			quote: processorQuote, collateral: processorCollateral, at: "2025-06-20T00:00:00Z",
			want: tee.TCB{
				Status:     tee.ConfigurationAndSWHardeningNeeded,
				Platform:   tee.ConfigurationAndSWHardeningNeeded,
				QE:         tee.UpToDate,
				Advisories: []string{"INTEL-SA-00289", "INTEL-SA-00615"},
				Levels: []tee.Level{
					level("platform", tee.ConfigurationAndSWHardeningNeeded, "2024-03-13", "INTEL-SA-00289", "INTEL-SA-00615"),
					level("qe", tee.UpToDate, "2024-03-13"),
				},
				Shortfalls: []tee.Shortfall{{Part: "platform", Component: "sgxtcbcomponents[6]", Have: 0, Want: 12}},
				Remedies: []string{
					remedyBIOSSetup + ": sgxtcbcomponents[6] is 0, want 12",
					remedyPCK,
					"platform: at the newest level it is no longer concerned by INTEL-SA-00289",
					hardening,
				},
			},
			window: [2]string{"2025-06-19T10:56:11Z", "2025-07-19T10:01:18Z"},
			ca:     "processor", fmspc: "00a067110000",
		},
		{
			quote: platformQuote, collateral: platformCollateral, at: "2025-08-20T00:00:00Z",
			want: tee.TCB{
				Status:     tee.SWHardeningNeeded,
				Platform:   tee.SWHardeningNeeded,
				QE:         tee.UpToDate,
				Advisories: []string{"INTEL-SA-00615"},
				Levels: []tee.Level{
					level("platform", tee.SWHardeningNeeded, "2024-03-13", "INTEL-SA-00615"),
					level("qe", tee.UpToDate, "2024-03-13"),
				},
				Remedies: []string{hardening},
			},
			window: [2]string{"2025-08-15T05:41:26Z", "2025-09-14T04:36:46Z"},
			ca:     "platform", fmspc: "00606a000000",
		},
		{
			quote: originalQuote, collateral: platformCollateral, at: "2025-08-20T00:00:00Z",
			want: tee.TCB{
				Status:   tee.OutOfDateConfigurationNeeded,
				Platform: tee.OutOfDateConfigurationNeeded,
				QE:       tee.UpToDate,
				Advisories: []string{
					"INTEL-SA-00615", "INTEL-SA-00657", "INTEL-SA-00767", "INTEL-SA-00828", "INTEL-SA-00837", "INTEL-SA-00960",
				},
				Levels: []tee.Level{
					level("platform", tee.OutOfDateConfigurationNeeded, "2023-02-15",
						"INTEL-SA-00615", "INTEL-SA-00657", "INTEL-SA-00767", "INTEL-SA-00828", "INTEL-SA-00837", "INTEL-SA-00960"),
					level("qe", tee.UpToDate, "2024-03-13"),
				},
				Shortfalls: []tee.Shortfall{
					{Part: "platform", Component: "sgxtcbcomponents[0]", Name: early, Have: 11, Want: 14},
					{Part: "platform", Component: "sgxtcbcomponents[1]", Name: late, Have: 11, Want: 14},
					{Part: "platform", Component: "sgxtcbcomponents[6]", Have: 0, Want: 1},
				},
				Remedies: []string{
					remedyBIOS + ": sgxtcbcomponents[0] (" + early + ") is 11, want 14",
					remedyMicrocode + ": sgxtcbcomponents[1] (" + late + ") is 11, want 14",
					remedyBIOSSetup + ": sgxtcbcomponents[6] is 0, want 1",
					remedyPCK,
					"platform: at the newest level it is no longer concerned by INTEL-SA-00657, INTEL-SA-00767, INTEL-SA-00828, INTEL-SA-00837, INTEL-SA-00960",
					hardening,
				},
			},
			window: [2]string{"2025-08-15T05:41:26Z", "2025-09-14T04:36:46Z"},
			ca:     "platform", fmspc: "00606a000000", debug: true,
		},
		{
			quote: tdxQuote, collateral: tdxCollateral, at: "2025-06-20T00:00:00Z",
			want: tee.TCB{
				Status:   tee.UpToDate,
				Platform: tee.UpToDate,
				Module:   tee.UpToDate,
				QE:       tee.UpToDate,
				Levels: []tee.Level{
					level("platform", tee.UpToDate, "2024-03-13"), level("module", tee.UpToDate, "2024-03-13"), level("qe", tee.UpToDate, "2024-03-13"),
				},
			},
			window: [2]string{"2025-06-19T10:32:27Z", "2025-07-19T10:00:35Z"},
			ca:     "platform", fmspc: "b0c06f000000",
		},
	} {
		t.Run(filepath.Base(test.quote), func(t *testing.T) {
			e := evidence(t, test.quote, test.collateral)
			test.want.EvaluationNumber = 17
			r, err := new(Verifier).Verify(context.Background(), e, instant(test.at))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(r.TCB, test.want) {
				t.Errorf("TCB:\n got %+v\nwant %+v", r.TCB, test.want)
			}
			if got := [2]string{stamp(r.Collateral.NotBefore), stamp(r.Collateral.NotAfter)}; got != test.window {
				t.Errorf("collateral: got %v, want %v", got, test.window)
			}
			if r.PCKCA != test.ca || r.FMSPC != test.fmspc || r.Debug != test.debug || r.Simulated || !r.At.Equal(instant(test.at)) {
				t.Errorf("got %q, %q, debug %t, simulated %t, at %v", r.PCKCA, r.FMSPC, r.Debug, r.Simulated, r.At)
			}
			if test.quote == tdxQuote {
				checkTDFacts(t, r, e.Quote)
			} else {
				checkFacts(t, r, e.Quote)
			}
		})
	}
}

// TestBasis: all that a genuine report rests on, from the root on, with its signers.
func TestBasis(t *testing.T) {
	r, err := new(Verifier).Verify(context.Background(), evidence(t, tdxQuote, tdxCollateral), instant("2025-06-20T00:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	const root, ca, signer = "Intel SGX Root CA", "Intel SGX PCK Platform CA", "Intel SGX TCB Signing"
	var got []string
	for _, b := range r.Basis {
		got = append(got, strings.Join([]string{b.What, b.SignedBy, stamp(b.NotBefore), stamp(b.NotAfter)}, " | "))
	}
	want := []string{
		"root certificate | " + root + " | 2018-05-21T10:45:10Z | 2049-12-31T23:59:59Z",
		"PCK CA certificate | " + root + " | 2018-05-21T10:50:10Z | 2033-05-21T10:50:10Z",
		"PCK certificate | " + ca + " | 2025-02-06T23:25:51Z | 2032-02-06T23:25:51Z",
		"root CRL | " + root + " | 2025-03-20T11:21:57Z | 2026-04-03T11:21:57Z",
		"PCK CRL | " + ca + " | 2025-06-19T10:00:35Z | 2025-07-19T10:00:35Z",
		"TCB info signer certificate | " + root + " | 2025-05-06T09:25:00Z | 2032-05-06T09:25:00Z",
		"TCB info | " + signer + " | 2025-06-19T10:16:03Z | 2025-07-19T10:16:03Z",
		"QE identity | " + signer + " | 2025-06-19T10:32:27Z | 2025-07-19T10:32:27Z",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// checkFacts compares the facts with the bytes of an SGX quote of version 3 at their documented offsets.
func checkFacts(t *testing.T, r *tee.Report, quote []byte) {
	t.Helper()
	body := quote[48:432]
	checkMeasurements(t, r, map[string][]byte{
		"cpusvn": body[:16], "miscselect": body[16:20], "isvextprodid": body[32:48], "attributes": body[48:64],
		"mrenclave": body[64:96], "mrsigner": body[128:160], "configid": body[192:256], "configsvn": body[260:262],
		"isvfamilyid": body[304:320],
	})
	if r.TEE != "sgx" || !bytes.Equal(r.Data[:], body[320:]) {
		t.Errorf("got %q, report data %x, want %x", r.TEE, r.Data, body[320:])
	}
	if got, want := [2]uint16{r.ISVProdID, r.ISVSVN}, [2]uint16{binary.LittleEndian.Uint16(body[256:]), binary.LittleEndian.Uint16(body[258:])}; got != want {
		t.Errorf("isvprodid, isvsvn: got %v, want %v", got, want)
	}
}

// checkTDFacts does so with a TDX quote of version 4.
func checkTDFacts(t *testing.T, r *tee.Report, quote []byte) {
	t.Helper()
	body := quote[48:632]
	checkMeasurements(t, r, map[string][]byte{
		"tee_tcb_svn": body[:16], "mrseam": body[16:64], "mrsignerseam": body[64:112], "seam_attributes": body[112:120],
		"td_attributes": body[120:128], "xfam": body[128:136], "mrtd": body[136:184], "mrconfigid": body[184:232],
		"mrowner": body[232:280], "mrownerconfig": body[280:328], "rtmr0": body[328:376], "rtmr1": body[376:424],
		"rtmr2": body[424:472], "rtmr3": body[472:520],
	})
	if r.TEE != "tdx" || !bytes.Equal(r.Data[:], body[520:]) {
		t.Errorf("got %q, report data %x, want %x", r.TEE, r.Data, body[520:])
	}
}

func checkMeasurements(t *testing.T, r *tee.Report, want map[string][]byte) {
	t.Helper()
	if !reflect.DeepEqual(r.Measurements, want) {
		t.Errorf("measurements:\n got %x\nwant %x", r.Measurements, want)
	}
}

// original reads a file of the original broker's published sample.
func original(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "original", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
