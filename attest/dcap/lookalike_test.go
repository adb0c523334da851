package dcap

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// TestIntelRoot pins the pinned root: the SHA-256 of its DER.
func TestIntelRoot(t *testing.T) {
	root := intelRoot()
	if root == nil {
		t.Fatal("the built-in root does not parse")
	}
	digest := sha256.Sum256(root.Raw)
	if got, want := hex.EncodeToString(digest[:]), "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	chain, err := decodePEM(original(t, "pck_chain.pem"), 3)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(chain[2], root.Raw) {
		t.Error("it is not the root of the original's published sample")
	}
	if _, err := newAnchor(nil); err != nil {
		t.Error(err)
	}
}

// TestLookalikeRoot: the root in these vectors has Intel's names and another
// key. Each place where a chain may end in it is tried, with everything else genuine.
func TestLookalikeRoot(t *testing.T) {
	lookalike := func(name string) []byte { return vector(t, "dcap/lookalike/"+name) }
	e := evidence(t, platformQuote, platformCollateral)
	c, err := ParseCollateral(e.Collateral)
	if err != nil {
		t.Fatal(err)
	}
	q, err := ParseQuote(e.Quote)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := q.Signature.Certification.Chain()
	if err != nil {
		t.Fatal(err)
	}
	recertify := func(text []byte) []byte {
		hostile := *q
		hostile.Signature.Certification.Data = text
		b, err := hostile.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	with := func(change func(*Collateral)) []byte {
		hostile := *c
		change(&hostile)
		return hostile.Marshal()
	}
	tcbChain := string(lookalike("tcbSignChain.pem"))
	for name, test := range map[string]struct {
		quote, collateral []byte
		want              string
	}{
		"its own quote, which has no chain": {lookalike("quote.dat"), e.Collateral, "quote: certification data: got type 1 (the platform's PPID in the clear)"},
		"quote, lookalike CA and root":      {recertify(append(pemOf(chain[0].Raw), lookalike("pckSignChain.pem")...)), e.Collateral, "whose key is not Intel's: untrusted root"},
		"quote, lookalike root alone":       {recertify(append(pemOf(chain[0].Raw, chain[1].Raw), lookalike("trustedRootCaCert.pem")...)), e.Collateral, "whose key is not Intel's: untrusted root"},
		"TCB info issuer chain":             {e.Quote, with(func(c *Collateral) { c.TCBInfoIssuerChain = tcbChain }), "whose key is not Intel's: untrusted root"},
		"QE identity issuer chain":          {e.Quote, with(func(c *Collateral) { c.QEIdentityIssuerChain = tcbChain }), "whose key is not Intel's: untrusted root"},
		"PCK CRL issuer chain":              {e.Quote, with(func(c *Collateral) { c.PCKCRLIssuerChain = tcbChain }), "whose key is not Intel's: untrusted root"},
		"root CRL":                          {e.Quote, with(func(c *Collateral) { c.RootCACRL = lookalike("rootCaCrl.der") }), `root CRL: not signed by "Intel SGX Root CA"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := new(Verifier).Verify(context.Background(), &tee.Evidence{Platform: "dcap", Quote: test.quote, Collateral: test.collateral}, instant("2025-08-20T00:00:00Z"))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if errors.Is(err, ErrUntrustedRoot) != (test.want == "whose key is not Intel's: untrusted root") {
				t.Errorf("ErrUntrustedRoot: %v", err)
			}
		})
	}

	// The pin alone refuses it: given as a development root, its chain is right, and nothing genuine is.
	der, err := decodePEM(lookalike("trustedRootCaCert.pem"), 1)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der[0])
	if err != nil {
		t.Fatal(err)
	}
	a, err := newAnchor(root)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.signer(tcbChain); err != nil || a.intel {
		t.Errorf("under itself: %v, Intel's: %t", err, a.intel)
	}
	_, err = (&Verifier{Root: root}).Verify(context.Background(), e, instant("2025-08-20T00:00:00Z"))
	if !errors.Is(err, ErrUntrustedRoot) || !strings.Contains(err.Error(), "which is not the given development root: untrusted root") {
		t.Errorf("genuine evidence under it: got %v", err)
	}
}
