// Package roots has the CA certificates that come with the program. Where the
// host is not trusted, its certificate files are not either.
package roots

import (
	"crypto/x509"
	"sync"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Bundled returns Mozilla's root certificates, as of the build. The pool is shared: do not modify it.
var Bundled = sync.OnceValue(func() *x509.CertPool {
	pool := x509.NewCertPool()
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			continue // a root that this Go can't read is one that it does not trust
		}
		if root.Constraint == nil {
			pool.AddCert(cert)
		} else {
			pool.AddCertWithConstraint(cert, root.Constraint)
		}
	}
	return pool
})
