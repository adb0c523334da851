package pcs

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
)

// meaning says what a failed request means for the platform and what can be done
// about it; empty if the error says it all. Statuses are those of Intel's
// PCS API v4 and of the PCCS design guide ("PCCS status codes").
func (r *request) meaning(status int, err error) string {
	if status == 0 {
		return meaningOfNoAnswer(err)
	}
	if r.from != nil && !r.from.intel {
		if m := meaningAtPCCS(status); m != "" {
			return m
		}
	}
	switch {
	case status == http.StatusNotFound && r.platform && r.from.intel:
		return "Intel knows no platform of this FMSPC with this TEE (is it a pre-production one, or does it have no TDX?)"
	case status == http.StatusNotFound && r.platform:
		return "this PCCS has nothing about the platform: in its modes OFFLINE and REQ it knows only what was put into it; in its mode LAZY, Intel does not know the FMSPC either"
	case status == http.StatusNotFound && r.what == "root CRL" && r.from != nil:
		return "a PCCS has this list, Intel's own service has not: if this is a proxy of that, name the list's URL (" + intelRootCRL + ")"
	case status == http.StatusNotFound:
		return "there is no such document: is the base URL right?"
	case status == http.StatusBadRequest:
		return "the service does not understand the question: is the base URL right, and does its API version have the update channel?"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "the service wants an API key, or another one"
	case status == http.StatusGone:
		return "Intel no longer gives out this revision of its judgement"
	case status == http.StatusTooManyRequests:
		return "the service was asked too often"
	case status >= 500:
		return "the service is out of order; nothing is said about the platform"
	}
	return ""
}

func meaningAtPCCS(status int) string {
	switch status {
	case 460:
		return "this PCCS could not verify what it holds"
	case 461:
		return "this PCCS does not know the platform: it must be registered with it first"
	case 462:
		return "this PCCS has no certificates for the TCB of the platform"
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return "this PCCS could not get the document from Intel"
	}
	return ""
}

// meaningOfNoAnswer is about requests that no HTTP status answered.
func meaningOfNoAnswer(err error) string {
	var dns *net.DNSError
	var refused *net.OpError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns):
		return "the name of the service can't be resolved (is this machine without a network?)"
	case errors.As(err, &cert):
		return "the service is not known by its certificate (that of a PCCS is often self-signed: trust its CA, or name a qcnl.conf with \"use_secure_cert\": false)"
	case errors.Is(err, context.DeadlineExceeded):
		return "the service did not answer in time"
	case errors.As(err, &refused):
		return "the service can't be reached"
	}
	return ""
}
