package dcap

import (
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"
)

func TestInspect(t *testing.T) {
	for _, test := range []struct {
		collateral, at, platform string
		issued                   string
		parts                    int
	}{
		{processorCollateral, "2025-06-20T00:00:00Z", "sgx 00a067110000 (processor CA)", "2025-06-19T10:56:11Z", 7},
		{platformCollateral, "2025-08-20T00:00:00Z", "sgx 00606a000000 (platform CA)", "2025-08-15T05:08:18Z", 7},
		{tdxCollateral, "2025-06-20T00:00:00Z", "tdx b0c06f000000 (platform CA)", "2025-06-19T10:16:03Z", 7},
	} {
		c, err := ParseCollateral(vector(t, test.collateral))
		if err != nil {
			t.Fatal(err)
		}
		j, err := new(Verifier).Inspect(c, instant(test.at))
		if err != nil {
			t.Errorf("%s: %v", test.collateral, err)
			continue
		}
		if j.Platform.String() != test.platform || j.PCEID != [2]byte{} || j.Simulated || stamp(j.Issued) != test.issued {
			t.Errorf("%s: got %+v", test.collateral, j)
		}
		if j.EvaluationNumber != 17 || j.TCBEvaluation != 17 || j.QEEvaluation != 17 || len(j.Basis) != test.parts {
			t.Errorf("%s: got %+v", test.collateral, j)
		}
		for _, at := range []struct {
			shift int
			ok    bool
		}{{0, true}, {1, false}} {
			if _, err := new(Verifier).Inspect(c, j.Window.NotAfter.AddDate(0, 0, at.shift)); (err == nil) != at.ok {
				t.Errorf("%s: %d days after its end: got %v", test.collateral, at.shift, err)
			}
			if _, err := new(Verifier).Inspect(c, j.Window.NotBefore.AddDate(0, 0, -at.shift)); (err == nil) != at.ok {
				t.Errorf("%s: %d days before its start: got %v", test.collateral, at.shift, err)
			}
		}
	}
}

// TestInspectForged: what a development root signed is simulated, and the smaller evaluation number counts.
func TestInspectForged(t *testing.T) {
	f := newTDForge(4)
	e, v := f.make(t)
	c, err := ParseCollateral(e.Collateral)
	if err != nil {
		t.Fatal(err)
	}
	j, err := v.Inspect(c, forgedAt)
	if err != nil {
		t.Fatal(err)
	}
	if !j.Simulated || j.EvaluationNumber != 17 || j.TCBEvaluation != 17 || j.QEEvaluation != 18 || j.Platform.TEE != "tdx" {
		t.Errorf("got %+v", j)
	}
	if _, err := new(Verifier).Inspect(c, forgedAt); !errors.Is(err, ErrUntrustedRoot) {
		t.Errorf("under Intel's root: got %v", err)
	}
	if _, err := v.Inspect(nil, forgedAt); err == nil {
		t.Error("no collateral at all: accepted")
	}
}

// TestHostileInspect: collateral that a quote would be refused with is refused by itself.
func TestHostileInspect(t *testing.T) {
	other := testKeys()["other"]
	revoke := func(serial int64) []x509.RevocationListEntry {
		return []x509.RevocationListEntry{{SerialNumber: big.NewInt(serial), RevocationTime: forgedAt}}
	}
	for _, test := range []hostile{
		{"TCB info by another key", func(f *forge) { f.signerKey = other }, `TCB info: not signed by "Intel SGX TCB Signing"`},
		{"QE identity of TDX", func(f *forge) { f.qeIdentity = forgedTDQEIdentity }, `QE identity: id: got "TD_QE", want "QE"`},
		{"neither SGX nor TDX", tcbInfoWith(`"SGX"`, `"TXT"`), `TCB info: id: got "TXT", want "SGX" or "TDX"`},
		{"PCK CA by another key", func(f *forge) { f.rootKey = other }, "PCK CRL issuer chain: "},
		{"PCK CRL by another key", func(f *forge) { f.caKey = other }, "PCK CRL: not signed by"},
		{"PCK CRL issued by no PCK CA", func(f *forge) { f.ca.Subject.CommonName = "Intel" }, `PCK CRL issuer chain: common name of the PCK CA: got "Intel"`},
		{"PCK CA revoked", func(f *forge) { f.rootCRL.RevokedCertificateEntries = revoke(2) }, "PCK CA certificate: revoked on"},
		{"TCB signer revoked", func(f *forge) { f.rootCRL.RevokedCertificateEntries = revoke(4) }, "TCB info signer certificate: revoked on"},
		{"root expired", func(f *forge) { f.root.NotAfter = forgedAt.AddDate(0, 0, -1) }, "root certificate: not valid after"},
		{"PCK CA expired", func(f *forge) { f.ca.NotAfter = forgedAt.AddDate(0, 0, -1) }, "PCK CA certificate: not valid after"},
		{"PCK CRL expired", func(f *forge) { f.pckCRL.NextUpdate = forgedAt.AddDate(0, 0, -1) }, "PCK CRL: not valid after"},
		{"QE identity expired", func(f *forge) { narrowDocument(&f.qeIdentity, "2025-06-01T00:00:00Z", "2025-06-02T00:00:00Z") }, "QE identity: not valid after"},
		{"a part too large", func(f *forge) {
			f.collateral = func(c *Collateral) { c.TCBInfo = strings.Repeat(" ", 1<<20) + c.TCBInfo }
		}, "a part is too large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newForge()
			test.fault(f)
			var made *Collateral
			change := f.collateral
			f.collateral = func(c *Collateral) {
				if change != nil {
					change(c)
				}
				copied := *c
				made = &copied
			}
			_, v := f.make(t)
			if j, err := v.Inspect(made, forgedAt); err == nil || j != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got the error %v\nwant one with %q", err, test.want)
			}
		})
	}
}
