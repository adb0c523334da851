package dcap

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// hostile is a forge with one fault, and a part of the error that must tell it.
type hostile struct {
	name  string
	fault func(*forge)
	want  string
}

func refuse(t *testing.T, tests []hostile) {
	t.Helper()
	refuseFrom(t, newForge, tests)
}

func refuseFrom(t *testing.T, forge func() *forge, tests []hostile) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := forge()
			test.fault(f)
			r, err := f.verify(t)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got the error %v\nwant one with %q", err, test.want)
			}
			if r != nil {
				t.Error("got a report beside the error")
			}
		})
	}
}

func TestHostileLayout(t *testing.T) {
	e, v := newForge().make(t)
	le := func(offset int, value byte) func([]byte) []byte {
		return func(q []byte) []byte { q[offset] = value; return q }
	}
	const certification = 436 + 64 + 64 + 384 + 64 + 2 + 9 // after the 9 bytes of authentication data
	for _, test := range []struct {
		name  string
		fault func([]byte) []byte
		want  string
	}{
		{"empty", func([]byte) []byte { return nil }, "quote: cut short at offset 0: got 0 bytes, want 2"},
		{"too large", func(q []byte) []byte { return make([]byte, 64<<10+1) }, "quote: too large: got 65537 bytes, want at most 65536"},
		{"version 2", le(0, 2), "quote: version: got 2, want 3, 4 or 5"},
		{"version 6", le(0, 6), "quote: version: got 6, want 3, 4 or 5"},
		{"in the form of another version", le(0, 4), "quote: length of the certification data at offset 566: got 0, but"},
		{"P-384", le(2, 3), "quote: attestation key type: got 3, want 2 (ECDSA with P-256)"},
		{"TEE in version 3", le(4, 0x81), "quote: reserved bytes at offset 4: got 0x81, want 0"},
		{"another vendor", le(12, 0), "quote: vendor of the quoting enclave: got 009a7233f79c4ca9940a0db3957f0607, want 939a"},
		{"signature section one shorter than it says", func(q []byte) []byte { return q[:len(q)-1] }, "quote: length of the signature section at offset 432"},
		{"a byte behind the quote", func(q []byte) []byte { return append(q, 0) }, "quote: length of the signature section at offset 432"},
		{"signature section too short for its fields", func(q []byte) []byte { q[432], q[433] = 100, 0; return q[:536] }, "quote: cut short at offset 500"},
		{"authentication data longer than the quote", func(q []byte) []byte { q[1012], q[1013] = 0xff, 0xff; return q }, "quote: cut short at offset 1014"},
		{"certification data longer than the quote", func(q []byte) []byte { q[certification+2]++; return q }, "quote: length of the certification data at offset 1025"},
		{"certification data 4 GiB long", func(q []byte) []byte { q[certification+5] = 0xff; return q }, "quote: length of the certification data at offset 1025"},
		{"certification by PPID", le(certification, 3), "quote: certification data: got type 3 (the platform's PPID encrypted with RSA-3072), want type 5 (the PCK certificate chain)"},
		{"certification by a leaf", le(certification, 4), "got type 4 (a PCK certificate without its chain)"},
		{"certification as in version 4", le(certification, 6), "got type 6 (the certification of a quoting enclave, of quotes from version 4)"},
		{"certification by an unknown type", le(certification, 99), "got type 99 (unknown)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			hostile := *e
			hostile.Quote = test.fault(bytes.Clone(e.Quote))
			if _, err := v.Verify(context.Background(), &hostile, forgedAt); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got the error %v\nwant one with %q", err, test.want)
			}
		})
	}
	for n := range e.Quote {
		if _, err := ParseQuote(e.Quote[:n]); err == nil {
			t.Fatalf("cut to %d bytes it still parses", n)
		}
	}
}

func TestHostileEvidence(t *testing.T) {
	e, v := newForge().make(t)
	other := *e
	other.Platform = "snp"
	if _, err := v.Verify(context.Background(), &other, forgedAt); err == nil || err.Error() != `evidence of the platform "snp", want "dcap"` {
		t.Errorf("got %v", err)
	}
	bare := *e
	bare.Collateral = nil
	_, err := v.Verify(context.Background(), &bare, forgedAt)
	if !errors.Is(err, ErrNoCollateral) || !strings.HasPrefix(err.Error(), "platform sgx 00906ed50000 (platform CA): ") {
		t.Errorf("got %v", err)
	}
}

func TestHostilePEM(t *testing.T) {
	change := func(old, new string) func(*forge) {
		return func(f *forge) {
			f.chain = func(pck, ca, root []byte) []byte {
				return []byte(strings.Replace(string(pemOf(pck, ca, root)), old, new, 1))
			}
		}
	}
	chain := func(make func(pck, ca, root []byte) []byte) func(*forge) {
		return func(f *forge) { f.chain = make }
	}
	refuse(t, []hostile{
		{"nothing", chain(func(_, _, _ []byte) []byte { return nil }), "PCK certificate chain: got 0 PEM certificates, want 3"},
		{"only NULs", chain(func(_, _, _ []byte) []byte { return make([]byte, 100) }), "got 0 PEM certificates, want 3"},
		{"text before", change("-----BEGIN", "x-----BEGIN"), `PEM certificate 1 of 3: want "-----BEGIN CERTIFICATE-----" at its start`},
		{"another label", change("BEGIN CERTIFICATE", "BEGIN certificate"), "PEM certificate 1 of 3: want"},
		{"a space at the end of a line", change("\nMII", " \nMII"), "PEM certificate 1 of 3: illegal base64"},
		{"no end", change("-----END CERTIFICATE-----", ""), "PEM certificate 1 of 3: illegal base64"},
		{"no last end", chain(func(pck, ca, root []byte) []byte {
			return bytes.TrimSuffix(pemOf(pck, ca, root), []byte("-----END CERTIFICATE-----\n"))
		}), `PEM certificate 3 of 3: want "-----END CERTIFICATE-----" at its end`},
		{"two certificates", chain(func(pck, ca, root []byte) []byte { return pemOf(pck, ca) }), "got 2 PEM certificates, want 3"},
		{"four certificates", chain(func(pck, ca, root []byte) []byte { return pemOf(pck, ca, root, root) }), "got more than 3 PEM certificates, or something behind them"},
		{"text behind", chain(func(pck, ca, root []byte) []byte { return append(pemOf(pck, ca, root), 'x', 0) }), "or something behind them"},
		{"text behind a NUL", chain(func(pck, ca, root []byte) []byte { return append(pemOf(pck, ca, root), 0, 'x') }), "or something behind them"},
		{"an empty block", chain(func(pck, ca, root []byte) []byte { return pemOf(pck, nil, root) }), "PEM certificate 2 of 3: it is empty"},
		{"a byte behind a certificate", chain(func(pck, ca, root []byte) []byte { return pemOf(append(pck, 0), ca, root) }), "certificate 1 of 3: x509: trailing data"},
		{"no certificate in the root's place", chain(func(pck, ca, root []byte) []byte { return pemOf(pck, ca, []byte("root")) }), "PCK certificate chain: root: x509: malformed certificate"},
		{"root first", chain(func(pck, ca, root []byte) []byte { return pemOf(root, ca, pck) }), `ends in the root "Intel SGX PCK Certificate"`},
		{"leaf and CA swapped", chain(func(pck, ca, root []byte) []byte { return pemOf(ca, pck, root) }), `common name of the PCK CA: got "Intel SGX PCK Certificate"`},
		{"leaf twice", chain(func(pck, ca, root []byte) []byte { return pemOf(pck, pck, root) }), `common name of the PCK CA: got "Intel SGX PCK Certificate"`},
		{"CA twice", chain(func(pck, ca, root []byte) []byte { return pemOf(ca, ca, root) }), `issuer: got "Intel SGX Root CA", want "Intel SGX PCK Platform CA"`},
	})
}

func TestHostileChain(t *testing.T) {
	other := testKeys()["other"]
	critical := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}
	refuse(t, []hostile{
		{"not Intel's root", func(f *forge) { f.anchor = intelRoot() }, `PCK certificate chain: ends in the root "Intel SGX Root CA", whose key is not Intel's: untrusted root`},
		{"another development root", func(f *forge) { f.anchor = selfSigned(t, template(1, "Intel SGX Root CA", true), other) }, "which is not the given development root: untrusted root"},
		{"an edition of the root that it did not sign", func(f *forge) {
			f.chain = func(pck, ca, root []byte) []byte {
				// The signature's last byte is the last of the certificate.
				edition := bytes.Clone(root)
				edition[len(edition)-1] ^= 1
				return pemOf(pck, ca, edition)
			}
		}, "root: an edition that its own key did not sign"},
		{"root that is no CA", func(f *forge) { f.root.IsCA = false }, `root: "Intel SGX Root CA": not a CA by its basic constraints`},
		{"root that signs no CRLs", func(f *forge) { f.root.KeyUsage = x509.KeyUsageCertSign }, `root: "Intel SGX Root CA": its key usage`},
		{"root that allows no CA below", func(f *forge) { f.root.MaxPathLenZero = true }, "root: its path length constraint forbids the PCK CAs below it"},
		{"CA not by the root's key", func(f *forge) { f.rootKey = other }, `"Intel SGX PCK Platform CA": not signed by "Intel SGX Root CA"`},
		{"CA of another issuer", func(f *forge) {
			f.chain = func(pck, ca, root []byte) []byte {
				named := template(1, "Somebody's Root CA", true)
				return pemOf(pck, issue(t, f.ca, named, &testKeys()["ca"].PublicKey, f.rootKey), root)
			}
		}, `"Intel SGX PCK Platform CA": issuer: got "Somebody's Root CA", want "Intel SGX Root CA"`},
		{"CA of another name", func(f *forge) { f.ca.Subject.CommonName = "Intel SGX PCK Galaxy CA" }, `common name of the PCK CA: got "Intel SGX PCK Galaxy CA"`},
		{"CA that is no CA", func(f *forge) { f.ca.IsCA = false }, `"Intel SGX PCK Platform CA": not a CA by its basic constraints`},
		{"CA without key usage", func(f *forge) { f.ca.KeyUsage = x509.KeyUsageDigitalSignature }, `"Intel SGX PCK Platform CA": its key usage does not allow`},
		{"CA with an unknown critical extension", func(f *forge) { f.ca.ExtraExtensions = []pkix.Extension{critical} }, `"Intel SGX PCK Platform CA": unknown critical extension 1.2.3`},
		{"PCK not by the CA's key", func(f *forge) { f.caKey = other }, `"Intel SGX PCK Certificate": not signed by "Intel SGX PCK Platform CA"`},
		{"PCK of another name", func(f *forge) { f.pck.Subject.CommonName = nameTCBSigner }, `common name: got "Intel SGX TCB Signing", want "Intel SGX PCK Certificate"`},
		{"PCK that is a CA", func(f *forge) { f.pck.IsCA = true }, "its basic constraints do not say that it is no CA"},
		{"PCK without basic constraints", func(f *forge) { f.pck.BasicConstraintsValid = false }, "its basic constraints do not say that it is no CA"},
		{"PCK that may not sign data", func(f *forge) { f.pck.KeyUsage = x509.KeyUsageKeyAgreement }, `"Intel SGX PCK Certificate": its key usage does not allow to sign data`},
		{"PCK with an unknown critical extension", func(f *forge) { f.pck.ExtraExtensions = []pkix.Extension{critical} }, "unknown critical extension 1.2.3"},
		{"PCK with a key of another curve", func(f *forge) {
			f.chain = func(pck, ca, root []byte) []byte {
				key, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
				return pemOf(issue(t, f.pck, f.ca, &key.PublicKey, f.caKey), ca, root)
			}
		}, `"Intel SGX PCK Certificate": its key is not of the curve P-256`},
		{"PCK signed over SHA-384", func(f *forge) { f.pck.SignatureAlgorithm = x509.ECDSAWithSHA384 }, "signature algorithm: got ECDSA-SHA384, want ECDSA-SHA256"},
		{"PCK without the SGX extension", func(f *forge) {
			f.chain = func(pck, ca, root []byte) []byte {
				bare := template(3, namePCK, false)
				return pemOf(issue(t, bare, f.ca, &testKeys()["pck"].PublicKey, f.caKey), ca, root)
			}
		}, "SGX extension 1.2.840.113741.1.13.1 is missing"},
	})
}

func TestHostileSignatures(t *testing.T) {
	other := testKeys()["other"]
	refuse(t, []hostile{
		{"quoting enclave not signed by the PCK", func(f *forge) { f.pckKey = other }, "quote: report of the quoting enclave: not signed by the PCK"},
		{"quoting enclave changed", func(f *forge) { f.sealed = func(q *Quote) { q.Signature.QE.Report.ISVSVN++ } }, "not signed by the PCK"},
		{"authentication data changed", func(f *forge) { f.sealed = func(q *Quote) { q.Signature.QE.AuthData[0]++ } }, "quote: attestation key: the quoting enclave's report data is"},
		{"attestation key exchanged", func(f *forge) {
			f.sealed = func(q *Quote) {
				public, _ := other.PublicKey.Bytes()
				copy(q.Signature.Key[:], public[1:])
			}
		}, "quote: attestation key: the quoting enclave's report data is"},
		{"second half of the report data not zero", func(f *forge) {
			f.bound = func(q *Quote) { q.Signature.QE.Report.ReportData[63] = 1 }
		}, "quote: attestation key: the quoting enclave's report data is"},
		{"report data zero", func(f *forge) {
			f.bound = func(q *Quote) { q.Signature.QE.Report.ReportData = [64]byte{} }
		}, "quote: attestation key: the quoting enclave's report data is"},
		{"attestation key off the curve", func(f *forge) {
			f.bound = func(q *Quote) {
				q.Signature.Key[63]++
				q.Signature.QE.Report.ReportData = keyDigest(q)
			}
		}, "quote: attestation key: "},
		{"quote signed by another key", func(f *forge) { f.attestationKey = other }, "quote: not signed by its attestation key"},
		{"enclave changed", func(f *forge) { f.sealed = func(q *Quote) { q.Enclave.MRENCLAVE[0]++ } }, "quote: not signed by its attestation key"},
		{"reserved bytes changed", func(f *forge) { f.sealed = func(q *Quote) { q.Enclave.Reserved4[41]++ } }, "quote: not signed by its attestation key"},
		{"header changed", func(f *forge) { f.sealed = func(q *Quote) { q.Header.UserData[19]++ } }, "quote: not signed by its attestation key"},
		{"signature zero", func(f *forge) { f.sealed = func(q *Quote) { q.Signature.Quote = [64]byte{} } }, "quote: not signed by its attestation key"},
	})
}

// TestRootEditions: Intel's root was reissued with a later end, and quotes with the first edition are about.
func TestRootEditions(t *testing.T) {
	f := newForge()
	earlier := template(99, "Intel SGX Root CA", true)
	earlier.NotAfter = instant("2033-01-01T00:00:00Z")
	f.chain = func(pck, ca, root []byte) []byte {
		return pemOf(pck, ca, issue(t, earlier, earlier, &f.rootKey.PublicKey, f.rootKey))
	}
	if _, err := f.verify(t); err != nil {
		t.Error(err)
	}
}

func TestPadding(t *testing.T) {
	for _, padding := range []string{"", "\x00", "\r\n\x00\x00\x00"} {
		f := newForge()
		f.chain = func(pck, ca, root []byte) []byte {
			return slices.Concat(bytes.TrimSpace(pemOf(pck, ca, root)), []byte(padding))
		}
		if _, err := f.verify(t); err != nil {
			t.Errorf("%q behind the PEM: %v", padding, err)
		}
	}
}

func selfSigned(t testing.TB, template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(77)
	cert, err := x509.ParseCertificate(issue(t, template, template, &key.PublicKey, key))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
