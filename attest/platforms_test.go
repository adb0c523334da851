package attest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/go-sev-guest/verify/trust"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/nitro"
	"github.com/confidential-token-broker/ctb/attest/nitro/nitrotest"
	"github.com/confidential-token-broker/ctb/attest/snp"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// verified is what a verifier says of genuine evidence.
func verified(t *testing.T, v attest.Verifier, e *attest.Evidence, at time.Time) *attest.Report {
	t.Helper()
	r, err := v.Verify(t.Context(), e, at)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A genuine report of a Milan: of a guest in debug mode, with certificates and without a revocation list.
func TestPinGenuineMilan(t *testing.T) {
	ca, rest := pem.Decode(trust.AskArkMilanVcekBytes)
	root, _ := pem.Decode(rest)
	collateral := &kds.Collateral{Leaf: testdata.VcekBytes, CA: ca.Bytes, Root: root.Bytes}
	e := &tee.Evidence{Platform: tee.SNP, Quote: testdata.AttestationBytes, Collateral: collateral.Marshal()}
	r := verified(t, new(snp.Verifier), e, time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC))
	holdsPin(t, r)
	if got := strings.Join(names(attest.DefaultRefusals(r)), " "); got != "unchecked_revocation debug" {
		t.Errorf("by default refused for %q", got)
	}
	text := string(made(attest.Pin(r, nil, attest.PinConfig{})).Policy)
	for _, want := range []string{"\n    product: \"Milan\"\n", "\n    min_tcb: {bootloader: 2, tee: 0, snp: 5, microcode: 68}\n", "\n    guest_policy: \"00000000000b0000\"\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// A genuine document of a Nitro Enclave in debug mode.
func TestPinGenuineNitro(t *testing.T) {
	text := made(os.ReadFile(vectors(t, "nitro", "attdoc-2024-09-17-debug.b64")))
	e := &tee.Evidence{Platform: tee.Nitro, Quote: made(base64.StdEncoding.DecodeString(string(bytes.TrimSpace(text))))}
	r := verified(t, new(nitro.Verifier), e, time.Date(2024, 9, 17, 1, 0, 0, 0, time.UTC))
	holdsPin(t, r)
	if got := strings.Join(names(attest.DefaultRefusals(r)), " "); got != "debug" {
		t.Errorf("by default refused for %q", got)
	}
}

// Simulated chips of every family and version, in good order and not.
func TestPinSimulatedSNP(t *testing.T) {
	for name, c := range map[string]snptest.Config{
		"Milan":             {},
		"Genoa":             {Product: tee.Genoa, TCB: tee.AMDTCB{Bootloader: 10, SNP: 23, Microcode: 84}},
		"Turin":             {Product: tee.Turin, Version: 3, TCB: tee.AMDTCB{FMC: 1, Bootloader: 1, TEE: 1, SNP: 4, Microcode: 81}},
		"version 2":         {Version: 2},
		"version 5":         {Version: 5},
		"key of a cloud":    {SignedBy: kds.VLEK},
		"debug":             {Report: func(r []byte) { r[0x0a] |= 1 << 3 }},
		"migration agent":   {Report: func(r []byte) { r[0x0a] |= 1 << 2 }},
		"asked at VMPL 2":   {Report: func(r []byte) { r[0x30] = 2 }},
		"launched long ago": {Report: func(r []byte) { r[0x1f0+6] = 1 }},
		"guest of version":  {Report: func(r []byte) { r[4] = 7 }},
	} {
		t.Run(name, func(t *testing.T) {
			c.Now = newClock(day(1)).now
			p := made(snptest.New(c))
			holdsPin(t, verified(t, &snp.Verifier{Root: p.Root()}, made(p.Quote(t.Context(), [64]byte{1})), day(1)))
		})
	}
}

// Simulated security modules of AWS.
func TestPinSimulatedNitro(t *testing.T) {
	for name, c := range map[string]nitrotest.Config{"production": {}, "debug mode": {Debug: true}} {
		t.Run(name, func(t *testing.T) {
			m := made(nitrotest.New(c))
			e := &tee.Evidence{Platform: tee.Nitro, Quote: m.Document(make([]byte, 64), nil, nil, day(1))}
			holdsPin(t, verified(t, &nitro.Verifier{Root: m.Root()}, e, day(1)))
		})
	}
}
