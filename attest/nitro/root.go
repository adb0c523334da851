package nitro

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"

	"github.com/hf/nitrite"
)

// awsRootDigest pins the root of AWS's Nitro Enclaves PKI: the SHA-256 of its certificate in DER, which AWS publishes
// as its fingerprint ("Verifying the root of trust", AWS Nitro Enclaves User Guide).
const awsRootDigest = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"

// awsRoot returns AWS's root, as nitrite has it, if it is that which is pinned here. It is parsed once, and not before somebody needs it.
var awsRoot = sync.OnceValues(func() (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(nitrite.DefaultCARoots))
	if block == nil {
		return nil, errors.New("AWS's root: no certificate in PEM")
	}
	if digest := sha256.Sum256(block.Bytes); hex.EncodeToString(digest[:]) != awsRootDigest {
		return nil, fmt.Errorf("AWS's root: got one with the SHA-256 %x, want %s", digest, awsRootDigest)
	}
	return x509.ParseCertificate(block.Bytes)
})

// anchor is the root that is trusted.
func (v *Verifier) anchor() (*x509.Certificate, error) {
	if v.Root != nil {
		return v.Root, nil
	}
	return awsRoot()
}

// isAWS tells whether the root is AWS's own, also where a caller has named it.
func isAWS(root *x509.Certificate) bool {
	aws, err := awsRoot()
	return err == nil && aws.Equal(root)
}

// ErrUntrustedRoot is returned for a document whose chain does not begin with the
// verifier's root. Whatever its names say, AWS did not make it (or not whoever made the development root).
var ErrUntrustedRoot = errors.New("untrusted root; for simulated hardware name its root (simulated_root in the policy, or --root)")
