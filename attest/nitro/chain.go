package nitro

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// chain are the certificates of a document, the root first and the leaf last.
type chain []*x509.Certificate

// newChain parses the certificates and checks all of them that is no signature and no instant (sections 3.2.3 and 3.2.4).
func newChain(d *Document, root *x509.Certificate) (chain, error) {
	// The root is ours or nothing is: its names are anybody's to write.
	if !bytes.Equal(d.CABundle[0], root.Raw) {
		return nil, fmt.Errorf("document: cabundle[0]: %w", ErrUntrustedRoot)
	}
	c := chain{root}
	for i, der := range append(slices.Clone(d.CABundle[1:]), d.Certificate) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("document: %s: %w", member(i+1, len(d.CABundle)), err)
		}
		c = append(c, cert)
	}
	for _, check := range []func(int) error{c.checkNames, c.checkCryptography, c.checkUse} {
		for i := range c {
			if err := check(i); err != nil {
				return nil, fmt.Errorf("document: %s: %w", member(i, len(d.CABundle)), err)
			}
		}
	}
	return c, nil
}

// member names the certificate of a chain as the document does: behind the bundle comes the leaf.
func member(i, bundle int) string {
	if i == bundle {
		return "certificate"
	}
	return fmt.Sprintf("cabundle[%d]", i)
}

// checkNames holds one certificate to its place in the chain.
func (c chain) checkNames(i int) error {
	cert := c[i]
	if i > 0 && !bytes.Equal(cert.RawIssuer, c[i-1].RawSubject) {
		return fmt.Errorf("its issuer is %q, want %q, the certificate before it", cert.Issuer, c[i-1].Subject)
	}
	// One name, one certificate: whoever builds a path finds this one alone.
	if slices.ContainsFunc(c[:i], func(other *x509.Certificate) bool { return bytes.Equal(other.RawSubject, cert.RawSubject) }) {
		return fmt.Errorf("its subject %q is that of another one in the chain", cert.Subject)
	}
	return nil
}

// checkCryptography: P-384 and SHA-384 are all that AWS's PKI has.
func (c chain) checkCryptography(i int) error {
	cert := c[i]
	if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok {
		return fmt.Errorf("key: got one of %v, want one of ECDSA on the curve P-384", cert.PublicKeyAlgorithm)
	} else if key.Curve != elliptic.P384() { // of others, nitrite takes other hashes, or panics
		return fmt.Errorf("key: got one on the curve %s, want P-384", key.Curve.Params().Name)
	}
	if cert.SignatureAlgorithm != x509.ECDSAWithSHA384 {
		return fmt.Errorf("signature: got %v, want %v", cert.SignatureAlgorithm, x509.ECDSAWithSHA384)
	}
	return nil
}

// checkUse holds one certificate to what the constraints and usages in it allow.
func (c chain) checkUse(i int) error {
	if i == len(c)-1 {
		return checkLeaf(c[i])
	}
	return checkCA(c[i], len(c)-2-i)
}

// checkCA checks a certificate that has so many CAs below it.
func checkCA(cert *x509.Certificate, below int) error {
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return fmt.Errorf("basic constraints: it is no CA's certificate")
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("key usage: it may sign no certificates (keyCertSign)")
	case (cert.MaxPathLen > 0 || cert.MaxPathLenZero) && cert.MaxPathLen < below:
		return fmt.Errorf("path length: it allows %d CAs below it, and there are %d", cert.MaxPathLen, below)
	}
	return nil
}

func checkLeaf(cert *x509.Certificate) error {
	switch {
	case cert.IsCA:
		return fmt.Errorf("basic constraints: it is a CA's certificate, want that of a key for documents alone")
	case cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return fmt.Errorf("key usage: it may sign no documents (digitalSignature)")
	case cert.KeyUsage&x509.KeyUsageCertSign != 0:
		return fmt.Errorf("key usage: it may sign certificates (keyCertSign), which is for CAs")
	}
	return nil
}

// contain checks that all are valid at the given instant; both ends of a life belong to it.
func (c chain) contain(at time.Time) error {
	for _, b := range c.basis() {
		if err := within(b.Window, at); err != nil {
			return fmt.Errorf("%s: %w, judged at %s", b.What, err, stamp(at))
		}
	}
	return nil
}

// signedInLife checks that the leaf was valid when the document was made. A key is of no use beyond.
func (c chain) signedInLife(made time.Time) error {
	leaf := c[len(c)-1]
	// A certificate's end is a second, and milliseconds of it belong to its life.
	if err := within(tee.Window{NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter}, made.Truncate(time.Second)); err != nil {
		return fmt.Errorf("document: timestamp: %s: its certificate is %w", made.Format(time.RFC3339Nano), err)
	}
	return nil
}

func within(w tee.Window, at time.Time) error {
	switch {
	case at.Before(w.NotBefore):
		return fmt.Errorf("not valid before %s", stamp(w.NotBefore))
	case at.After(w.NotAfter):
		return fmt.Errorf("not valid after %s", stamp(w.NotAfter))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// basis is what the facts rest on beside the document.
func (c chain) basis() []tee.Basis {
	var all []tee.Basis
	for i, cert := range c {
		what := "certificate of the CA " + cert.Subject.CommonName
		switch i {
		case 0:
			what = "root certificate"
		case len(c) - 1:
			what = "certificate of the security module " + cert.Subject.CommonName
		}
		all = append(all, tee.Basis{
			What: what, SignedBy: cert.Issuer.CommonName,
			Window: tee.Window{NotBefore: cert.NotBefore, NotAfter: cert.NotAfter},
		})
	}
	return all
}

// window is when all of them are valid.
func (c chain) window() tee.Window {
	w := tee.Window{NotBefore: c[0].NotBefore, NotAfter: c[0].NotAfter}
	for _, cert := range c[1:] {
		w.NotBefore = slices.MaxFunc([]time.Time{w.NotBefore, cert.NotBefore}, time.Time.Compare)
		w.NotAfter = slices.MinFunc([]time.Time{w.NotAfter, cert.NotAfter}, time.Time.Compare)
	}
	return w
}
