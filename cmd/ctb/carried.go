package main

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// otherScheme says what the certificate has where it lacks evidence by the scheme asked for, or "".
func otherScheme(cert *x509.Certificate, scheme string) string {
	carried := attest.Schemes(cert)
	if slices.Contains(carried, scheme) || len(carried) == 0 {
		return ""
	}
	return fmt.Sprintf("it has evidence by the scheme %s", carried[0])
}

// claimsJSON is what a quote says of itself when nothing vouches for it yet. It
// helps to find the collateral, or the mistake.
type claimsJSON struct {
	TEE       string `json:"tee"`
	MRENCLAVE string `json:"mrenclave"`
	MRSIGNER  string `json:"mrsigner"`
	Debug     bool   `json:"debug"`
	FMSPC     string `json:"fmspc,omitempty"`
}

// claims reads a quote without believing it. It returns nil if it can't be read.
func claims(quote []byte) *claimsJSON {
	q, err := dcap.ParseQuote(quote)
	if err != nil {
		return nil
	}
	c := &claimsJSON{
		TEE: "sgx", Debug: q.Enclave.Debug(),
		MRENCLAVE: hex.EncodeToString(q.Enclave.MRENCLAVE[:]),
		MRSIGNER:  hex.EncodeToString(q.Enclave.MRSIGNER[:]),
	}
	if chain, err := q.Signature.Certification.Chain(); err == nil {
		if pck, err := dcap.ParsePCK(chain[0]); err == nil {
			c.FMSPC = hex.EncodeToString(pck.FMSPC[:])
		}
	}
	return c
}

// oidOriginal is the extension of the original broker's certificates, whose value is a raw quote.
var oidOriginal = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}

// quoteIn returns the quote that the original broker's scheme puts in a certificate, or nil.
func quoteIn(cert *x509.Certificate) []byte {
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidOriginal) && isQuote(e.Value) {
			return e.Value
		}
	}
	return nil
}
