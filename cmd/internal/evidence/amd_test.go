package evidence_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// chip is a simulated machine of AMD's, and the service that knows it.
type chip struct {
	machine *snptest.Platform
	service *snptest.Service
	url     string
}

func newChip(t *testing.T) *chip {
	t.Helper()
	p, err := snptest.New(snptest.Config{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	c := &chip{machine: p, service: snptest.NewService(p)}
	server := httptest.NewServer(c.service)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *chip) open(t *testing.T, s evidence.Source) *evidence.Collateral {
	t.Helper()
	s.Now = now
	opened, err := s.Open(c.machine.Root())
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

// unauthorized is an answer that is not asked for twice, so that nobody waits.
func unauthorized(w http.ResponseWriter, _ *http.Request) bool {
	w.WriteHeader(http.StatusUnauthorized)
	return true
}

// TestKDSThenFile: AMD's service is asked first, the file serves in its place,
// and what neither has is refused with both reasons.
func TestKDSThenFile(t *testing.T) {
	c := newChip(t)
	file := write(t, "snp.json", string(c.machine.Certificates().Marshal()))
	both := c.open(t, evidence.Source{KDS: c.url, File: file})
	if got, err := both.SNP().Collateral(t.Context(), c.machine.About()); err != nil || len(got.CRL) == 0 || len(c.service.Asked()) == 0 {
		t.Errorf("got %+v and %v after %q was asked for", got, err, c.service.Asked())
	}
	if status := both.Status(); both.Err() != nil || len(status) != 1 || !strings.HasPrefix(status[0].Platform, "Milan, ") {
		t.Errorf("got %v and %+v, want all well and one platform", both.Err(), status)
	}
	if both.DCAP() != nil {
		t.Error("there is a source of Intel's collateral, and none is named")
	}

	c.service.SetFault(unauthorized)
	both = c.open(t, evidence.Source{KDS: c.url, File: file})
	if _, err := both.SNP().Collateral(t.Context(), c.machine.About()); err != nil {
		t.Errorf("the service is down, and there is a file: %v", err)
	}
	if both.Err() == nil || both.Status()[0].Err == nil {
		t.Error("an outage is told by nobody")
	}
	other := c.machine.About()
	other.ChipID[0] ^= 1
	_, err := both.SNP().Collateral(t.Context(), other)
	for _, want := range []string{"401", "collateral " + file + ": "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if alone := c.open(t, evidence.Source{File: file}); alone.DCAP() != nil || alone.SNP() == nil || alone.Err() != nil || alone.Status() != nil {
		t.Errorf("a file of AMD's alone: got %+v", alone)
	}
}

// TestKDSCache: AMD's collateral outlives the program in a folder of its own, and is verified again.
func TestKDSCache(t *testing.T) {
	c, w := newChip(t), newWorld(t)
	dir := filepath.Join(t.TempDir(), "cache")
	both := evidence.Source{PCS: w.url, KDS: c.url, Cache: dir}
	if _, err := c.open(t, both).SNP().Collateral(t.Context(), c.machine.About()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.open(t, both).DCAP().Collateral(t.Context(), w.platform); err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(filepath.Join(dir, "kds")); err != nil || len(names) == 0 {
		t.Errorf("got %v and %v, want files in the folder kds", names, err)
	}
	c.service.SetFault(unauthorized)
	if _, err := c.open(t, both).SNP().Collateral(t.Context(), c.machine.About()); err != nil {
		t.Errorf("with the cache: %v", err)
	}
	both.Now = now
	stranger, err := both.Open(nil) // under AMD's roots
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.SNP().Collateral(t.Context(), c.machine.About()); err == nil {
		t.Error("AMD's roots vouch for what the cache keeps")
	}
}

// TestKDSByCA: a service that no public CA knows is known by a file.
func TestKDSByCA(t *testing.T) {
	c := newChip(t)
	server := httptest.NewTLSServer(c.service)
	defer server.Close()
	ca := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	if _, err := c.open(t, evidence.Source{KDS: server.URL, CA: ca}).SNP().Collateral(t.Context(), c.machine.About()); err != nil {
		t.Error(err)
	}
	if _, err := (evidence.Source{KDS: server.URL, CA: write(t, "no.pem", "x")}).Open(nil); err == nil || !strings.Contains(err.Error(), "ca_path: ") {
		t.Errorf("got %v", err)
	}
}

// TestCollateralFiles: which maker's a file is, its members tell; what is of neither is not tried as one or the other.
func TestCollateralFiles(t *testing.T) {
	intel, amd := newWorld(t).machine.Collateral().Marshal(), newChip(t).machine.Certificates().Marshal()
	read := func(data string) (*evidence.File, error) { return evidence.ReadCollateral(write(t, "c.json", data)) }
	if f, err := read(string(intel)); err != nil || f.DCAP == nil || f.SNP != nil {
		t.Errorf("Intel's: got %+v and %v", f, err)
	}
	if f, err := read(string(amd)); err != nil || f.DCAP != nil || f.SNP == nil {
		t.Errorf("AMD's: got %+v and %v", f, err)
	}
	if f, err := read(string((&kds.Collateral{CRL: []byte{1}}).Marshal())); err != nil || f.SNP == nil {
		t.Errorf("a revocation list of AMD's alone: got %+v and %v", f, err)
	}
	for data, want := range map[string]string{
		"":                               "not a JSON object",
		"null":                           "not a JSON object",
		"[]":                             "not a JSON object",
		`{"leaf"`:                        "not a JSON object",
		`{"leaf": "", "leaf": ""}`:       "not a JSON object",
		`{"leaf": [`:                     "not a JSON object",
		"{}":                             "an object of neither form, want the members of Intel's (pck_crl_issuer_chain, root_ca_crl, pck_crl, …) or of AMD's (leaf, ca, root, crl)",
		`{"keys": []}`:                   "an object of neither form",
		`{"tcb_info": "x", "leaf": "x"}`: "members of Intel's form and of AMD's",
		`{"tcb_info": "x"}`:              "collateral: ",
		`{"leaf": "x", "tail": "x"}`:     "collateral: ",
		string(amd) + "x":                "collateral: ",
		strings.Replace(string(amd), "{", "[{", 1): "not a JSON object",
	} {
		if f, err := read(data); err == nil || f != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %+v and %v, want %q", data, f, err, want)
		}
	}
}
