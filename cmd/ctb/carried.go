package main

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
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

// errNoEvidence is what package attest says by an extension's number.
var errNoEvidence = errors.New("the certificate carries no evidence that its key lives in a TEE")

// oidDICE is the extension of DICE's conceptual message wrapper (TCG DICE Attestation Architecture).
var oidDICE = asn1.ObjectIdentifier{2, 23, 133, 5, 4, 9}

// carriesNothing tells whether a certificate has evidence by no scheme at all, good or bad.
func carriesNothing(cert *x509.Certificate) bool {
	return !slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidDICE) || e.Id.Equal(oidOriginal) })
}

// plainly says so in words where a certificate carries nothing.
func plainly(list []attest.KeyAppraisal) []attest.KeyAppraisal {
	for i, a := range list {
		if a.Appraisal == nil && a.Certificate != nil && carriesNothing(a.Certificate) {
			list[i].Err = errNoEvidence
		}
	}
	return list
}

// claimsJSON is what a quote says of itself when nothing vouches for it yet. It
// helps to find the collateral, or the mistake.
type claimsJSON struct {
	TEE       string `json:"tee"`
	MRENCLAVE string `json:"mrenclave,omitempty"`
	MRSIGNER  string `json:"mrsigner,omitempty"`
	MRTD      string `json:"mrtd,omitempty"`
	Debug     bool   `json:"debug"`
	FMSPC     string `json:"fmspc,omitempty"`
}

// claims reads a quote without believing it. It returns nil if it can't be read.
func claims(quote []byte) *claimsJSON {
	q, err := dcap.ParseQuote(quote)
	if err != nil {
		return nil
	}
	c := &claimsJSON{TEE: q.TEE()}
	if e := q.Enclave; e != nil {
		c.Debug, c.MRENCLAVE, c.MRSIGNER = e.Debug(), hex.EncodeToString(e.MRENCLAVE[:]), hex.EncodeToString(e.MRSIGNER[:])
	}
	if d := q.TD; d != nil {
		c.Debug, c.MRTD = d.Debug(), hex.EncodeToString(d.MRTD[:])
	}
	if p, err := q.Platform(); err == nil {
		c.FMSPC = hex.EncodeToString(p.FMSPC[:])
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
