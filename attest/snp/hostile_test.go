package snp

import (
	"crypto/x509"
	"encoding/binary"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	sevtest "github.com/google/go-sev-guest/testing"

	"github.com/google/go-sev-guest/abi"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// put writes a number into a report.
func put(at int, n uint32) func([]byte) {
	return func(r []byte) { binary.LittleEndian.PutUint32(r[at:], n) }
}

// TestHostile: each platform is in good order but for one thing.
func TestHostile(t *testing.T) {
	for name, c := range map[string]struct {
		config snptest.Config
		want   string
	}{
		"a version of before":            {snptest.Config{Report: put(0, 1)}, "version: got 1, want 2, 3 or 5"},
		"a version that was never out":   {snptest.Config{Report: put(0, 4)}, "version: got 4, want 2, 3 or 5"},
		"a version to come":              {snptest.Config{Report: put(0, 6)}, "version: got 6"},
		"asked for by the host":          {snptest.Config{Report: put(0x30, 0xffffffff)}, "asked for by the host"},
		"another signature algorithm":    {snptest.Config{Report: put(0x34, 2)}, "signature algorithm: got 2, want 1"},
		"signed by no key":               {snptest.Config{Report: put(0x48, 7<<2)}, "signing key: got the kind 7"},
		"the chip's key signs nothing":   {snptest.Config{Report: put(0x48, 2)}, "MASK_CHIP_KEY"},
		"reserved key information":       {snptest.Config{Report: put(0x48, 1<<5)}, "reserved bits"},
		"an author key not enabled":      {snptest.Config{Report: put(0x110, 1)}, "author key"},
		"the reserved policy bit":        {snptest.Config{Report: put(8, 0x10000)}, "guest policy: got 0x10000"},
		"a policy bit to come":           {snptest.Config{Report: put(8, 0x4030000)}, "guest policy: got 0x4030000"},
		"reserved bytes":                 {snptest.Config{Report: put(0x4c, 1)}, "0x4c to 0x4f are reserved"},
		"CPUID in version 2":             {snptest.Config{Version: 2, Report: put(0x188, 1)}, "0x188 to 0x18a are reserved in version 2"},
		"mitigations in version 3":       {snptest.Config{Report: put(0x1f8, 1)}, "0x1f8 to 0x207 are reserved in version 3"},
		"no known processor":             {snptest.Config{Report: put(0x188, 0x3119)}, "no product is known of the CPUID family 0x19 and model 0x31"},
		"a stepping of eight bits":       {snptest.Config{Report: put(0x188, 0x110119)}, "CPUID stepping: got 0x11"},
		"a processor of another product": {snptest.Config{Report: put(0x188, 0x11119)}, "of the product Milan, the report is of Genoa"},
		"another chip":                   {snptest.Config{Report: put(0x1a0, 7)}, "it is of the chip 001112131415161"},
		"a TCB that the key is not of":   {snptest.Config{Report: put(0x180, 4)}, "it is for the TCB 0x7308000000000003, the report is of 0x7308000000000004"},
		"a VLEK's word, a VCEK's chain":  {snptest.Config{Report: put(0x48, 1<<2)}, "the CA certifies a vcek, the report is signed by a vlek"},
		"a key not yet valid":            {snptest.Config{Leaf: func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }}, "VCEK certificate: valid from"},
		"a key no more valid":            {snptest.Config{Leaf: func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }}, "VCEK certificate: valid from"},
		"a CA no more valid":             {snptest.Config{CA: func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }}, "CA certificate: valid from"},
		"a CA that is none":              {snptest.Config{CA: func(c *x509.Certificate) { c.IsCA, c.KeyUsage, c.MaxPathLenZero = false, 0, false }}, "it is no CA"},
		"a CA of another product":        {snptest.Config{CA: func(c *x509.Certificate) { c.Subject.ExtraNames[5].Value = "SEV-Genoa" }}, `got "SEV-Genoa", want SEV-Milan or SEV-VLEK-Milan`},
		"a key with another name":        {snptest.Config{Leaf: func(c *x509.Certificate) { c.Subject.ExtraNames[5].Value = "SEV-VLEK" }}, `got "SEV-VLEK", want "SEV-VCEK"`},
		"a key that is a CA":             {snptest.Config{Leaf: func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }}, "it is a CA"},
		"a signature without PSS":        {snptest.Config{Leaf: func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA384WithRSA }}, "signature algorithm: got SHA384-RSA"},
		"a key without a TCB":            {snptest.Config{Leaf: func(c *x509.Certificate) { c.ExtraExtensions = c.ExtraExtensions[:3] }}, "1.3.6.1.4.1.3704.1.3.2 is missing"},
		"a key with a cloud and a chip":  {snptest.Config{Leaf: leafExtension([]int{5}, []byte{22, 1, 'c'})}, "and none of a cloud"},
		"a key with a short chip":        {snptest.Config{Leaf: changeExtension(4, make([]byte, 8))}, "of 64 bytes"},
		"a key with an odd chip":         {snptest.Config{Leaf: changeExtension(4, make([]byte, 9))}, "want 64 bytes, or 8"},
		"a key with another product":     {snptest.Config{Leaf: changeExtension(2, []byte("\x16\x08Genoa-B0"))}, `product: got "Genoa-B0", want "Milan"`},
		"a list that is too old":         {snptest.Config{CRL: func(l *x509.RevocationList) { l.NextUpdate = now.Add(-time.Second) }}, "revocation list: valid from"},
		"a list that is to come":         {snptest.Config{CRL: func(l *x509.RevocationList) { l.ThisUpdate = now.Add(time.Second) }}, "revocation list: valid from"},
		"a list with a critical extension": {snptest.Config{CRL: func(l *x509.RevocationList) {
			l.ExtraExtensions = append(l.ExtraExtensions, extension(2, 5, 29, 28))
		}}, "unknown critical extension 2.5.29.28"},
	} {
		t.Run(name, func(t *testing.T) {
			p := platform(t, c.config)
			got, err := (&Verifier{Root: p.Root()}).Verify(t.Context(), quote(t, p), now)
			if got != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want an error with %q", got, err, c.want)
			}
			if errors.Is(err, tee.ErrUnavailable) || errors.Is(err, tee.ErrRevoked) {
				t.Errorf("got %v, which says what it is not", err)
			}
		})
	}
}

// TestMaskedChip: a chip whose host hides its id is one of AMD's, and the report says not which.
func TestMaskedChip(t *testing.T) {
	p := platform(t, snptest.Config{Report: func(r []byte) { clear(r[0x1a0:0x1e0]) }})
	got, err := (&Verifier{Root: p.Root()}).Verify(t.Context(), quote(t, p), now)
	if err != nil || !zero(got.Measurements["chip_id"]) {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestRevoked: no newer list lifts it, and it wins over all that is too old.
func TestRevoked(t *testing.T) {
	p := platform(t, snptest.Config{Revoked: true, CRL: func(l *x509.RevocationList) { l.NextUpdate = now.Add(-time.Second) }})
	v := &Verifier{Root: p.Root(), Collateral: fixed(*with(p.Certificates(), listed(t, p, 0)))}
	_, err := v.Verify(t.Context(), quote(t, p), now)
	if !errors.Is(err, tee.ErrRevoked) || !strings.Contains(err.Error(), `"SEV-Milan" (serial number 2): revoked on 2026-03-01T11:00:00Z by "ARK-Milan"`) {
		t.Errorf("got %v, want that it is revoked", err)
	}
	root := platform(t, snptest.Config{CRL: func(l *x509.RevocationList) { l.RevokedCertificateEntries[0].SerialNumber = big.NewInt(1) }})
	if _, err := (&Verifier{Root: root.Root()}).Verify(t.Context(), quote(t, root), now); !errors.Is(err, tee.ErrRevoked) {
		t.Errorf("got %v, want that the root itself is revoked", err)
	}
}

// TestAnotherSigner: AMD's names do not make AMD's keys.
func TestAnotherSigner(t *testing.T) {
	p, other := platform(t, snptest.Config{}), platform(t, snptest.Config{})
	e := quote(t, p)
	if _, err := new(Verifier).Verify(t.Context(), e, now); !errors.Is(err, kds.ErrUntrustedRoot) {
		t.Errorf("got %v, want that AMD's root did not sign it", err)
	}
	report, c := genuine(t)
	if _, err := (&Verifier{Root: p.Root()}).Verify(t.Context(), evidence(report, c), genuineAt); !errors.Is(err, kds.ErrUntrustedRoot) {
		t.Errorf("got %v, want that the development root did not sign it", err)
	}
	// AMD's own root above a lookalike's CA, which has the issuer's name of the genuine one, and the other way round.
	false1, _ := kds.ParseCollateral(e.Collateral)
	false1.Root = c.Root
	if _, err := new(Verifier).Verify(t.Context(), evidence(e.Quote, false1), now); err == nil || !strings.Contains(err.Error(), "CA certificate: ") {
		t.Errorf("got %v, want that AMD's root did not sign the CA", err)
	}
	false2 := *c
	false2.Leaf = false1.Leaf
	if _, err := new(Verifier).Verify(t.Context(), evidence(e.Quote, &false2), now); err == nil || !strings.Contains(err.Error(), `not signed by "SEV-Milan"`) {
		t.Errorf("got %v, want that AMD's CA did not sign the key", err)
	}
	false3 := *c
	false3.CRL = other.CRL()
	if _, err := new(Verifier).Verify(t.Context(), evidence(report, &false3), now); err == nil || !strings.Contains(err.Error(), `revocation list: not signed by "ARK-Milan"`) {
		t.Errorf("got %v, want that AMD's root did not sign the list", err)
	}
	// A root that was named for development is marked, unless it is AMD's own.
	root, err := x509.ParseCertificate(c.Root)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := (&Verifier{Root: root}).Verify(t.Context(), evidence(report, c), genuineAt); err != nil || got.Simulated {
		t.Errorf("got %v, %v, want AMD's own", got, err)
	}
}

// TestLibrarysSigner: what go-sev-guest's own false signer makes passes under its own root, and never under AMD's.
func TestLibrarysSigner(t *testing.T) {
	at := now.Add(time.Hour)
	s, err := sevtest.DefaultTestOnlyCertChain("Milan-B1", now)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{kds.VCEK, kds.VLEK} {
		report := make([]byte, kds.ReportSize)
		put(0, 2)(report)
		put(8, 0x30000)(report)
		put(0x34, 1)(report)
		c := &kds.Collateral{Leaf: s.Vcek.Raw, CA: s.Ask.Raw, Root: s.Ark.Raw}
		if kind == kds.VLEK {
			put(0x48, 1<<2)(report)
			c.Leaf, c.CA = s.Vlek.Raw, s.Asvk.Raw
		}
		r, x, err := s.Sign(abi.SignedComponent(report))
		if err == nil {
			err = abi.SetSignature(r, x, report)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := (&Verifier{Root: s.Ark}).Verify(t.Context(), evidence(report, c), at)
		if err != nil || !got.Simulated || got.AMD.SignedBy != kind || got.AMD.RevocationChecked {
			t.Errorf("%s: got %+v, %v", kind, got, err)
		}
		if _, err := new(Verifier).Verify(t.Context(), evidence(report, c), at); !errors.Is(err, kds.ErrUntrustedRoot) {
			t.Errorf("%s: got %v, want that AMD did not sign it", kind, err)
		}
	}
}
