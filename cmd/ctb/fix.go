package main

import (
	"crypto/x509"
	"errors"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/dcap/pcs"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
)

// fixFor says what would help against an error of the packages below, or "".
func fixFor(err error) string {
	var authority x509.UnknownAuthorityError
	var service *pcs.Error
	var fixed *fixedError
	switch {
	case errors.As(err, &fixed):
		return fixed.fix
	case errors.Is(err, errNoEvidence):
		return "ask the broker for that of its key: the key set at its URL has it"
	case errors.Is(err, dcap.ErrNoCollateral):
		return "give --pcs intel, which asks Intel what it publishes about this platform, or --collateral FILE, which has it, valid at the instant of judgement"
	case errors.Is(err, kds.ErrNoCollateral):
		return "give --kds amd, which asks AMD for the certificate of this chip's key, or --collateral FILE, which has it, valid at the instant of judgement; " +
			"that of a cloud's key (VLEK) comes with the evidence alone, in the certificate table that the host gives along with the report"
	case errors.As(err, &authority) && errors.As(err, &service):
		return "no public CA knows this collateral service: give its certificate with --pcs-ca FILE"
	case errors.As(err, &authority):
		return "no public CA knows this server: give its certificate with --ca FILE"
	}
	return ""
}
