package main

import (
	"crypto/x509"
	"errors"

	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// fixFor says what would help against an error of the packages below, or "".
func fixFor(err error) string {
	var authority x509.UnknownAuthorityError
	switch {
	case errors.Is(err, dcap.ErrNoCollateral):
		return "give --collateral FILE: what the hardware's maker publishes about this platform, valid at the instant of judgement"
	case errors.As(err, &authority):
		return "no public CA knows this server: give its certificate with --ca FILE"
	}
	return ""
}
