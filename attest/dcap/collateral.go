package dcap

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// maxCollateralSize bounds each part of collateral and the whole interchange file; genuine ones have some 20 KiB.
const maxCollateralSize = 1 << 20

// Collateral is everything, beside the quote, that judges a platform. It
// vouches for itself: each part is signed below the root, so it may come from anywhere.
type Collateral struct {
	PCKCRLIssuerChain     string // PEM: the PCK CA and the root
	RootCACRL             []byte // DER
	PCKCRL                []byte // DER
	TCBInfoIssuerChain    string // PEM: the TCB signer and the root
	TCBInfo               string // the signed JSON object, byte for byte
	TCBInfoSignature      []byte // 64 bytes, r ‖ s
	QEIdentityIssuerChain string // PEM: the TCB signer and the root
	QEIdentity            string // the signed JSON object, byte for byte
	QEIdentitySignature   []byte // 64 bytes, r ‖ s

	// PCKCertificateChain, PEM, may come along for quotes that do not carry
	// theirs. The quotes that are supported do, so it has no effect. Empty: absent.
	PCKCertificateChain string
}

// collateralNames are the members of dcap-qvl's QuoteCollateralV3, in its order.
var collateralNames = names{
	required: []string{
		"pck_crl_issuer_chain", "root_ca_crl", "pck_crl", "tcb_info_issuer_chain", "tcb_info", "tcb_info_signature",
		"qe_identity_issuer_chain", "qe_identity", "qe_identity_signature",
	},
	optional: []string{"pck_certificate_chain"},
	closed:   true,
}

// ParseCollateral reads the JSON interchange form of dcap-qvl's
// QuoteCollateralV3, of at most 1 MiB: an object of strings, which are PEM (chains), hex (revocation
// lists and signatures) or JSON (the two signed objects). It checks the form alone.
func ParseCollateral(data []byte) (*Collateral, error) {
	if len(data) > maxCollateralSize {
		return nil, fmt.Errorf("collateral: too large: got %d bytes, want at most %d", len(data), maxCollateralSize)
	}
	c := new(Collateral)
	if err := readDocument(string(data), collateralNames, c.read); err != nil {
		return nil, fmt.Errorf("collateral: %w", err)
	}
	return c, nil
}

func (c *Collateral) read(d *document, name string) error {
	if name == "pck_certificate_chain" && d.peek() == 'n' {
		return d.skip() // null
	}
	s, err := d.escaped()
	if err != nil {
		return err
	}
	if s == "" {
		return errors.New("it is empty")
	}
	switch name {
	case "pck_crl_issuer_chain":
		c.PCKCRLIssuerChain = s
	case "root_ca_crl":
		c.RootCACRL, err = hex.DecodeString(s)
	case "pck_crl":
		c.PCKCRL, err = hex.DecodeString(s)
	case "tcb_info_issuer_chain":
		c.TCBInfoIssuerChain = s
	case "tcb_info":
		c.TCBInfo = s
	case "tcb_info_signature":
		c.TCBInfoSignature, err = readSignature(s)
	case "qe_identity_issuer_chain":
		c.QEIdentityIssuerChain = s
	case "qe_identity":
		c.QEIdentity = s
	case "qe_identity_signature":
		c.QEIdentitySignature, err = readSignature(s)
	case "pck_certificate_chain":
		c.PCKCertificateChain = s
	}
	return err
}

func readSignature(s string) ([]byte, error) {
	if len(s) != 128 {
		return nil, fmt.Errorf("got %d hex digits, want 128", len(s))
	}
	return hex.DecodeString(s)
}

// Marshal returns the JSON interchange form, indented. What parses marshals to the same values.
func (c *Collateral) Marshal() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	// Strings always encode, and a bytes.Buffer takes all, so there is no error.
	_ = e.Encode(struct {
		PCKCRLIssuerChain     string `json:"pck_crl_issuer_chain"`
		RootCACRL             string `json:"root_ca_crl"`
		PCKCRL                string `json:"pck_crl"`
		TCBInfoIssuerChain    string `json:"tcb_info_issuer_chain"`
		TCBInfo               string `json:"tcb_info"`
		TCBInfoSignature      string `json:"tcb_info_signature"`
		QEIdentityIssuerChain string `json:"qe_identity_issuer_chain"`
		QEIdentity            string `json:"qe_identity"`
		QEIdentitySignature   string `json:"qe_identity_signature"`
		PCKCertificateChain   string `json:"pck_certificate_chain,omitempty"`
	}{
		c.PCKCRLIssuerChain, hex.EncodeToString(c.RootCACRL), hex.EncodeToString(c.PCKCRL),
		c.TCBInfoIssuerChain, c.TCBInfo, hex.EncodeToString(c.TCBInfoSignature),
		c.QEIdentityIssuerChain, c.QEIdentity, hex.EncodeToString(c.QEIdentitySignature), c.PCKCertificateChain,
	})
	return b.Bytes()
}

// Collateral returns c itself: collateral from a file is a source of one platform.
func (c *Collateral) Collateral(context.Context, Platform) (*Collateral, error) { return c, nil }
