package pcs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// genuine is collateral that Intel made. It is not in this repository.
func genuine(t testing.TB, name string) *dcap.Collateral {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../../../shared/vectors/dcap", name+".collateral.json"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("../shared/vectors is absent: Intel's own collateral is not tested")
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := dcap.ParseCollateral(data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGenuineCollateral goes through the wire, Intel's own root, the disk and back, byte for byte.
func TestGenuineCollateral(t *testing.T) {
	june, august := time.Date(2025, 6, 20, 12, 0, 0, 0, time.UTC), time.Date(2025, 8, 20, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		about dcap.Platform
		at    time.Time
	}{
		"fmspc_00606a000000.2025-08": {dcap.Platform{TEE: "sgx", FMSPC: [6]byte{0x00, 0x60, 0x6a}, CA: "platform"}, august},
		"sgx_v3_processor_ca":        {dcap.Platform{TEE: "sgx", FMSPC: [6]byte{0x00, 0xa0, 0x67, 0x11}, CA: "processor"}, june},
		"tdx_v4":                     {dcap.Platform{TEE: "tdx", FMSPC: [6]byte{0xb0, 0xc0, 0x6f}, CA: "platform"}, june},
	} {
		t.Run(name, func(t *testing.T) {
			want := genuine(t, name)
			want.PCKCertificateChain = "" // comes with the quote, and from no service
			s := serve(t, want)
			config := CacheConfig{Source: &Client{URL: s.url, HTTP: s.client}, Dir: t.TempDir(), Now: func() time.Time { return c.at }}
			for _, from := range []string{"the wire", "the disk"} {
				cache, err := NewCache(config)
				if err != nil {
					t.Fatal(err)
				}
				got, err := cache.Collateral(t.Context(), c.about)
				if err != nil || !reflect.DeepEqual(got, want) || cache.Err() != nil {
					t.Errorf("from %s: got %v, %v, want the same collateral", from, err, cache.Err())
				}
				s.set(want, status(503))
			}
			if cache, err := NewCache(config); err != nil {
				t.Fatal(err)
			} else if other, err := cache.Collateral(t.Context(), sgx); err == nil {
				t.Errorf("got %v for a platform that Intel never made", other)
			}
		})
	}
}
