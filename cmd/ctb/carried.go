package main

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
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

// The extensions of the scheme dice: of DICE's conceptual message wrapper (TCG DICE Attestation Architecture), for
// Intel's quotes, and of the RATS one (RFC 9999), for all others.
var (
	oidDICE = asn1.ObjectIdentifier{2, 23, 133, 5, 4, 9}
	oidCMW  = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 35}
)

// carriesNothing tells whether a certificate has evidence by no scheme at all, good or bad.
func carriesNothing(cert *x509.Certificate) bool {
	return !slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool {
		return e.Id.Equal(oidDICE) || e.Id.Equal(oidCMW) || e.Id.Equal(oidOriginal)
	})
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

	Measurement string `json:"measurement,omitempty"` // SEV-SNP
	Product     string `json:"product,omitempty"`
	ChipID      string `json:"chip_id,omitempty"`

	ModuleID string `json:"module_id,omitempty"` // Nitro
	PCR0     string `json:"pcr0,omitempty"`

	made time.Time // Nitro: when, by its own word
}

// oidOriginal is the extension of the original broker's certificates, whose value is a raw quote.
var oidOriginal = asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1}

// evidenceIn returns the evidence that the original broker's scheme puts in a certificate as it is, or nil.
func evidenceIn(cert *x509.Certificate) *attest.Evidence {
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidOriginal) {
			e, _ := rawEvidence(e.Value) // what begins like evidence and is not says nothing
			return e
		}
	}
	return nil
}
