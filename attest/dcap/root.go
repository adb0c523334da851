package dcap

import (
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"sync"
)

// intelRootPEM is the Intel SGX Root CA, published at
// https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.pem
// (SHA-256 of the DER: see the test).
//
//go:embed intel_sgx_root_ca.pem
var intelRootPEM []byte

// intelRoot returns Intel's root. It is parsed once, and not before somebody needs it.
var intelRoot = sync.OnceValue(func() *x509.Certificate {
	block, _ := pem.Decode(intelRootPEM)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return cert
})

// ErrUntrustedRoot is returned for a certificate chain, of the quote or of
// collateral, that does not end in the verifier's root. Whatever its names say,
// Intel did not make it (or not whoever made the development root).
var ErrUntrustedRoot = errors.New("untrusted root; for simulated hardware name its root (simulated_root in the policy, or --root)")
