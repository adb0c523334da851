package dcap

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"slices"
	"sync"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// A forge makes a platform, its collateral and a quote under a root of its
// own. A test changes one thing before all is signed, so that everything else is right.
type forge struct {
	root, ca, pck, signer *x509.Certificate // templates
	rootKey, caKey        *ecdsa.PrivateKey // that sign
	pckKey, signerKey     *ecdsa.PrivateKey
	attestationKey        *ecdsa.PrivateKey
	extension             []byte // of the PCK certificate
	rootCRL, pckCRL       *x509.RevocationList
	tcbInfo, qeIdentity   string
	quote                 *Quote

	// Changes in the course of make; nil means none.
	chain      func(pck, ca, root []byte) []byte // the PEM of the certification data
	bound      func(*Quote)                      // the key is bound to the report of the quoting enclave, nothing is signed
	sealed     func(*Quote)                      // all is signed
	collateral func(*Collateral)
	anchor     *x509.Certificate // what the verifier trusts; the forge's root if nil
}

const (
	forgedTCBInfo = `{"id":"SGX","version":3,"issueDate":"2025-06-01T00:00:00Z","nextUpdate":"2025-07-01T00:00:00Z","fmspc":"00906ED50000","pceId":"0000","tcbType":0,"tcbEvaluationDataNumber":17,"tcbLevels":[` +
		`{"tcb":{"sgxtcbcomponents":[{"svn":2},{"svn":2},{"svn":2},{"svn":2},{"svn":2},{"svn":2},{"svn":2},{"svn":2},{"svn":2},{"svn":2},{"svn":2},{"svn":2},{"svn":2},{"svn":2},{"svn":2},{"svn":2}],"pcesvn":13},"tcbDate":"2025-03-13T00:00:00Z","tcbStatus":"UpToDate"},` +
		`{"tcb":{"sgxtcbcomponents":[{"svn":1},{"svn":1},{"svn":1},{"svn":1},{"svn":1},{"svn":1},{"svn":1},{"svn":1},{"svn":1},{"svn":1},{"svn":1},{"svn":1},{"svn":1},{"svn":1},{"svn":1},{"svn":1}],"pcesvn":5},"tcbDate":"2024-03-13T00:00:00Z","tcbStatus":"OutOfDate","advisoryIDs":["INTEL-SA-00002","INTEL-SA-00001"]}]}`
	forgedQEIdentity = `{"id":"QE","version":2,"issueDate":"2025-06-02T00:00:00Z","nextUpdate":"2025-07-02T00:00:00Z","tcbEvaluationDataNumber":18,"miscselect":"00000000","miscselectMask":"FFFFFFFF","attributes":"11000000000000000000000000000000","attributesMask":"FBFFFFFFFFFFFFFF0000000000000000","mrsigner":"8C4F5775D796503E96137F77C68A829A0056AC8DED70140B081B094490C57BFF","isvprodid":1,"tcbLevels":[` +
		`{"tcb":{"isvsvn":8},"tcbDate":"2024-03-13T00:00:00Z","tcbStatus":"UpToDate"},` +
		`{"tcb":{"isvsvn":5},"tcbDate":"2020-11-11T00:00:00Z","tcbStatus":"OutOfDate","advisoryIDs":["INTEL-SA-00003","INTEL-SA-00001"]}]}`
)

// forgedAt is the instant at which what a forge makes is valid.
var forgedAt = instant("2025-06-15T12:00:00Z")

// testKeys are made once for all forges; more than one is never needed of a kind.
var testKeys = sync.OnceValue(func() map[string]*ecdsa.PrivateKey {
	keys := make(map[string]*ecdsa.PrivateKey)
	for _, name := range []string{"root", "ca", "pck", "signer", "attestation", "other"} {
		keys[name], _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return keys
})

func newForge() *forge {
	keys := testKeys()
	f := &forge{
		rootKey: keys["root"], caKey: keys["ca"], pckKey: keys["pck"], signerKey: keys["signer"], attestationKey: keys["attestation"],
		extension: sgxExtension(standardFields()...), tcbInfo: forgedTCBInfo, qeIdentity: forgedQEIdentity,
	}
	f.root = template(1, "Intel SGX Root CA", true)
	f.ca = template(2, namePlatformCA, true)
	f.pck = template(3, namePCK, false)
	f.signer = template(4, nameTCBSigner, false)
	f.rootCRL = listTemplate("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")
	f.pckCRL = listTemplate("2025-06-01T00:00:00Z", "2025-07-01T00:00:00Z")
	f.quote = &Quote{
		Header:  Header{Version: 3, KeyType: keyTypeP256, QESVN: 9, PCESVN: 14, QEVendorID: intelQE},
		Enclave: &EnclaveReport{ISVProdID: 7, ISVSVN: 3, Attributes: [16]byte{5}},
		Signature: Signature{
			QE:            QE{Report: EnclaveReport{ISVProdID: 1, ISVSVN: 8, Attributes: [16]byte{0x11, 8: 0xe7}}, AuthData: []byte("auth data")},
			Certification: Certification{Type: certifiesByChain},
		},
	}
	copy(f.quote.Enclave.ReportData[:], "report data")
	copy(f.quote.Signature.QE.Report.MRSIGNER[:], unhex("8C4F5775D796503E96137F77C68A829A0056AC8DED70140B081B094490C57BFF"))
	return f
}

func template(serial int64, name string, ca bool) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name, Organization: []string{"Intel Corporation"}},
		NotBefore: instant("2020-01-01T00:00:00Z"), NotAfter: instant("2040-01-01T00:00:00Z"),
		BasicConstraintsValid: true, IsCA: ca, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment,
	}
	if ca {
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		c.SubjectKeyId = []byte{byte(serial)}
	}
	return c
}

func listTemplate(from, to string) *x509.RevocationList {
	return &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: instant(from), NextUpdate: instant(to)}
}

// sgxField is one SEQUENCE { OID, value } of the PCK extension.
func sgxField(value any, arc ...int) []byte {
	return der2(tagSequence, asn(append(slices.Clone(oidSGX), arc...)), asn(value))
}

func sgxExtension(fields ...[]byte) []byte { return der2(tagSequence, fields...) }

// standardFields are those of a PCK of the processor CA.
func standardFields() [][]byte {
	return [][]byte{
		sgxField(make([]byte, 16), 1),
		sgxField(rawDER(sgxExtension(tcbFields()...)), 2),
		sgxField([]byte{0, 0}, 3),
		sgxField(unhex("00906ED50000"), 4),
		sgxField(asn1.Enumerated(1), 5),
	}
}

func tcbFields() (fields [][]byte) {
	for i := 1; i <= 16; i++ {
		fields = append(fields, sgxField(2, 2, i))
	}
	return append(fields, sgxField(13, 2, 17), sgxField(make([]byte, 16), 2, 18))
}

func asn(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func der2(tag byte, parts ...[]byte) []byte {
	return asn(asn1.RawValue{Tag: int(tag & 0x1f), IsCompound: tag&0x20 != 0, Bytes: slices.Concat(parts...)})
}

func unhex(s string) []byte {
	b := make([]byte, len(s)/2)
	d := document{text: `"` + s + `"`}
	if err := d.hex(b); err != nil {
		panic(err)
	}
	return b
}

func pemOf(ders ...[]byte) (text []byte) {
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return text
}

func sign(t testing.TB, key *ecdsa.PrivateKey, message []byte) []byte {
	t.Helper()
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signature
}

// make signs everything and returns the evidence and a verifier that trusts the forge's root.
func (f *forge) make(t testing.TB) (*tee.Evidence, *Verifier) {
	t.Helper()
	f.pck.ExtraExtensions = append(f.pck.ExtraExtensions, pkix.Extension{Id: oidSGX, Value: f.extension})
	root := issue(t, f.root, f.root, &testKeys()["root"].PublicKey, testKeys()["root"])
	ca := issue(t, f.ca, f.root, &testKeys()["ca"].PublicKey, f.rootKey)
	pck := issue(t, f.pck, f.ca, &testKeys()["pck"].PublicKey, f.caKey)
	signer := issue(t, f.signer, f.root, &testKeys()["signer"].PublicKey, f.rootKey)

	c := &Collateral{
		PCKCRLIssuerChain:     string(pemOf(ca, root)),
		RootCACRL:             list(t, f.rootCRL, f.root, f.rootKey),
		PCKCRL:                list(t, f.pckCRL, f.ca, f.caKey),
		TCBInfoIssuerChain:    string(pemOf(signer, root)),
		TCBInfo:               f.tcbInfo,
		TCBInfoSignature:      sign(t, f.signerKey, []byte(f.tcbInfo)),
		QEIdentityIssuerChain: string(pemOf(signer, root)),
		QEIdentity:            f.qeIdentity,
		QEIdentitySignature:   sign(t, f.signerKey, []byte(f.qeIdentity)),
	}
	if f.collateral != nil {
		f.collateral(c)
	}
	f.signQuote(t, pck, ca, root)
	quote, err := f.quote.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	anchor := f.anchor
	if anchor == nil {
		if anchor, err = x509.ParseCertificate(root); err != nil {
			t.Fatal(err)
		}
	}
	return &tee.Evidence{Platform: "dcap", Quote: quote, Collateral: c.Marshal()}, &Verifier{Root: anchor}
}

func (f *forge) signQuote(t testing.TB, pck, ca, root []byte) {
	t.Helper()
	s := &f.quote.Signature
	public, err := testKeys()["attestation"].PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	copy(s.Key[:], public[1:])
	s.QE.Report.ReportData = keyDigest(f.quote)
	if f.bound != nil {
		f.bound(f.quote)
	}
	copy(s.QE.Signature[:], sign(t, f.pckKey, s.QE.Report.Marshal()))
	copy(s.Quote[:], sign(t, f.attestationKey, f.quote.Signed()))
	s.Certification.Data = append(pemOf(pck, ca, root), 0)
	if f.chain != nil {
		s.Certification.Data = f.chain(pck, ca, root)
	}
	if f.sealed != nil {
		f.sealed(f.quote)
	}
}

// keyDigest is the report data that binds the attestation key to the quoting enclave.
func keyDigest(q *Quote) (data [64]byte) {
	digest := sha256.Sum256(slices.Concat(q.Signature.Key[:], q.Signature.QE.AuthData))
	copy(data[:], digest[:])
	return data
}

func (f *forge) verify(t testing.TB) (*tee.Report, error) {
	t.Helper()
	e, v := f.make(t)
	return v.Verify(context.Background(), e, forgedAt)
}

func issue(t testing.TB, template, parent *x509.Certificate, key any, parentKey *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func list(t testing.TB, template *x509.RevocationList, issuer *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	named := *issuer
	named.KeyUsage |= x509.KeyUsageCRLSign // the standard library signs for no other; the verifier judges the certificate
	der, err := x509.CreateRevocationList(rand.Reader, template, &named, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
