package simulated_test

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// TestVariants holds the verifier against what each variant says of itself.
func TestVariants(t *testing.T) {
	data := [64]byte{0: 1, 63: 2}
	for _, v := range simulated.Variants() {
		t.Run(v.Name, func(t *testing.T) {
			p := platform(t, v.Config)
			r, err := (&dcap.Verifier{Root: p.Root()}).Verify(t.Context(), quote(t, p, data), made)
			if !v.Genuine {
				wantRefused(t, v.Config.Fault, err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := r.TCB
			if (len(got.Shortfalls) == 0) != newest(got) {
				t.Errorf("got the shortfalls %v at the levels %v", got.Shortfalls, got.Levels)
			}
			got.Shortfalls, got.Remedies = nil, nil
			got.Advisories = some(got.Advisories)
			for i := range got.Levels {
				got.Levels[i].Advisories = some(got.Levels[i].Advisories)
			}
			if !reflect.DeepEqual(got, v.TCB) {
				t.Errorf("TCB: got %+v, want %+v", got, v.TCB)
			}
			if r.Debug != v.Debug || r.PCKCA != v.PCKCA {
				t.Errorf("got debug %v, PCK CA %q, want %v, %q", r.Debug, r.PCKCA, v.Debug, v.PCKCA)
			}
			if !r.Simulated || r.TEE != cmp.Or(v.Config.TEE, "sgx") || r.FMSPC != simulated.FMSPC || r.Data != data {
				t.Errorf("got simulated %v, TEE %q, FMSPC %q, data %x", r.Simulated, r.TEE, r.FMSPC, r.Data)
			}
		})
	}
}

// newest tells whether all parts are at their newest level, below which something must fall short.
func newest(tcb tee.TCB) bool {
	return !slices.ContainsFunc(tcb.Levels, func(l tee.Level) bool { return l.Status != tee.UpToDate })
}

// some returns nil for an empty list.
func some(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

// wantRefused checks that the evidence is refused for its fault, not for another reason.
func wantRefused(t *testing.T, f simulated.Fault, err error) {
	t.Helper()
	want, ok := refusals[f]
	if !ok {
		t.Fatalf("no refusal is known for this fault: %v", err)
	}
	if err == nil {
		t.Fatal("accepted")
	}
	if !slices.ContainsFunc(strings.Split(want, " or "), func(want string) bool {
		return !slices.ContainsFunc(strings.Split(want, " … "), func(w string) bool { return !strings.Contains(err.Error(), w) })
	}) {
		t.Errorf("got %q, want %q in it", err, want)
	}
}

// refusals is what the verifier must say of each fault: all that is between the dots, of one of the alternatives.
var refusals = map[simulated.Fault]string{
	simulated.LookalikeRoot:        "PCK certificate chain … not the given development root",
	simulated.PCKRevoked:           "PCK certificate … revoked",
	simulated.PCKCARevoked:         "PCK CA certificate … revoked",
	simulated.TCBSignerRevoked:     "TCB info signer certificate … revoked",
	simulated.PCKExpired:           "PCK certificate … not valid after",
	simulated.PCKNotYetValid:       "PCK certificate … not valid before",
	simulated.TCBSignerExpired:     "TCB info signer certificate … not valid after",
	simulated.TCBSignerNotYetValid: "TCB info signer certificate … not valid before",
	simulated.PCKForged:            `"Intel SGX PCK Certificate": not signed by "Intel SGX PCK Platform CA"`,
	simulated.PCKCANotCA:           `"Intel SGX PCK Platform CA": not a CA`,
	simulated.PCKCAExpired:         "PCK CA certificate … not valid after",
	simulated.PCKCANotYetValid:     "PCK CA certificate … not valid before",
	simulated.PCKCAMisnamed:        `common name of the PCK CA: got "Intel SGX PCK Other CA"`,
	simulated.PCKWithoutSGX:        "SGX extension … missing",
	simulated.TCBSignerForged:      `"Intel SGX TCB Signing": not signed by "Intel SGX Root CA"`,
	simulated.TCBSignerMisnamed:    `got "Intel SGX Other Signing", want "Intel SGX TCB Signing"`,
	simulated.QESignerRevoked:      "QE identity signer certificate … revoked",
	simulated.QESignerExpired:      "QE identity signer certificate … not valid after",
	simulated.QESignerNotYetValid:  "QE identity signer certificate … not valid before",
	simulated.QESignerForged:       "QE identity issuer chain … not signed by",
	simulated.QESignerMisnamed:     `QE identity issuer chain … got "Intel SGX Other Signing"`,
	simulated.RootCRLMissing:       "root_ca_crl … empty",
	simulated.RootCRLExpired:       "root CRL: not valid after",
	simulated.RootCRLNotYetValid:   "root CRL: not valid before",
	simulated.RootCRLForged:        "root CRL: not signed by",
	simulated.PCKCRLMissing:        "pck_crl … empty",
	simulated.PCKCRLExpired:        "PCK CRL: not valid after",
	simulated.PCKCRLNotYetValid:    "PCK CRL: not valid before",
	simulated.PCKCRLForged:         "PCK CRL: not signed by",
	simulated.PCKCRLOfOtherCA:      `PCK CRL issuer chain: got "Intel SGX PCK Processor CA"`,

	simulated.TCBInfoExpired:        "TCB info: not valid after",
	simulated.TCBInfoNotYetValid:    "TCB info: not valid before",
	simulated.TCBInfoForged:         "TCB info: not signed by",
	simulated.TCBInfoAltered:        "TCB info: not signed by",
	simulated.TCBInfoOfOtherFMSPC:   "fmspc: got f0c7b0de0001, want f0c7b0de0000",
	simulated.TCBInfoOfOtherPCEID:   "pceId: got 0001, want 0000",
	simulated.TCBInfoOfTDX:          `TCB info: id: got "TDX"`,
	simulated.TCBInfoOfVersion4:     "TCB info: version: got 4",
	simulated.TCBInfoOfOtherType:    "TCB info: tcbType: got 1",
	simulated.NoLevelReached:        "TCB info: the platform reaches none",
	simulated.QEIdentityExpired:     "QE identity: not valid after",
	simulated.QEIdentityNotYetValid: "QE identity: not valid before",
	simulated.QEIdentityForged:      "QE identity: not signed by",
	simulated.QEIdentityAltered:     "QE identity: not signed by",
	simulated.QEIdentityOfTDX:       `QE identity: id: got "TD_QE"`,
	simulated.NoQELevelReached:      "QE identity: the quoting enclave reaches none",

	simulated.QEReportForged:     "report of the quoting enclave: not signed by the PCK",
	simulated.QEReportOfOtherKey: "attestation key … report data",
	simulated.QEReportDataTail:   "attestation key … report data",
	simulated.QEOtherMRSIGNER:    "quoting enclave: mrsigner",
	simulated.QEOtherISVProdID:   "quoting enclave: isvprodid",
	simulated.QEOtherMiscselect:  "quoting enclave: miscselect",
	simulated.QEDebug:            "quoting enclave: attributes",
	simulated.QuoteForged:        "quote: not signed by its attestation key",
	simulated.QuoteAltered:       "quote: not signed by its attestation key",
	simulated.QuoteHeaderAltered: "quote: not signed by its attestation key",
	simulated.QuoteOtherVendor:   "vendor of the quoting enclave",
	simulated.QuoteOtherVersion:  "version: got 2",
	simulated.QuoteOtherKeyType:  "attestation key type: got 3",
	simulated.QuoteOtherTEE:      "at offset 4: got 0x82",
	simulated.QuoteSwappedTEE:    "at offset 4: got 0x81 or quote: length of the signature section or quote: body type at offset 48",

	simulated.QuoteTruncated:          "length of the signature section",
	simulated.QuoteTrailing:           "length of the signature section or padding … got the byte 0x01",
	simulated.SignatureLengthShort:    "length of the signature section or length of the certification data",
	simulated.SignatureLengthLong:     "length of the signature section",
	simulated.AuthDataLengthShort:     "length of the certification data",
	simulated.AuthDataLengthLong:      "length of the certification data",
	simulated.CertificationLengthLong: "length of the certification data",
	simulated.CertificationEmpty:      "PCK certificate chain: got 0 PEM certificates",
	simulated.AttestationKeyOffCurve:  "attestation key … not on curve",

	simulated.CertificationPPID:     "got type 1 (the platform's PPID in the clear), want type 5",
	simulated.CertificationRSA2048:  "got type 2 (the platform's PPID encrypted with RSA-2048), want type 5",
	simulated.CertificationRSA3072:  "got type 3 (the platform's PPID encrypted with RSA-3072), want type 5",
	simulated.CertificationPCKAlone: "got type 4 (a PCK certificate without its chain), want type 5",
	simulated.CertificationQEReport: "got type 6 … want type 5",
	simulated.CertificationManifest: "got type 7 (a platform manifest), want type 5",
	simulated.CertificationUnknown:  "got type 8 (unknown), want type 5",

	simulated.CertificationFlat:       "length of the certification data",
	simulated.CertificationOuterChain: "got type 5 … want type 6",
	simulated.CertificationOuterOther: "got type 7 … want type 6",
	simulated.CertificationOuterShort: "length of the certification data",
	simulated.CertificationOuterLong:  "length of the certification data",

	simulated.BodyTypeUnknown: "body type at offset 48: got 9",
	simulated.BodyTypeOther:   "body type at offset 48: got 2, want 1 or size of the body at offset 50",
	simulated.BodySizeShort:   "size of the body at offset 50",
	simulated.BodySizeLong:    "size of the body at offset 50",
	simulated.BodySizeHuge:    "size of the body at offset 50: got 4294967295",

	simulated.ModuleWithoutIdentity:    "tdxModuleIdentities: got TDX_03, TDX_01, want TDX_02",
	simulated.ModuleBelowLevels:        "TDX_01: the TDX module reaches none",
	simulated.ModuleOtherMRSIGNER:      "TDX module: mrsignerseam … TDX_01",
	simulated.ModuleOtherAttributes:    "TDX module: seam_attributes … TDX_01",
	simulated.ModuleMaskedAttributes:   "TDX module: seam_attributes … want zero",
	simulated.ModuleIdentityOther:      "TDX module: mrsignerseam … TDX_01",
	simulated.ModuleIdentitiesMissing:  "tdxModuleIdentities: got none, want TDX_01",
	simulated.ModuleMissing:            `"tdxModule" is missing`,
	simulated.FirstModuleOtherMRSIGNER: "TDX module: mrsignerseam … tdxModule",
	simulated.FirstModuleBelowLevels:   "the platform reaches none … tdxtcbcomponents[0]",
	simulated.TDXComponentShort:        "the platform reaches none … tdxtcbcomponents[2]",
	simulated.TDXComponentsMissing:     `"tdxtcbcomponents" is missing`,
	simulated.TCBInfoOfVersion2:        "version 2 is about SGX",
	simulated.TCBInfoOfSGX:             `TCB info: id: got "SGX"`,
	simulated.QEIdentityOfSGX:          `QE identity: id: got "QE"`,
}

// TestProductionVerifierRefuses: nothing that is simulated passes for Intel's.
func TestProductionVerifierRefuses(t *testing.T) {
	for _, v := range simulated.Variants() {
		p := platform(t, v.Config)
		if _, err := new(dcap.Verifier).Verify(t.Context(), quote(t, p, [64]byte{}), made); err == nil {
			t.Errorf("%s: accepted under Intel's root", v.Name)
		}
	}
}

func TestValidityIsTheWindowOfTheEvidence(t *testing.T) {
	p := platform(t, simulated.Config{})
	e, v := quote(t, p, [64]byte{}), &dcap.Verifier{Root: p.Root()}
	w := simulated.Validity(made)
	for _, c := range []struct {
		name    string
		at      time.Time
		genuine bool
	}{
		{"the first second", w.NotBefore, true},
		{"the last second", w.NotAfter, true},
		{"a second before", w.NotBefore.Add(-time.Second), false},
		{"a second after", w.NotAfter.Add(time.Second), false},
	} {
		r, err := v.Verify(t.Context(), e, c.at)
		if (err == nil) != c.genuine {
			t.Errorf("%s: got error %v, want genuine %v", c.name, err, c.genuine)
		}
		if err == nil && r.Collateral != (tee.Window{NotBefore: w.NotBefore, NotAfter: w.NotAfter}) {
			t.Errorf("%s: got the window %v, want %v", c.name, r.Collateral, w)
		}
	}
}

func TestCollateralServesEvidenceThatBringsNone(t *testing.T) {
	p := platform(t, simulated.Config{})
	e := quote(t, p, [64]byte{})
	e = &tee.Evidence{Platform: e.Platform, Quote: e.Quote}
	if _, err := (&dcap.Verifier{Root: p.Root(), Collateral: p.Collateral()}).Verify(t.Context(), e, made); err != nil {
		t.Error(err)
	}
}
