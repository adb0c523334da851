package kds

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxCollateral bounds collateral in any form, in bytes; genuine one has some 6 KiB.
const maxCollateral = 256 << 10

// Collateral is everything, beside the report, that it is verified by. All of it is signed by AMD, so it may
// come from anywhere. What is not at hand is empty.
type Collateral struct {
	Leaf []byte // DER: the certificate of the key that signed the report, a VCEK or VLEK
	CA   []byte // DER: the certificate of its CA, ASK of VCEKs or ASVK of VLEKs
	Root []byte // DER: the root certificate, ARK
	CRL  []byte // DER: the root's revocation list, which CAs may be on
}

// parts are the members of the interchange form, in its order.
func (c *Collateral) parts() []part {
	return []part{{"leaf", &c.Leaf}, {"ca", &c.CA}, {"root", &c.Root}, {"crl", &c.CRL}}
}

type part struct {
	name string
	der  *[]byte
}

// Marshal returns the interchange form: a JSON object of base64 strings, "leaf", "ca", "root" and "crl"; what is empty is left
// out. What parses marshals to the same values.
func (c *Collateral) Marshal() []byte {
	var b bytes.Buffer
	b.WriteString("{")
	separator := "\n"
	for _, p := range c.parts() {
		if len(*p.der) > 0 {
			fmt.Fprintf(&b, "%s  %q: %q", separator, p.name, base64.StdEncoding.EncodeToString(*p.der))
			separator = ",\n"
		}
	}
	b.WriteString("\n}\n")
	return b.Bytes()
}

// ParseCollateral reads the interchange form, of at most 256 KiB: no other names, none twice, nothing behind it. It checks the form alone.
func ParseCollateral(data []byte) (*Collateral, error) {
	if len(data) > maxCollateral {
		return nil, fmt.Errorf("collateral: too large: got %d bytes, want at most %d", len(data), maxCollateral)
	}
	c := new(Collateral)
	d := json.NewDecoder(bytes.NewReader(data))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return nil, errors.New(`collateral: want a JSON object with "leaf", "ca", "root" and "crl"`)
	}
	for d.More() {
		if err := c.read(d); err != nil {
			return nil, fmt.Errorf("collateral: %w", err)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("collateral: the JSON object does not end")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("collateral: got something behind the JSON object")
	}
	return c, nil
}

// read reads one member.
func (c *Collateral) read(d *json.Decoder) error {
	name, err := d.Token()
	if err != nil {
		return errors.New("malformed JSON")
	}
	for _, p := range c.parts() {
		if p.name != name {
			continue
		}
		if *p.der != nil {
			return fmt.Errorf("%s: it comes twice", p.name)
		}
		text, err := d.Token()
		if err != nil {
			return errors.New("malformed JSON")
		}
		s, ok := text.(string)
		if !ok || s == "" {
			return fmt.Errorf("%s: want a string of base64", p.name)
		}
		if *p.der, err = base64.StdEncoding.Strict().DecodeString(s); err != nil || len(*p.der) == 0 {
			return fmt.Errorf("%s: want base64", p.name)
		}
		return nil
	}
	return fmt.Errorf(`got the name %.40q, want "leaf", "ca", "root" or "crl"`, name)
}

// Complete returns collateral with the parts of c and, where c has none, those of other, which may be nil. It is how the certificates
// that a host brings along get a revocation list.
func (c *Collateral) Complete(other *Collateral) *Collateral {
	if other == nil {
		return c
	}
	all := *c
	from := other.parts()
	for i, p := range all.parts() {
		if len(*p.der) == 0 {
			*p.der = *from[i].der
		}
	}
	return &all
}

// Collateral returns c itself: collateral from a file is a source of one platform.
func (c *Collateral) Collateral(context.Context, Platform) (*Collateral, error) { return c, nil }
