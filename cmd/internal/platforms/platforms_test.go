package platforms_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/nitro"
	"github.com/confidential-token-broker/ctb/attest/nitro/nitrotest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/snp"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/cmd/internal/platforms"
	"github.com/confidential-token-broker/ctb/ctbtest"
)

// TestLoad: what is loaded accepts the broker that wrote the files.
func TestLoad(t *testing.T) {
	b := ctbtest.NewBroker(t, nil)
	policyPath, collateralPath := b.Files()
	policy, verifiers, err := platforms.Load(policyPath, evidence.Source{File: collateralPath})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := attest.NewKeySet(attest.Config{URL: b.URL, Policy: policy, Platforms: verifiers, Client: b.Client()})
	if err != nil {
		t.Fatal(err)
	}
	token, err := b.Verifier().Verify(t.Context(), b.Token(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Key(t.Context(), token.KeyID); err != nil {
		t.Error(err)
	}
}

// TestLoadWithoutRoot: a policy without simulated_root trusts the hardware makers' roots, and
// without a source of collateral there is none at all (not a nil one).
func TestLoadWithoutRoot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte("builds:\n  - tee: sgx\n    mrenclave: "+strings.Repeat("ab", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, verifiers, err := platforms.Load(path, evidence.Source{})
	if err != nil {
		t.Fatal(err)
	}
	want := []attest.Verifier{&dcap.Verifier{}, &snp.Verifier{}, &nitro.Verifier{}}
	if !reflect.DeepEqual(verifiers, want) {
		t.Errorf("got %+v, want the zero verifiers", verifiers)
	}
	if _, _, err := platforms.Load(path, evidence.Source{KDS: "nobody"}); err == nil || !strings.HasPrefix(err.Error(), "kds: ") {
		t.Errorf("a source that can't be: got %v", err)
	}
	if _, _, err := platforms.Load(path+".absent", evidence.Source{}); err == nil || !strings.HasPrefix(err.Error(), "policy: ") {
		t.Errorf("a policy that is not there: got %v", err)
	}
}

// TestAll: evidence of each platform is read under its maker's development root, and under that alone.
func TestAll(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := func() time.Time { return at }
	intel, err := simulated.New(simulated.Config{Now: at})
	if err != nil {
		t.Fatal(err)
	}
	amd, err := snptest.New(snptest.Config{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	aws, err := nitrotest.New(nitrotest.Config{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	for platform, machine := range map[string]interface {
		attest.Quoter
		Root() *x509.Certificate
	}{tee.DCAP: intel, tee.SNP: amd, tee.Nitro: aws} {
		e, err := machine.Quote(t.Context(), [64]byte{7})
		if err != nil {
			t.Fatal(err)
		}
		for root, genuine := range map[*x509.Certificate]bool{machine.Root(): true, nil: false, strange(machine.Root(), intel, amd): false} {
			for _, v := range platforms.All(root, nil) {
				if v.Platform() != platform {
					continue
				}
				r, err := v.Verify(t.Context(), e, at)
				if (err == nil) != genuine || genuine && (!r.Simulated || r.Data != [64]byte{7}) {
					t.Errorf("%s: got %+v and %v, want it genuine: %t", platform, r, err, genuine)
				}
			}
		}
	}
}

// strange is the root of another maker.
func strange(root *x509.Certificate, intel *simulated.Platform, amd *snptest.Platform) *x509.Certificate {
	if root.Equal(intel.Root()) {
		return amd.Root()
	}
	return intel.Root()
}
