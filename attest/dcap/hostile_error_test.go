package dcap

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
)

// TestErrorsAreShort: however much a stranger writes, no more than a line of it gets into an error, and so into a log.
func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("x", maxCollateralSize/4)
	_, unknown := ParseCollateral([]byte(`{"` + long + `":""}`))
	_, twice := ParseCollateral([]byte(`{"pck_crl":"30","` + long + `":"","` + long + `":""}`))
	_, spelling := parseTCBInfo(`{"a":0,"`+long+`":0,"`+long+`":0}`, "sgx")
	_, instant := parseTCBInfo(`{"issueDate":"`+long+`"}`, "sgx")
	_, id := parseTCBInfo(`{"id":"`+long+`"}`, "sgx")
	f := newForge()
	f.pck.Subject.CommonName = long[:maxQuoteSize/2]
	_, name := f.verify(t)
	f = newForge()
	f.collateral = func(c *Collateral) {
		big := template(4, long, false)
		der, err := x509.CreateCertificate(rand.Reader, big, f.root, &f.signerKey.PublicKey, f.rootKey)
		if err != nil {
			t.Fatal(err)
		}
		_, root, _ := strings.Cut(c.TCBInfoIssuerChain, string(pemEnd))
		c.TCBInfoIssuerChain = string(pemOf(der)) + root
	}
	_, signer := f.verify(t)
	f = newForge()
	f.collateral = func(c *Collateral) {
		list := listTemplate("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")
		stranger := template(9, long, true)
		der, err := x509.CreateRevocationList(rand.Reader, list, stranger, f.rootKey)
		if err != nil {
			t.Fatal(err)
		}
		c.RootCACRL = der
	}
	_, list := f.verify(t)
	for what, err := range map[string]error{
		"an issuer's name in a list": list,
		"an unknown name":            unknown, "a name twice": twice, "a name in TCB info": spelling, "an instant": instant, "an id": id,
		"a name in the quote's chain": name, "a name in the collateral's chain": signer,
	} {
		if err == nil || len(err.Error()) > 400 {
			t.Errorf("%s: got %.80v of %d bytes, want a short error", what, err, len(fmt.Sprint(err)))
		}
	}
}
