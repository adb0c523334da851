package dcap

import (
	"context"
	"crypto/x509"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// TestStapleThenSource: collateral that comes along is used first, and refused collateral is made good by the source.
func TestStapleThenSource(t *testing.T) {
	revoked := []x509.RevocationListEntry{{SerialNumber: big.NewInt(3), RevocationTime: forgedAt}}
	revokedCA := []x509.RevocationListEntry{{SerialNumber: big.NewInt(2), RevocationTime: forgedAt}}
	revokedSigner := []x509.RevocationListEntry{{SerialNumber: big.NewInt(4), RevocationTime: forgedAt}}
	for _, test := range []struct {
		name   string
		staple func(*forge) // nil: no staple
		source *source      // its collateral is good unless it has an error
		asked  bool
		want   string // "" for a report
	}{
		{"no staple", nil, &source{}, true, ""},
		{"a good staple", func(*forge) {}, &source{err: errors.New("never asked")}, false, ""},
		{"an expired staple", func(f *forge) { narrowDocument(&f.tcbInfo, "2025-06-01T00:00:00Z", "2025-06-02T00:00:00Z") }, &source{}, true, ""},
		{"a staple of another platform", tcbInfoWith("00906ED50000", "00906ED50001"), &source{}, true, ""},
		{"a forged staple", func(f *forge) { f.signerKey = testKeys()["other"] }, &source{}, true, ""},
		{"a staple with a revoked signer", func(f *forge) { f.rootCRL.RevokedCertificateEntries = revokedSigner }, &source{}, true, ""},
		{"a staple that knows no level for it", qeIdentityWith(`"isvsvn":5`, `"isvsvn":6`), &source{}, true, ""},
		{"a staple that revokes the PCK", func(f *forge) { f.pckCRL.RevokedCertificateEntries = revoked }, &source{}, false,
			"PCK certificate: revoked on 2025-06-15T12:00:00Z by the PCK CRL (serial number 3)"},
		{"a staple that revokes the PCK CA", func(f *forge) { f.rootCRL.RevokedCertificateEntries = revokedCA }, &source{}, false,
			"PCK CA certificate: revoked on 2025-06-15T12:00:00Z by the root CRL (serial number 2)"},
		{"an expired staple, and the source is down", func(f *forge) { narrowDocument(&f.tcbInfo, "2025-06-01T00:00:00Z", "2025-06-02T00:00:00Z") }, &source{err: errors.New("it is down")}, true,
			"collateral that came with the evidence: TCB info: not valid after 2025-06-02T00:00:00Z, judged at 2025-06-15T12:00:00Z; and from the source: " +
				"collateral of the platform sgx 00906ed50000 (platform CA): it is down: can't be told now"},
		{"a forged staple, and the source has none", func(f *forge) { f.signerKey = testKeys()["other"] }, nil, false,
			`TCB info: not signed by "Intel SGX TCB Signing": the ECDSA signature does not verify`},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newForge()
			f.quote.Signature.QE.Report.ISVSVN = 5
			good, v := f.make(t)
			c, err := ParseCollateral(good.Collateral)
			if err != nil {
				t.Fatal(err)
			}
			e := &tee.Evidence{Platform: "dcap", Quote: good.Quote}
			if test.staple != nil {
				f := newForge()
				test.staple(f)
				other, _ := f.make(t)
				e.Collateral = relay(t, other.Collateral, c)
			}
			if test.source != nil {
				if test.source.err == nil {
					test.source.collateral = c
				}
				v.Collateral = test.source
			}
			r, err := v.Verify(t.Context(), e, forgedAt)
			if test.want == "" && err != nil || test.want != "" && (err == nil || err.Error() != test.want) {
				t.Errorf("got the error %v\nwant %q", err, test.want)
			}
			if (r != nil) != (test.want == "") {
				t.Errorf("got the report %v", r)
			}
			if test.source != nil && (test.source.asked.CA != "") != test.asked {
				t.Errorf("asked for %v, want that it is asked: %t", test.source.asked, test.asked)
			}
			if down := test.source != nil && test.source.err != nil && test.asked; errors.Is(err, tee.ErrUnavailable) != down {
				t.Errorf("got %v, want tee.ErrUnavailable: %t", err, down)
			}
		})
	}
}

// relay returns the stapled collateral with the certificates of the good one: each forge makes
// its own, of the same keys and serial numbers, and a chain must end in the root that is trusted.
func relay(t *testing.T, staple []byte, good *Collateral) []byte {
	t.Helper()
	c, err := ParseCollateral(staple)
	if err != nil {
		t.Fatal(err)
	}
	c.PCKCRLIssuerChain, c.TCBInfoIssuerChain, c.QEIdentityIssuerChain = good.PCKCRLIssuerChain, good.TCBInfoIssuerChain, good.QEIdentityIssuerChain
	return c.Marshal()
}

func TestSources(t *testing.T) {
	c := new(Collateral)
	p := Platform{"sgx", [6]byte{1}, "processor"}
	down, empty, good, never := &source{err: context.DeadlineExceeded}, &source{}, &source{collateral: c}, &source{collateral: c}
	got, err := Sources{down, empty, good, never}.Collateral(t.Context(), p)
	if got != c || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if down.asked != p || empty.asked != p || good.asked != p || never.asked == p {
		t.Errorf("asked %v, %v, %v, %v", down.asked, empty.asked, good.asked, never.asked)
	}
	_, err = Sources{down, empty, Sources{}}.Collateral(t.Context(), p)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrNoCollateral) {
		t.Errorf("got %v, want both errors", err)
	}
	if _, err := (Sources{}).Collateral(t.Context(), p); !errors.Is(err, ErrNoCollateral) {
		t.Errorf("no sources: got %v", err)
	}
}

func TestPlatformOfQuotes(t *testing.T) {
	for name, want := range map[string]string{
		processorQuote: "sgx 00a067110000 (processor CA)",
		platformQuote:  "sgx 00606a000000 (platform CA)",
		tdxQuote:       "tdx b0c06f000000 (platform CA)",
	} {
		q, err := ParseQuote(vector(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if p, err := q.Platform(); err != nil || p.String() != want {
			t.Errorf("%s: got %v, %v, want %s", name, p, err, want)
		}
	}
	for want, chain := range map[string]func(pck, ca, root []byte) []byte{
		"quote: PCK certificate chain: got 0 PEM certificates, want 3":                                            func(_, _, _ []byte) []byte { return nil },
		"quote: PCK certificate: the SGX extension 1.2.840.113741.1.13.1 is missing":                              func(_, ca, root []byte) []byte { return pemOf(ca, ca, root) },
		`quote: PCK certificate chain: common name of the PCK CA: got "Intel SGX Root CA", want "Intel SGX PCK P`: func(pck, _, root []byte) []byte { return pemOf(pck, root, root) },
	} {
		f := newForge()
		f.chain = chain
		e, _ := f.make(t)
		q, err := ParseQuote(e.Quote)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := q.Platform(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, %v, want %s", p, err, want)
		}
	}
}
