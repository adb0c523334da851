package main

import (
	"crypto/x509"
	"errors"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/dcap/pcs"
)

// fixFor says what would help against an error of the packages below, or "".
func fixFor(err error) string {
	var authority x509.UnknownAuthorityError
	var service *pcs.Error
	switch {
	case errors.Is(err, errNoEvidence):
		return "ask the broker for that of its key: the key set at its URL has it"
	case errors.Is(err, dcap.ErrNoCollateral):
		return "give --pcs intel, which asks Intel what it publishes about this platform, or --collateral FILE, which has it, valid at the instant of judgement"
	case errors.As(err, &authority) && errors.As(err, &service):
		return "no public CA knows this collateral service: give its certificate with --pcs-ca FILE"
	case errors.As(err, &authority):
		return "no public CA knows this server: give its certificate with --ca FILE"
	}
	return ""
}
