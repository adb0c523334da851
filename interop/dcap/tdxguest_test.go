package dcap_test

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-tdx-guest/abi"
	tdxpcs "github.com/google/go-tdx-guest/pcs"
	"github.com/google/go-tdx-guest/verify"

	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// askTDXGuest asks go-tdx-guest, with revocation lists, over collateral that is served from memory.
func askTDXGuest(_ *testing.T, all []evidence) []verdict {
	var out []verdict
	for _, e := range all {
		out = append(out, askTDXGuestOnce(e))
	}
	return out
}

// askTDXGuestOnce catches its panics, which say as much as a refusal, and say it worse.
//
// It accepts UpToDate alone, and refuses any other status with its name once
// everything else but the quoting enclave was checked: that is a genuine platform which its policy refuses, and counts as
// genuine here. It tells two statuses: of what it calls the TDX TCB, and of the quoting enclave.
func askTDXGuestOnce(e evidence) (v verdict) {
	defer func() {
		if p := recover(); p != nil {
			v = verdict{refused: fmt.Sprintf("panic: %v", p), panics: true}
		}
	}()
	quote, err := abi.QuoteToProto(e.quote)
	if err != nil {
		return verdict{refused: err.Error()}
	}
	options := &verify.Options{
		CheckRevocations: true,
		GetCollateral:    true,
		Getter:           pcsOf{e.collateral},
		Now:              &verify.TimeSet{PckCertChain: e.at, TcbInfo: e.at, QeIdentity: e.at, PckCrl: e.at, RootCaCrl: e.at},
	}
	if e.root != nil {
		options.TrustedRoots = x509.NewCertPool()
		options.TrustedRoots.AddCert(e.root)
	}
	err = verify.TdxQuote(quote, options)
	if err != nil && !strings.Contains(err.Error(), "failed TCB status check") {
		return verdict{refused: err.Error()}
	}
	// It keeps the collateral in the options, and finds the levels in it once more.
	tdx, qe, noLevel := verify.SupportedTcbLevelsFromCollateral(quote, options)
	if noLevel != nil {
		return verdict{refused: noLevel.Error()}
	}
	v = verdict{declines: err != nil, tdx: tee.Status(tdx.TcbStatus), qe: tee.Status(qe.TcbStatus), advisories: sorted(slices.Concat(tdx.AdvisoryIDs, qe.AdvisoryIDs))}
	if err == nil {
		v.status = []tee.Status{tee.UpToDate}
	}
	return v
}

// pcsOf answers as Intel's Provisioning Certification Service does, with the collateral of one platform.
type pcsOf struct{ c *dcap.Collateral }

// Get implements trust.HTTPSGetter. What the service does not have is its 404, which go-tdx-guest's own getter makes an error.
func (s pcsOf) Get(address string) (map[string][]string, []byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil, err
	}
	var body []byte
	header := http.Header{}
	switch path := u.Path; {
	case u.Host == "certificates.trustedservices.intel.com" || strings.HasSuffix(path, ".der") || strings.HasSuffix(path, ".crl"):
		body = s.c.RootCACRL
	case path == "/tdx/certification/v4/tcb":
		body = signed("tcbInfo", s.c.TCBInfo, s.c.TCBInfoSignature)
		header.Set(tdxpcs.TcbInfoIssuerChainPhrase, escaped(s.c.TCBInfoIssuerChain))
	case path == "/tdx/certification/v4/qe/identity":
		body = signed("enclaveIdentity", s.c.QEIdentity, s.c.QEIdentitySignature)
		header.Set(tdxpcs.SgxQeIdentityIssuerChainPhrase, escaped(s.c.QEIdentityIssuerChain))
	case path == "/sgx/certification/v4/pckcrl":
		body = s.c.PCKCRL
		header.Set(tdxpcs.SgxPckCrlIssuerChainPhrase, escaped(s.c.PCKCRLIssuerChain))
	}
	if len(body) == 0 {
		return nil, nil, fmt.Errorf("failed to retrieve %s, status code received 404", address)
	}
	return header, bytes.Clone(body), nil
}

// signed is a signed document as the service sends it: its bytes as they are, and the signature beside them.
func signed(name, document string, signature []byte) []byte {
	return fmt.Appendf(nil, `{%q:%s,"signature":"%s"}`, name, document, hex.EncodeToString(signature))
}

// escaped is an issuer chain as the service puts it into a header.
func escaped(chain string) string {
	return strings.ReplaceAll(url.QueryEscape(strings.TrimRight(chain, "\x00")), "+", "%20")
}
