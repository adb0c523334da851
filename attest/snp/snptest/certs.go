package snptest

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
)

const year = 365 * 24 * time.Hour

// certify makes the certificates of root, CA and key.
func (p *Platform) certify() error {
	var err error
	line, c := p.config.Product, p.config
	root := p.template("ARK-"+line, 1)
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	if p.root, err = sign(root, root, rootKey.Public(), rootKey); err != nil {
		return err
	}
	name, serial := "SEV-"+line, int64(2)
	if c.SignedBy == kds.VLEK {
		name, serial = "SEV-VLEK-"+line, 3
	}
	ca := p.template(name, serial)
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage, ca.MaxPathLenZero = true, true, x509.KeyUsageCertSign, true
	if c.CA != nil {
		c.CA(ca)
	}
	if p.ca, err = sign(ca, p.root, caKeys[c.SignedBy].Public(), rootKey); err != nil {
		return err
	}
	leaf := p.template("SEV-VCEK", 0)
	if c.SignedBy == kds.VLEK {
		leaf = p.template("SEV-VLEK", 0)
	}
	leaf.ExtraExtensions = p.extensions()
	if c.Leaf != nil {
		c.Leaf(leaf)
	}
	p.leaf, err = sign(leaf, p.ca, keys[c.SignedBy].Public(), caKeys[c.SignedBy])
	return err
}

func (p *Platform) template(common string, serial int64) *x509.Certificate {
	now := p.config.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: name(common), SignatureAlgorithm: x509.SHA384WithRSAPSS,
		NotBefore: now.Add(-year), NotAfter: now.Add(6 * year),
	}
}

func sign(template, parent *x509.Certificate, key, signer any) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// extensions are AMD's, below 1.3.6.1.4.1.3704.1.
func (p *Platform) extensions() []pkix.Extension {
	var all []pkix.Extension
	add := func(value []byte, arc ...int) {
		all = append(all, pkix.Extension{Id: append(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}, arc...), Value: value})
	}
	number := func(n uint8) []byte { der, _ := asn1.Marshal(int(n)); return der } // an int always encodes
	text := func(s string) []byte { return append([]byte{asn1.TagIA5String, byte(len(s))}, s...) }
	c, chip := p.config, p.chip()
	structure, product := uint8(0), c.Product+"-B0"
	if c.Product == kds.Turin {
		structure, product, chip = 1, c.Product, chip[:8]
	}
	if c.SignedBy == kds.VLEK {
		product = c.Product
	}
	add(number(structure), 1)
	add(text(product), 2)
	for i, n := range []uint8{c.TCB.Bootloader, c.TCB.TEE, c.TCB.SNP, 0, 0, 0, 0, c.TCB.Microcode, c.TCB.FMC} {
		if turin := c.Product == kds.Turin; i < 8 && !turin || i != 3 && turin { // as the genuine ones
			add(number(n), 3, i+1)
		}
	}
	if c.SignedBy == kds.VLEK {
		add(text("a cloud"), 5)
	} else {
		add(chip, 4)
	}
	return all
}
