// Package selfsigned makes certificates that are signed by their own key.
//
// It owns the serial number, where names stand, and the signature. What a certificate is for, and who believes it, is its caller's business.
package selfsigned

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net"
)

// Certificate completes the template by a random serial number and the names, DNS names and IP addresses, and signs it by key.
func Certificate(key crypto.Signer, template *x509.Certificate, names []string) (*x509.Certificate, error) {
	t := *template
	var err error
	if t.SerialNumber, err = newSerial(); err != nil {
		return nil, err
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, &t, &t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial returns a random positive number of at most 127 bits, since DER
// would spend a 17th byte on the sign of a 128-bit one.
func newSerial() (*big.Int, error) {
	limit := new(big.Int).Lsh(big.NewInt(1), 127)
	n, err := rand.Int(rand.Reader, limit.Sub(limit, big.NewInt(1)))
	if err != nil {
		return nil, err
	}
	return n.Add(n, big.NewInt(1)), nil // RFC 5280 section 4.1.2.2: positive
}
