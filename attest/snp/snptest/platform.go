package snptest

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/google/go-sev-guest/testing/data"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Config says what a platform is like. Its zero value is a Milan in good order.
type Config struct {
	Product  string           // kds.Milan, kds.Genoa or kds.Turin; empty: Milan
	Version  uint32           // of its reports: 2, 3 or 5; 0: 3
	SignedBy string           // kds.VCEK or kds.VLEK; empty: VCEK
	Chip     byte             // tells chips apart: it is the first byte of the chip's id
	TCB      tee.AMDTCB       // of all parts of the report; zero: a bootloader 3, SNP 8, microcode 115
	Now      func() time.Time // nil: time.Now; certificates are valid from a year before, revocation lists from an hour before

	// Report changes a report before it is signed; nil changes nothing. The offsets are those of AMD publication 56860.
	Report func(report []byte)
	// Leaf and CA change a certificate before it is signed; nil changes nothing.
	Leaf, CA func(*x509.Certificate)
	// CRL changes a revocation list before it is signed; nil changes nothing.
	CRL func(*x509.RevocationList)
	// Revoked puts the CA on the revocation list.
	Revoked bool
	// Bare leaves all collateral out of the evidence.
	Bare bool
}

// Platform is a chip with the certificates of its maker. It is a [tee.Quoter], and a [kds.Source] of itself. It may be used by many goroutines at once.
type Platform struct {
	config         Config
	tcb            uint64
	root, ca, leaf *x509.Certificate
}

// lists are valid for so long.
const listTime = 45 * 24 * time.Hour

// New makes a platform. It takes some 50 ms.
func New(c Config) (*Platform, error) {
	c.Product, c.SignedBy, c.Version = cmp.Or(c.Product, kds.Milan), cmp.Or(c.SignedBy, kds.VCEK), cmp.Or(c.Version, 3)
	if c.TCB == (tee.AMDTCB{}) {
		c.TCB = tee.AMDTCB{Bootloader: 3, SNP: 8, Microcode: 115}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Platform{config: c, tcb: version(c.Product, c.TCB)}
	if err := p.certify(); err != nil {
		return nil, fmt.Errorf("snptest: %w", err)
	}
	return p, nil
}

// Root is the development root, for a verifier.
func (p *Platform) Root() *x509.Certificate { return p.root }

// RootPEM is the development root in PEM, for a policy's simulated_root.
func (p *Platform) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.root.Raw})
}

// About is what collateral is asked for by.
func (p *Platform) About() kds.Platform {
	about, err := kds.ParsePlatform(p.unsigned([64]byte{}))
	if err != nil {
		return kds.Platform{} // of a version or product that a test made up
	}
	return about
}

// Certificates are all certificates and a revocation list of this moment.
func (p *Platform) Certificates() *kds.Collateral {
	return &kds.Collateral{Leaf: p.leaf.Raw, CA: p.ca.Raw, Root: p.root.Raw, CRL: p.CRL()}
}

// Collateral implements [kds.Source]: of a VLEK it has no leaf, as AMD's service has none.
func (p *Platform) Collateral(_ context.Context, about kds.Platform) (*kds.Collateral, error) {
	c := p.Certificates()
	if want := p.About(); about.SignedBy != want.SignedBy || about.SignedBy == kds.VCEK && about != want {
		return nil, fmt.Errorf("no collateral of %v, want to be asked for %v", about, want)
	}
	if p.config.SignedBy == kds.VLEK {
		c.Leaf = nil
	}
	return c, nil
}

// Quote implements [tee.Quoter]: evidence that carries data, with all collateral.
func (p *Platform) Quote(_ context.Context, data [64]byte) (*tee.Evidence, error) {
	report, err := p.Report(data)
	if err != nil {
		return nil, err
	}
	e := &tee.Evidence{Platform: tee.SNP, Quote: report}
	if !p.config.Bare {
		e.Collateral = p.Certificates().Marshal()
	}
	return e, nil
}

// Table is the certificate table that a host gives its guests (the auxblob of configfs-tsm): no revocation list is in it.
func (p *Platform) Table() []byte {
	guid := []byte{0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd}
	if p.config.SignedBy == kds.VLEK {
		guid = []byte{0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1}
	}
	ca := []byte{0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82}
	root := []byte{0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae}
	var table, certs []byte
	at := 4 * 24
	for _, e := range []struct {
		guid []byte
		cert *x509.Certificate
	}{{guid, p.leaf}, {ca, p.ca}, {root, p.root}} {
		table = binary.LittleEndian.AppendUint32(append(table, e.guid...), uint32(at+len(certs)))
		table = binary.LittleEndian.AppendUint32(table, uint32(len(e.cert.Raw)))
		certs = append(certs, e.cert.Raw...)
	}
	return slices.Concat(table, make([]byte, 24), certs)
}

// The published test keys of go-sev-guest.
var (
	rootKey = data.ARKPrivateKey
	caKeys  = map[string]*rsa.PrivateKey{kds.VCEK: data.ASKPrivateKey, kds.VLEK: data.ASVKPrivateKey}
	keys    = map[string]*ecdsa.PrivateKey{kds.VCEK: data.VCEKPrivateKey, kds.VLEK: data.VLEKPrivateKey}
)

// name is a name as AMD gives them, byte for byte: whoever goes by names believes this one.
func name(common string) pkix.Name {
	var n pkix.Name
	for _, a := range []struct {
		last, tag int // of the attribute's object identifier, of its string
		value     string
	}{
		{11, asn1.TagUTF8String, "Engineering"}, {6, asn1.TagPrintableString, "US"}, {7, asn1.TagUTF8String, "Santa Clara"},
		{8, asn1.TagUTF8String, "CA"}, {10, asn1.TagUTF8String, "Advanced Micro Devices"}, {3, asn1.TagUTF8String, common},
	} {
		n.ExtraNames = append(n.ExtraNames, pkix.AttributeTypeAndValue{
			Type: asn1.ObjectIdentifier{2, 5, 4, a.last}, Value: asn1.RawValue{Tag: a.tag, Bytes: []byte(a.value)},
		})
	}
	return n
}

// CRL is a revocation list of this moment, DER.
func (p *Platform) CRL() []byte {
	now := p.config.Now()
	list := &x509.RevocationList{
		Number: big.NewInt(now.Unix()), SignatureAlgorithm: x509.SHA384WithRSAPSS,
		ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(listTime),
		// As the genuine one of Genoa, it has an entry of a CA that was replaced.
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(0x20001), RevocationTime: now.Add(-1000 * time.Hour)}},
	}
	if p.config.Revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: p.ca.SerialNumber, RevocationTime: now.Add(-time.Hour)})
	}
	if p.config.CRL != nil {
		p.config.CRL(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, p.root, rootKey)
	if err != nil {
		return nil // only a test's own change can do that
	}
	return der
}
