package dcap_test

import (
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// genuineVector is evidence of Intel's hardware, and what is known of it.
type genuineVector struct {
	format, quote, collateral string
	at                        time.Time
	debug                     bool
	want                      tee.TCB
}

var june, august = time.Date(2025, 6, 20, 0, 0, 0, 0, time.UTC), time.Date(2025, 8, 20, 0, 0, 0, 0, time.UTC)

var genuineVectors = []genuineVector{
	{"SGX v3", "dcap/sgx_v3_processor_ca.quote", "dcap/sgx_v3_processor_ca.collateral.json", june, false, tee.TCB{
		Status: tee.ConfigurationAndSWHardeningNeeded, Platform: tee.ConfigurationAndSWHardeningNeeded, QE: tee.UpToDate,
		Advisories: []string{"INTEL-SA-00289", "INTEL-SA-00615"},
	}},
	{"SGX v3", "dcap/sgx_v3_platform_ca.quote", "dcap/fmspc_00606a000000.2025-08.collateral.json", august, false, tee.TCB{
		Status: tee.SWHardeningNeeded, Platform: tee.SWHardeningNeeded, QE: tee.UpToDate,
		Advisories: []string{"INTEL-SA-00615"},
	}},
	{"SGX v3", "original/quote.bin", "dcap/fmspc_00606a000000.2025-08.collateral.json", august, true, tee.TCB{
		Status: tee.OutOfDateConfigurationNeeded, Platform: tee.OutOfDateConfigurationNeeded, QE: tee.UpToDate,
		Advisories: []string{"INTEL-SA-00615", "INTEL-SA-00657", "INTEL-SA-00767", "INTEL-SA-00828", "INTEL-SA-00837", "INTEL-SA-00960"},
	}},
	{"TDX v4", paddedVector, "dcap/tdx_v4.collateral.json", june, false, tee.TCB{
		Status: tee.UpToDate, Platform: tee.UpToDate, Module: tee.UpToDate, QE: tee.UpToDate,
	}},
}

// paddedVector is the genuine quote that has zeros after it; it is asked about without them, too.
const (
	paddedVector = "dcap/tdx_v4.quote"
	unpadded     = ", without its padding"
)

// tdxSigned is the size of what is signed in a TDX quote v4, after which the length of the signature section tells where the quote ends.
const tdxSigned = 48 + 584

// vectors reads what the shared vectors hold; without them the test is skipped.
func vectors(t *testing.T) []evidence {
	t.Helper()
	var all []evidence
	for _, g := range genuineVectors {
		c, err := dcap.ParseCollateral(vector(t, g.collateral))
		if err != nil {
			t.Fatal(err)
		}
		// The advisories of all of them are the platform's.
		g.want.Levels = []tee.Level{{Part: tee.PartPlatform, Advisories: g.want.Advisories}}
		e := evidence{format: g.format, name: g.quote, quote: vector(t, g.quote), collateral: c, at: g.at, debug: g.debug, genuine: true, want: g.want}
		all = append(all, e)
		if g.quote == paddedVector {
			e.name, e.quote = g.quote+unpadded, e.quote[:tdxSigned+4+binary.LittleEndian.Uint32(e.quote[tdxSigned:])]
			all = append(all, e)
		}
	}
	return all
}

func vector(t *testing.T, name string) []byte {
	t.Helper()
	path := filepath.Join("..", "..", "..", "shared", "vectors", name)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("needs the shared vectors: %s is absent", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestGenuine asks every implementation about Intel's hardware.
func TestGenuine(t *testing.T) { compare(t, vectors(t)) }

// TestGenuineIsNotSimulated: under a development root nothing of Intel's passes.
func TestGenuineIsNotSimulated(t *testing.T) {
	all := vectors(t)
	for i := range all {
		all[i].root = variants(t)[0].root
	}
	refuseAll(t, all)
}

// lookalikePlaces are the places where a chain or a list of the false root that has Intel's name is put among genuine ones.
var lookalikePlaces = []struct {
	name string
	put  func(t *testing.T, e *evidence)
}{
	{"lookalike root in the quote", func(t *testing.T, e *evidence) { recertify(t, e, 2, "trustedRootCaCert.pem") }},
	{"lookalike PCK CA and root in the quote", func(t *testing.T, e *evidence) { recertify(t, e, 1, "pckSignChain.pem") }},
	{"lookalike TCB info issuer chain", func(t *testing.T, e *evidence) {
		e.collateral.TCBInfoIssuerChain = string(vector(t, "dcap/lookalike/tcbSignChain.pem"))
	}},
	{"lookalike QE identity issuer chain", func(t *testing.T, e *evidence) {
		e.collateral.QEIdentityIssuerChain = string(vector(t, "dcap/lookalike/tcbSignChain.pem"))
	}},
	{"lookalike PCK CRL issuer chain", func(t *testing.T, e *evidence) {
		e.collateral.PCKCRLIssuerChain = string(vector(t, "dcap/lookalike/pckSignChain.pem"))
	}},
	{"lookalike root CRL", func(t *testing.T, e *evidence) { e.collateral.RootCACRL = vector(t, "dcap/lookalike/rootCaCrl.der") }},
	{"lookalike PCK CRL", func(t *testing.T, e *evidence) {
		e.collateral.PCKCRL = vector(t, "dcap/lookalike/intermediateCaCrl.der")
	}},
}

// recertify replaces the certificates of the quote from the given one on.
func recertify(t *testing.T, e *evidence, from int, file string) {
	t.Helper()
	q, err := dcap.ParseQuote(e.quote)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := q.Signature.Certification.Chain()
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, c := range chain[:from] {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	q.Signature.Certification.Data = slices.Concat(text, vector(t, "dcap/lookalike/"+file))
	if e.quote, err = q.Marshal(); err != nil {
		t.Fatal(err)
	}
}

// TestLookalike puts the false root into every place of genuine SGX evidence; and its
// own quote is refused with its own collateral, under Intel's root and under itself, since it has no certificates.
func TestLookalike(t *testing.T) {
	genuine := vectors(t)[1]
	var all []evidence
	for _, place := range lookalikePlaces {
		e, c := genuine, *genuine.collateral
		e.name, e.genuine, e.collateral = place.name, false, &c
		place.put(t, &e)
		all = append(all, e)
	}
	compare(t, all)
}

// TestLookalikeQuote: the false root's own quote has no certificates; nobody takes them from elsewhere.
func TestLookalikeQuote(t *testing.T) {
	own := vectors(t)[1]
	own.name, own.quote = "lookalike quote", vector(t, "dcap/lookalike/quote.dat")
	underItself := own
	block, _ := pem.Decode(vector(t, "dcap/lookalike/trustedRootCaCert.pem"))
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	underItself.root = root
	refuseAll(t, []evidence{own, underItself})
}
