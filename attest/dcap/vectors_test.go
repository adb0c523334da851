package dcap

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
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

func TestVectors(t *testing.T) {
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
				Shortfalls: []tee.Shortfall{{Component: "sgxtcbcomponents[6]", Have: 0, Want: 12}},
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
				Shortfalls: []tee.Shortfall{
					{Component: "sgxtcbcomponents[0]", Have: 11, Want: 14},
					{Component: "sgxtcbcomponents[1]", Have: 11, Want: 14},
					{Component: "sgxtcbcomponents[6]", Have: 0, Want: 1},
				},
			},
			window: [2]string{"2025-08-15T05:41:26Z", "2025-09-14T04:36:46Z"},
			ca:     "platform", fmspc: "00606a000000", debug: true,
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
			if r.TEE != "sgx" || r.PCKCA != test.ca || r.FMSPC != test.fmspc || r.Debug != test.debug || r.Simulated {
				t.Errorf("got %q, %q, %q, debug %t, simulated %t", r.TEE, r.PCKCA, r.FMSPC, r.Debug, r.Simulated)
			}
			checkFacts(t, r, e.Quote)
		})
	}
}

// checkFacts compares the facts with the bytes of the quote at their documented offsets.
func checkFacts(t *testing.T, r *tee.Report, quote []byte) {
	t.Helper()
	body := quote[48:432]
	for key, want := range map[string][]byte{
		"cpusvn": body[:16], "miscselect": body[16:20], "isvextprodid": body[32:48], "attributes": body[48:64],
		"mrenclave": body[64:96], "mrsigner": body[128:160], "configid": body[192:256], "configsvn": body[260:262],
		"isvfamilyid": body[304:320],
	} {
		if !bytes.Equal(r.Measurements[key], want) {
			t.Errorf("%s: got %x, want %x", key, r.Measurements[key], want)
		}
	}
	if !bytes.Equal(r.Data[:], body[320:]) {
		t.Errorf("report data: got %x, want %x", r.Data, body[320:])
	}
	if got, want := [2]uint16{r.ISVProdID, r.ISVSVN}, [2]uint16{binary.LittleEndian.Uint16(body[256:]), binary.LittleEndian.Uint16(body[258:])}; got != want {
		t.Errorf("isvprodid, isvsvn: got %v, want %v", got, want)
	}
}

func TestTDXIsNotYetSupported(t *testing.T) {
	_, err := new(Verifier).Verify(context.Background(), evidence(t, tdxQuote, tdxCollateral), instant("2025-06-20T00:00:00Z"))
	if err == nil || err.Error() != "quote: a TDX quote (version 4) is not yet supported, only SGX quotes of version 3 are" {
		t.Errorf("got %v", err)
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
