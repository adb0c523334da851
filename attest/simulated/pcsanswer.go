package simulated

import (
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// The forms of Intel's parameters.
var (
	fmspcForm  = regexp.MustCompile(`^[0-9a-fA-F]{12}$`)
	numberForm = regexp.MustCompile(`^[0-9]+$`)
)

// answer answers a question whose path is known.
func (s *PCS) answer(q question, st state, f face) answer {
	p, e, refused := s.asked(q, st, f)
	if refused != nil {
		return *refused
	}
	e.spoil = st.fault.forge()
	st.fault.mislead(&q, &e, p)
	c, err := p.edition(e)
	if err != nil {
		return *f.refuse(http.StatusInternalServerError, "InternalError", err.Error())
	}
	if st.fault == PCSSwappedChains {
		c.PCKCRLIssuerChain, c.TCBInfoIssuerChain, c.QEIdentityIssuerChain = c.TCBInfoIssuerChain, c.PCKCRLIssuerChain, c.PCKCRLIssuerChain
	}
	return f.document(q, c)
}

// asked reads the parameters: whose judgements are wanted, in which edition.
func (s *PCS) asked(q question, st state, f face) (*Platform, edition, *answer) {
	e := edition{at: st.now, tee: q.tee, number: st.number, tcbInfoVersion: 3}
	if q.document == TCBInfo && q.version == 3 {
		e.tcbInfoVersion = 2
	}
	bad := func(format string, args ...any) (*Platform, edition, *answer) {
		return nil, e, f.refuse(http.StatusBadRequest, "InvalidRequestSyntax", fmt.Sprintf(format, args...))
	}
	p := s.platforms[0]
	switch q.document {
	case RootCACRL:
		e.tee = p.config.TEE
		return p, e, nil
	case PCKCRL:
		e.ca = q.get("ca")
		if f == pccs {
			e.ca = strings.ToLower(e.ca)
		}
		if e.ca != "processor" && e.ca != "platform" {
			return bad("ca: got %q, want processor or platform", e.ca)
		}
		if enc := q.get("encoding"); f == intel && enc != "" && enc != "pem" && enc != "der" {
			return bad("encoding: got %q, want pem or der", enc)
		}
		p = s.certifiedBy(e.ca)
		e.tee = p.config.TEE // or its faults would not be in the list
		return p, e, nil
	case TCBInfo:
		if !fmspcForm.MatchString(q.get("fmspc")) {
			return bad("fmspc: got %q, want 12 digits of hex", q.get("fmspc"))
		}
		if p = s.family(q.get("fmspc"), q.tee); p == nil || st.fault == PCSUnknown {
			return nil, e, f.refuse(http.StatusNotFound, "", "")
		}
	case QEIdentity:
		p = s.family("", q.tee)
	}
	var refused *answer
	e.number, refused = f.number(q, st.number)
	return p, e, refused
}

// number reads the parameters that choose a revision, of which the current one, the one to come and the last are at hand.
func (f face) number(q question, current uint32) (uint32, *answer) {
	update, wanted := q.get("update"), q.get("tcbEvaluationDataNumber")
	if f == pccs || q.version == 3 {
		update, wanted = strings.ToLower(update), "" // a PCCS knows no numbers
	}
	switch {
	case update != "" && update != "early" && update != "standard", wanted != "" && !numberForm.MatchString(wanted), update != "" && wanted != "":
		return 0, f.refuse(http.StatusBadRequest, "InvalidRequestSyntax", "want either update, early or standard, or tcbEvaluationDataNumber")
	case update == "early":
		return current + 1, nil
	case wanted == "":
		return current, nil
	}
	n, err := strconv.ParseUint(wanted, 10, 32)
	switch {
	case err != nil || uint32(n) > current+1:
		return 0, f.refuse(http.StatusNotFound, "", "")
	case uint32(n)+1 < current:
		return 0, f.refuse(http.StatusGone, "", "")
	}
	return uint32(n), nil
}

// family finds a platform by its family, if one is given, and if possible of the TEE.
func (s *PCS) family(fmspc, tee string) (found *Platform) {
	for _, p := range s.platforms {
		if fmspc != "" && !strings.EqualFold(p.config.FMSPC, fmspc) {
			continue
		}
		if p.config.TEE == tee {
			return p
		}
		if found == nil {
			found = p
		}
	}
	return found
}

// certifiedBy finds a platform that a PCK CA certified; if there is none, another one's maker has that CA too.
func (s *PCS) certifiedBy(ca string) *Platform {
	for _, p := range s.platforms {
		if p.config.CA == ca {
			return p
		}
	}
	return s.platforms[0]
}

// face is how a service speaks: Intel's own or a caching one.
type face int

const (
	intel face = iota // PCS API v4
	pccs              // PCCS, API v3 and v4
)

func (f face) serves(q question) bool { return f == pccs || q.version == 4 }

// refuse is an error. Intel's has headers and no body, that of a PCCS a text.
func (f face) refuse(status int, code, message string) *answer {
	if f == pccs {
		text, ok := pccsTexts[status]
		if !ok {
			text = message
		}
		return &answer{status: status, header: map[string]string{"Content-Type": "text/html; charset=utf-8"}, body: []byte(text)}
	}
	a := &answer{status: status, header: map[string]string{}}
	if code != "" {
		a.header["Error-Code"], a.header["Error-Message"] = code, message
	}
	return a
}

// pccsTexts are what a PCCS says in the body of an error (its constants/pccs_status_code.js).
var pccsTexts = map[int]string{
	400: "Invalid request parameters.",
	401: "Authentication failed.",
	404: "No cache data for this platform.",
	410: "The Intel PCS API version 3 reached planned EOL. Accordingly, collateral from this API version cannot be retrieved any longer.",
	460: "The integrity of the data can't be verified.",
	461: "The platform was not found in the cache.",
	462: "Certificates are not available for certain TCBs.",
	500: "Internal server error occurred.",
	502: "Unable to retrieve the collateral from the Intel SGX PCS.",
	503: "Server is currently unable to process the request.",
}

// document writes the document that is wanted out of collateral.
func (f face) document(q question, c *dcap.Collateral) answer {
	a := answer{status: http.StatusOK, header: map[string]string{"Cache-Control": "no-cache"}}
	signed := func(name, text string, signature []byte) {
		a.header["Content-Type"] = "application/json"
		a.body = fmt.Appendf(nil, `{"%s":%s,"signature":"%x"}`, name, text, signature)
	}
	var chain string
	switch q.document {
	case TCBInfo:
		a.chain, chain = "TCB-Info-Issuer-Chain", c.TCBInfoIssuerChain
		if q.version == 3 {
			a.chain = "SGX-TCB-Info-Issuer-Chain"
		}
		signed("tcbInfo", c.TCBInfo, c.TCBInfoSignature)
	case QEIdentity:
		a.chain, chain = "SGX-Enclave-Identity-Issuer-Chain", c.QEIdentityIssuerChain
		signed("enclaveIdentity", c.QEIdentity, c.QEIdentitySignature)
	case PCKCRL:
		a.chain, chain = "SGX-PCK-CRL-Issuer-Chain", c.PCKCRLIssuerChain
		a.list(c.PCKCRL, f.encoding(q))
	case RootCACRL:
		a.list(c.RootCACRL, f.encoding(q))
	}
	if a.chain != "" {
		a.header[a.chain] = escape(chain)
	}
	return a
}

// encoding is that of a revocation list. A PCCS gives hex where the API lets it choose: for version 3, and for the root's list.
func (f face) encoding(q question) string {
	switch {
	case q.document == RootCACRL && f == intel:
		return "der"
	case q.document == RootCACRL, q.version == 3:
		return "hex"
	}
	return strings.ToLower(q.get("encoding"))
}

func (a *answer) list(der []byte, encoding string) {
	switch encoding {
	case "der":
		a.header["Content-Type"], a.body = "application/pkix-crl", der
	case "hex":
		a.header["Content-Type"], a.body = "text/html; charset=utf-8", []byte(hex.EncodeToString(der))
	default:
		a.header["Content-Type"] = "application/x-pem-file"
		a.body = pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
	}
}

// escape percent-encodes an issuer chain for a header.
func escape(chain string) string { return strings.ReplaceAll(url.QueryEscape(chain), "+", "%20") }
