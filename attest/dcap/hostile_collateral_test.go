package dcap

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

func TestHostileCollateralForm(t *testing.T) {
	e, v := newForge().make(t)
	good := string(e.Collateral)
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the collateral has no %q", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for _, test := range []struct{ name, collateral, want string }{
		{"no JSON", "x", "collateral: malformed JSON: got 'x' at offset 0, want an object"},
		{"cut short", good[:len(good)/2], "collateral: "},
		{"too large", strings.Repeat(" ", 1<<20+1), "collateral: too large: got 1048577 bytes, want at most 1048576"},
		{"an array", "[" + good + "]", "collateral: malformed JSON: got '[' at offset 0, want an object"},
		{"something behind", good + "{}", "collateral: something follows the JSON object"},
		{"missing", `{"pck_crl":"00"}`, `collateral: "pck_crl_issuer_chain" is missing`},
		{"unknown name", replace("{", `{"version": 3,`), `collateral: got the unknown name "version"`},
		{"name in another case", replace("tcb_info_issuer", "TCB_info_issuer"), `collateral: got the name "TCB_info_issuer_chain", want "tcb_info_issuer_chain"`},
		{"twice", replace("{", `{"pck_crl": "00",`), `collateral: "pck_crl" and "pck_crl": a name may come once only, in one spelling`},
		{"twice in two spellings", replace(`"root_ca_crl"`, `"PCK_CRL": "00", "root_ca_crl"`), `collateral: got the name "PCK_CRL", want "pck_crl"`},
		{"not a string", replace(`"root_ca_crl": "`, `"root_ca_crl": 1, "x": "`), "collateral: root_ca_crl: malformed JSON: got '1' at offset"},
		{"empty", replace(`"root_ca_crl": "`, `"root_ca_crl": "", "x": "`), "collateral: root_ca_crl: it is empty"},
		{"no hex", replace(`"root_ca_crl": "`, `"root_ca_crl": "x`), "collateral: root_ca_crl: encoding/hex: invalid byte"},
		{"signature too long", replace(`"tcb_info_signature": "`, `"tcb_info_signature": "00`), "collateral: tcb_info_signature: got 130 hex digits, want 128"},
		{"an unknown escape", replace(`\n`, `\y`), "collateral: pck_crl_issuer_chain: malformed JSON: got the escape \"y\" at offset "},
		{"characters outside of ASCII", replace(`BEGIN`, `\u00e9`), "collateral: pck_crl_issuer_chain: got characters outside of ASCII"},
		{"half a character", replace(`BEGIN`, `\ud800`), "collateral: pck_crl_issuer_chain: got characters outside of ASCII"},
		{"a string that does not end", `{"pck_crl":"\"`, "collateral: pck_crl: malformed JSON: ends at offset 14, in a string"},
		{"an escape that does not end", `{"pck_crl":"\`, "collateral: pck_crl: malformed JSON: ends at offset 13, in an escape"},
		{"a code that does not end", `{"pck_crl":"\u00`, "collateral: pck_crl: malformed JSON: ends at offset 16, in an escape"},
		{"a code of no hex", replace(`BEGIN`, `\u00g0`), "collateral: pck_crl_issuer_chain: malformed JSON: the escape at offset 34: encoding/hex: invalid byte"},
		{"a line break", replace(`BEGIN`, "BEG\nIN"), "collateral: pck_crl_issuer_chain: got the byte 0x0a at offset 37, want an escape"},
	} {
		t.Run(test.name, func(t *testing.T) {
			hostile := *e
			hostile.Collateral = []byte(test.collateral)
			if _, err := v.Verify(context.Background(), &hostile, forgedAt); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got the error %v\nwant one with %q", err, test.want)
			}
		})
	}
}

func TestHostileRevocationLists(t *testing.T) {
	other := testKeys()["other"]
	critical := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}} // a delta list
	revoke := func(serial int64) []x509.RevocationListEntry {
		return []x509.RevocationListEntry{{SerialNumber: big.NewInt(1000), RevocationTime: forgedAt}, {SerialNumber: big.NewInt(serial), RevocationTime: forgedAt}}
	}
	change := func(change func(c *Collateral)) func(*forge) {
		return func(f *forge) { f.collateral = change }
	}
	refuse(t, []hostile{
		{"root CRL missing", change(func(c *Collateral) { c.RootCACRL = nil }), "collateral: root_ca_crl: it is empty"},
		{"root CRL no DER", change(func(c *Collateral) { c.RootCACRL = []byte("CRL") }), "root CRL: x509: malformed crl"},
		{"root CRL with a byte behind", change(func(c *Collateral) { c.RootCACRL = append(c.RootCACRL, 0) }), "root CRL: got 1 bytes behind the list"},
		{"root CRL with a NULL behind its signature", change(func(c *Collateral) { c.RootCACRL = within(c.RootCACRL, 0x05, 0) }), "root CRL: something follows the signature of the list"},
		{"root CRL with a byte behind its signature", change(func(c *Collateral) { c.RootCACRL = within(c.RootCACRL, 0) }), "root CRL: something follows the signature of the list"},
		{"root CRL of the PCK CA", change(func(c *Collateral) { c.RootCACRL = c.PCKCRL }), `root CRL: issuer: got "Intel SGX PCK Platform CA", want "Intel SGX Root CA"`},
		{"root CRL by another key", func(f *forge) {
			f.collateral = func(c *Collateral) { c.RootCACRL = list(t, f.rootCRL, f.root, other) }
		}, `root CRL: not signed by "Intel SGX Root CA"`},
		{"root CRL that is a delta", func(f *forge) { f.rootCRL.ExtraExtensions = []pkix.Extension{critical} }, "root CRL: unknown critical extension 2.5.29.27"},
		{"root CRL revokes the PCK CA", func(f *forge) { f.rootCRL.RevokedCertificateEntries = revoke(2) }, "PCK CA certificate: revoked on 2025-06-15T12:00:00Z by the root CRL (serial number 2)"},
		{"root CRL revokes the TCB signer", func(f *forge) { f.rootCRL.RevokedCertificateEntries = revoke(4) }, "TCB info signer certificate: revoked on 2025-06-15T12:00:00Z by the root CRL (serial number 4)"},
		{"root CRL revokes the signer of the QE identity alone", func(f *forge) {
			f.rootCRL.RevokedCertificateEntries = revoke(5)
			f.collateral = func(c *Collateral) {
				signer := issue(t, template(5, nameTCBSigner, false), f.root, &testKeys()["signer"].PublicKey, f.rootKey)
				c.QEIdentityIssuerChain = string(pemOf(signer, rootOf(t, c)))
			}
		}, "QE identity signer certificate: revoked on 2025-06-15T12:00:00Z by the root CRL (serial number 5)"},
		{"root CRL without an end", func(f *forge) {
			f.collateral = func(c *Collateral) { c.RootCACRL = endless(t, f.root, f.rootKey) }
		}, "root CRL: nextUpdate is missing"},
		{"PCK CRL missing", change(func(c *Collateral) { c.PCKCRL = nil }), "collateral: pck_crl: it is empty"},
		{"PCK CRL by the root", change(func(c *Collateral) { c.PCKCRL = c.RootCACRL }), `PCK CRL: issuer: got "Intel SGX Root CA", want "Intel SGX PCK Platform CA"`},
		{"PCK CRL by another key", func(f *forge) {
			f.collateral = func(c *Collateral) { c.PCKCRL = list(t, f.pckCRL, f.ca, other) }
		}, `PCK CRL: not signed by "Intel SGX PCK Platform CA"`},
		{"PCK CRL over SHA-384", func(f *forge) { f.pckCRL.SignatureAlgorithm = x509.ECDSAWithSHA384 }, "PCK CRL: signature algorithm: got ECDSA-SHA384, want ECDSA-SHA256"},
		{"PCK CRL with an indirect entry", func(f *forge) {
			f.pckCRL.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(9), RevocationTime: forgedAt, ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 29}, Critical: true, Value: []byte{0x30, 0}}}}}
		}, "PCK CRL: entry 9: unknown critical extension 2.5.29.29"},
		{"PCK CRL revokes the PCK", func(f *forge) { f.pckCRL.RevokedCertificateEntries = revoke(3) }, "PCK certificate: revoked on 2025-06-15T12:00:00Z by the PCK CRL (serial number 3)"},
		{"PCK CRL of the other CA", func(f *forge) {
			f.collateral = func(c *Collateral) {
				processor := issue(t, template(6, nameProcessorCA, true), f.root, &other.PublicKey, f.rootKey)
				c.PCKCRLIssuerChain = string(pemOf(processor, rootOf(t, c)))
			}
		}, `PCK CRL issuer chain: got "Intel SGX PCK Processor CA", want "Intel SGX PCK Platform CA", which issued the PCK certificate`},
		{"PCK CRL of a CA with the same name and another key", func(f *forge) {
			f.collateral = func(c *Collateral) {
				twin := issue(t, template(6, namePlatformCA, true), f.root, &other.PublicKey, f.rootKey)
				c.PCKCRLIssuerChain = string(pemOf(twin, rootOf(t, c)))
			}
		}, `PCK CRL issuer chain: the key of "Intel SGX PCK Platform CA" is not that which signed the PCK certificate`},
		{"PCK CRL issuer chain under another root", func(f *forge) {
			f.collateral = func(c *Collateral) {
				c.PCKCRLIssuerChain = string(pemOf(rootOf(t, c), selfSigned(t, template(1, "Intel SGX Root CA", true), other).Raw))
			}
		}, "PCK CRL issuer chain: ends in the root \"Intel SGX Root CA\", which is not the given development root: untrusted root"},
	})
}

// endless makes a revocation list without nextUpdate, which the standard library refuses to make.
func endless(t testing.TB, issuer *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	type algorithm struct{ Algorithm asn1.ObjectIdentifier }
	ecdsaSHA256 := algorithm{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}
	tbs := asn(struct {
		Version    int
		Algorithm  algorithm
		Issuer     pkix.RDNSequence
		ThisUpdate time.Time
	}{1, ecdsaSHA256, issuer.Subject.ToRDNSequence(), instant("2025-01-01T00:00:00Z")})
	digest := sha256.Sum256(tbs)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return asn(struct {
		TBS       asn1.RawValue
		Algorithm algorithm
		Signature asn1.BitString
	}{rawDER(tbs), ecdsaSHA256, asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}})
}

// rootOf returns the root at the end of the collateral's chains.
func rootOf(t testing.TB, c *Collateral) []byte {
	t.Helper()
	ders, err := decodePEM([]byte(c.TCBInfoIssuerChain), 2)
	if err != nil {
		t.Fatal(err)
	}
	return ders[1]
}

func TestHostileSignedDocuments(t *testing.T) {
	other := testKeys()["other"]
	refuse(t, []hostile{
		{"TCB signer of another name", func(f *forge) { f.signer.Subject.CommonName = namePCK }, `TCB info issuer chain: common name: got "Intel SGX PCK Certificate", want "Intel SGX TCB Signing"`},
		{"TCB signer that is a CA", func(f *forge) { f.signer.IsCA = true }, "TCB info issuer chain: \"Intel SGX TCB Signing\": its basic constraints"},
		{"TCB signer below the PCK CA", func(f *forge) {
			f.collateral = func(c *Collateral) {
				signer := issue(t, f.signer, f.ca, &testKeys()["signer"].PublicKey, f.caKey)
				c.TCBInfoIssuerChain = string(pemOf(signer, rootOf(t, c)))
			}
		}, `TCB info issuer chain: "Intel SGX TCB Signing": issuer: got "Intel SGX PCK Platform CA", want "Intel SGX Root CA"`},
		{"TCB info issuer chain of three", func(f *forge) {
			f.collateral = func(c *Collateral) { c.TCBInfoIssuerChain += string(pemOf(rootOf(t, c))) }
		}, "TCB info issuer chain: got more than 2 PEM certificates"},
		{"both documents by another key", func(f *forge) { f.signerKey = other }, `TCB info: not signed by "Intel SGX TCB Signing"`},
		{"TCB info changed", func(f *forge) {
			f.collateral = func(c *Collateral) { c.TCBInfo = strings.Replace(c.TCBInfo, "OutOfDate", "UpToDate", 1) }
		}, "TCB info: not signed by"},
		{"TCB info with one more space", func(f *forge) {
			f.collateral = func(c *Collateral) { c.TCBInfo += " " }
		}, "TCB info: not signed by"},
		{"TCB info and QE identity exchanged", func(f *forge) { f.tcbInfo, f.qeIdentity = f.qeIdentity, f.tcbInfo }, `TCB info: id: got "QE", want "SGX"`},
		{"QE identity changed", func(f *forge) {
			f.collateral = func(c *Collateral) { c.QEIdentity = strings.Replace(c.QEIdentity, `"isvsvn":8`, `"isvsvn":9`, 1) }
		}, "QE identity: not signed by"},
		{"QE identity issuer chain of another root", func(f *forge) {
			f.collateral = func(c *Collateral) {
				root := selfSigned(t, template(1, "Intel SGX Root CA", true), other)
				c.QEIdentityIssuerChain = string(pemOf(issue(t, f.signer, root, &testKeys()["signer"].PublicKey, other), root.Raw))
			}
		}, "QE identity issuer chain: ends in the root"},
	})
}

// TestReissuedCA: a PCK CA that was certified anew, with the key it had, answers for the PCKs it issued before.
func TestReissuedCA(t *testing.T) {
	f := newForge()
	f.collateral = func(c *Collateral) {
		reissued := issue(t, template(8, namePlatformCA, true), f.root, &testKeys()["ca"].PublicKey, f.rootKey)
		c.PCKCRLIssuerChain = string(pemOf(reissued, rootOf(t, c)))
	}
	if _, err := f.verify(t); err != nil {
		t.Error(err)
	}
	f = newForge()
	f.rootCRL.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(8), RevocationTime: forgedAt}}
	f.collateral = func(c *Collateral) {
		reissued := issue(t, template(8, namePlatformCA, true), f.root, &testKeys()["ca"].PublicKey, f.rootKey)
		c.PCKCRLIssuerChain = string(pemOf(reissued, rootOf(t, c)))
	}
	if _, err := f.verify(t); err == nil || !strings.Contains(err.Error(), "PCK CA certificate: revoked") {
		t.Errorf("revoked in its new edition: got %v", err)
	}
}

// short returns collateral with a signature that is too short, as no file can have it.
func short(c *Collateral) *Collateral {
	hostile := *c
	hostile.TCBInfoSignature = hostile.TCBInfoSignature[:63]
	return &hostile
}

// source is a Source that notes what it was asked for.
type source struct {
	collateral *Collateral
	err        error
	asked      Platform
}

func (s *source) Collateral(_ context.Context, p Platform) (*Collateral, error) {
	s.asked = p
	return s.collateral, s.err
}

func TestSource(t *testing.T) {
	e, v := newForge().make(t)
	c, err := ParseCollateral(e.Collateral)
	if err != nil {
		t.Fatal(err)
	}
	bare := &tee.Evidence{Platform: "dcap", Quote: e.Quote}

	asked := &source{collateral: c}
	v.Collateral = asked
	if _, err := v.Verify(context.Background(), bare, forgedAt); err != nil {
		t.Error(err)
	}
	if want := (Platform{"sgx", [6]byte(unhex("00906ed50000")), "platform"}); asked.asked != want {
		t.Errorf("asked for %v, want %v", asked.asked, want)
	}
	// What comes with the evidence is used first.
	asked = &source{err: context.DeadlineExceeded}
	v.Collateral = asked
	if _, err := v.Verify(context.Background(), e, forgedAt); err != nil || asked.asked.CA != "" {
		t.Errorf("got %v, asked for %q", err, asked.asked.CA)
	}
	for want, s := range map[string]*source{
		"collateral of the platform sgx 00906ed50000 (platform CA): context deadline exceeded": {err: context.DeadlineExceeded},
		"collateral of the platform sgx 00906ed50000 (platform CA): no collateral":             {},
		`TCB info: not signed by "Intel SGX TCB Signing": signature: got 63 bytes, want 64`:    {collateral: short(c)},
		"root CRL: x509: malformed crl":                                            {collateral: new(Collateral)},
		"collateral: a part is too large: got 1048577 bytes, want at most 1048576": {collateral: &Collateral{TCBInfo: strings.Repeat(" ", 1<<20+1)}},
	} {
		v.Collateral = s
		_, err := v.Verify(context.Background(), bare, forgedAt)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		// A source without an answer tells nothing against the evidence.
		if unavailable := s.collateral == nil; errors.Is(err, tee.ErrUnavailable) != unavailable {
			t.Errorf("got %v, want tee.ErrUnavailable: %v", err, unavailable)
		}
	}
	// Nobody is asked about a quote that the root does not vouch for.
	asked = &source{collateral: c}
	if _, err := (&Verifier{Collateral: asked}).Verify(context.Background(), bare, forgedAt); err == nil || asked.asked.CA != "" {
		t.Errorf("got %v, asked for %q", err, asked.asked.CA)
	}
}
