package snp

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/go-sev-guest/verify/trust"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// genuineAt is an instant at which the genuine certificates are valid.
var genuineAt = time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)

// genuine is go-sev-guest's report of a Milan, with AMD's certificates.
func genuine(t testing.TB) ([]byte, *kds.Collateral) {
	t.Helper()
	ca, rest := pem.Decode(trust.AskArkMilanVcekBytes)
	root, rest := pem.Decode(rest)
	if len(bytes.TrimSpace(rest)) > 0 {
		t.Fatal("the chain has more than two certificates")
	}
	return testdata.AttestationBytes, &kds.Collateral{Leaf: testdata.VcekBytes, CA: ca.Bytes, Root: root.Bytes}
}

func evidence(report []byte, c *kds.Collateral) *tee.Evidence {
	return &tee.Evidence{Platform: tee.SNP, Quote: report, Collateral: c.Marshal()}
}

func day(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestGenuineMilan is the report that a chip of AMD's made, with all that it says.
func TestGenuineMilan(t *testing.T) {
	report, c := genuine(t)
	got, err := new(Verifier).Verify(t.Context(), evidence(report, c), genuineAt)
	if err != nil {
		t.Fatal(err)
	}
	hexes := map[string]string{
		"family_id": strings.Repeat("00", 16), "image_id": strings.Repeat("00", 16), "host_data": strings.Repeat("00", 32),
		"id_key_digest": strings.Repeat("00", 48), "author_key_digest": strings.Repeat("00", 48),
		"measurement":  "b07af9620f3b839b47996422ddec6058338951d984e312115131ea82705eaf5b6bdf8a9ece31a5a608eb0cf2e4872b01",
		"report_id":    "8edc638e1857c555d21f6b11bda3c8b1b5a09dba4852b4c8ee7aa2f16f22cc0a",
		"report_id_ma": strings.Repeat("ff", 32),
		"chip_id":      "3ac3fe21e13fb0990eb28a802e3fb6a29483a6b0753590c951bdd3b8e53786184ca39e359669a2b76a1936776b564ea464cdce40c05f63c9b610c5068b006b5d",
		"guest_policy": "00000000000b0000",
	}
	for name, value := range got.Measurements {
		if hex.EncodeToString(value) != hexes[name] {
			t.Errorf("%s: got %x, want %s", name, value, hexes[name])
		}
	}
	if len(got.Measurements) != len(hexes) {
		t.Errorf("got %v", maps.Keys(got.Measurements))
	}
	tcb := tee.AMDTCB{Bootloader: 2, SNP: 5, Microcode: 0x44}
	facts := tee.AMDFacts{
		Version: 2, Product: kds.Milan, SignedBy: kds.VCEK,
		Policy:   tee.AMDGuestPolicy{SMT: true, Debug: true},
		Platform: tee.AMDPlatform{SMT: true},
		Reported: tcb, Current: tcb, Committed: tcb, Launch: tcb,
	}
	if *got.AMD != facts {
		t.Errorf("got the facts %+v\nwant %+v", *got.AMD, facts)
	}
	window := tee.Window{NotBefore: day(t, "2022-09-24T00:55:28Z"), NotAfter: day(t, "2029-09-24T00:55:28Z")}
	data := [64]byte{1, 2, 3, 4, 5}
	if got.TEE != tee.SEVSNP || !got.At.Equal(genuineAt) || got.Data != data || !got.Debug || got.Simulated || got.TCB.Status != tee.NotJudged || got.Collateral != window {
		t.Errorf("got %+v", got)
	}
	basis := []tee.Basis{
		{What: "root certificate", SignedBy: "ARK-Milan", Window: tee.Window{NotBefore: day(t, "2020-10-22T17:23:05Z"), NotAfter: day(t, "2045-10-22T17:23:05Z")}},
		{What: "CA certificate", SignedBy: "ARK-Milan", Window: tee.Window{NotBefore: day(t, "2020-10-22T18:24:20Z"), NotAfter: day(t, "2045-10-22T18:24:20Z")}},
		{What: "VCEK certificate", SignedBy: "SEV-Milan", Window: window},
	}
	if !reflect.DeepEqual(got.Basis, basis) {
		t.Errorf("got the basis %+v", got.Basis)
	}
}

// TestGenuineRefused: what is genuine in itself, and is not believed nevertheless.
func TestGenuineRefused(t *testing.T) {
	report, c := genuine(t)
	vlekCA, _ := pem.Decode(trust.AskArkMilanVlekBytes)
	change := func(f func(*kds.Collateral)) *kds.Collateral { d := *c; f(&d); return &d }
	for name, test := range map[string]struct {
		report []byte
		c      *kds.Collateral
		at     string
		want   string
	}{
		"before its time":             {report, c, "2022-09-24T00:55:27Z", "VCEK certificate: valid from 2022-09-24T00:55:28Z"},
		"after its time":              {report, c, "2029-09-24T00:55:29Z", "VCEK certificate: valid from"},
		"without the key":             {report, change(func(c *kds.Collateral) { c.Leaf = nil }), "2023-01-01T00:00:00Z", "no collateral"},
		"without the CA":              {report, change(func(c *kds.Collateral) { c.CA = nil }), "2023-01-01T00:00:00Z", "CA certificate: it is missing"},
		"without the root":            {report, change(func(c *kds.Collateral) { c.Root = nil }), "2023-01-01T00:00:00Z", "root certificate: it is missing"},
		"the CA of VLEKs":             {report, change(func(c *kds.Collateral) { c.CA = vlekCA.Bytes }), "2023-01-01T00:00:00Z", `VLEK certificate: common name: got "SEV-VCEK"`},
		"the CA in place of the root": {report, change(func(c *kds.Collateral) { c.Root = c.CA }), "2023-01-01T00:00:00Z", "its SHA-256 is not that of a root of AMD's"},
		"the root in place of the CA": {report, change(func(c *kds.Collateral) { c.CA = c.Root }), "2023-01-01T00:00:00Z", "common name"},
		"the CA in place of the key":  {report, change(func(c *kds.Collateral) { c.Leaf = c.CA }), "2023-01-01T00:00:00Z", `common name: got "SEV-Milan", want "SEV-VCEK"`},
		"truncated":                   {report[:len(report)-1], c, "2023-01-01T00:00:00Z", "got 1183 bytes, want 1184"},
		"oversize":                    {append(bytes.Clone(report), 0), c, "2023-01-01T00:00:00Z", "got 1185 bytes, want 1184"},
		"empty":                       {nil, c, "2023-01-01T00:00:00Z", "got 0 bytes, want 1184"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := new(Verifier).Verify(t.Context(), evidence(test.report, test.c), day(t, test.at))
			if got != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v, want an error with %q", got, err, test.want)
			}
		})
	}
}

// TestNoCollateral: nothing is said against a report for which nothing is at hand.
func TestNoCollateral(t *testing.T) {
	report, _ := genuine(t)
	_, err := new(Verifier).Verify(t.Context(), &tee.Evidence{Platform: tee.SNP, Quote: report}, genuineAt)
	if !errors.Is(err, tee.ErrUnavailable) || !errors.Is(err, kds.ErrNoCollateral) {
		t.Errorf("got %v, want that it can't be told now", err)
	}
	_, err = new(Verifier).Verify(context.Background(), &tee.Evidence{Platform: tee.DCAP, Quote: report}, genuineAt)
	if err == nil || !strings.Contains(err.Error(), `evidence of the platform "dcap", want "snp"`) {
		t.Errorf("got %v", err)
	}
}
