package simulated

import (
	"bytes"
	"net/http"
	"slices"
)

// A PCSFault is one thing that a [PCS] does wrong: a failure of the service, or a lie.
// Whoever uses the service must not believe what it says then, and must go on with what it has.
type PCSFault string

// Failures.
const (
	PCSDown         PCSFault = "down"         // 503
	PCSBroken       PCSFault = "broken"       // 500
	PCSNoUpstream   PCSFault = "no upstream"  // 502, as a PCCS that cannot reach Intel
	PCSUnauthorized PCSFault = "unauthorized" // 401
	PCSBusy         PCSFault = "busy"         // 429, with Retry-After: 120
	PCSUnknown      PCSFault = "unknown"      // 404 for the TCB info: the family is not known
	PCSUncached     PCSFault = "uncached"     // 461, as a PCCS that does not know the platform
	PCSUncertified  PCSFault = "uncertified"  // 462, as a PCCS that has no certificate for the platform
	PCSDrops        PCSFault = "drops"        // closes the connection without an answer
	PCSSlow         PCSFault = "slow"         // holds the request until the client gives up or the fault ends
	PCSTruncates    PCSFault = "truncates"    // closes the connection amid the body
)

// Lies.
const (
	PCSHalves        PCSFault = "halves"         // half of the body, as if it were all
	PCSOversize      PCSFault = "oversize"       // a body of up to 64 MiB
	PCSGarbage       PCSFault = "garbage"        // a body that is neither JSON nor a list
	PCSHTML          PCSFault = "html"           // a page, as a captive portal shows it, with the status 200
	PCSRedirects     PCSFault = "redirects"      // 302 to another host
	PCSNoChain       PCSFault = "no chain"       // no issuer chain in the headers
	PCSSwappedChains PCSFault = "swapped chains" // the chain of another document
	PCSOtherFMSPC    PCSFault = "other fmspc"    // the TCB info of another family
	PCSOtherTEE      PCSFault = "other tee"      // the document for TDX instead of SGX, or the other way round
	PCSOtherCA       PCSFault = "other ca"       // the revocation list of the other PCK CA
	PCSOlder         PCSFault = "older"          // an evaluation number below the last that was published
	PCSExpired       PCSFault = "expired"        // documents whose nextUpdate has passed
	PCSNotYetValid   PCSFault = "not yet valid"  // documents whose issueDate is to come
	PCSForged        PCSFault = "forged"         // documents that a stranger signed
)

// PCSFaults returns all of them.
func PCSFaults() []PCSFault {
	return []PCSFault{
		PCSDown, PCSBroken, PCSNoUpstream, PCSUnauthorized, PCSBusy, PCSUnknown, PCSUncached, PCSUncertified, PCSDrops, PCSSlow, PCSTruncates,
		PCSHalves, PCSOversize, PCSGarbage, PCSHTML, PCSRedirects, PCSNoChain, PCSSwappedChains,
		PCSOtherFMSPC, PCSOtherTEE, PCSOtherCA, PCSOlder, PCSExpired, PCSNotYetValid, PCSForged,
	}
}

func (f PCSFault) known() bool { return slices.Contains(PCSFaults(), f) }

// pcsStatuses are the faults that are but a status.
var pcsStatuses = map[PCSFault]int{
	PCSDown: 503, PCSBroken: 500, PCSNoUpstream: 502, PCSUnauthorized: 401, PCSBusy: 429, PCSUncached: 461, PCSUncertified: 462,
}

const page = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><p>Sign in to use this network.</p></body></html>\n"

// strike answers in place of the service, and tells whether it did.
func (f PCSFault) strike(w http.ResponseWriter, r *http.Request, face face) bool {
	if status, ok := pcsStatuses[f]; ok {
		if f == PCSBusy {
			w.Header().Set("Retry-After", "120")
		}
		face.refuse(status, "", "").write(w, "")
		return true
	}
	switch f {
	case PCSDrops:
		panic(http.ErrAbortHandler)
	case PCSHTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write([]byte(page))
	case PCSRedirects:
		w.Header().Set("Location", "https://elsewhere.invalid"+r.URL.RequestURI())
		w.WriteHeader(http.StatusFound)
	default:
		return false
	}
	return true
}

// mislead makes the service answer another question than it was asked.
func (f PCSFault) mislead(q *question, e *edition, p *Platform) {
	switch f {
	case PCSOtherTEE:
		e.tee = map[string]string{"sgx": "tdx", "tdx": "sgx"}[e.tee]
		e.tcbInfoVersion = 3
	case PCSOtherCA:
		if q.document == PCKCRL {
			e.ca = map[string]string{"platform": "processor", "processor": "platform"}[e.ca]
		}
	case PCSOlder:
		e.number--
	}
}

// forge is what is wrong with the documents of an edition, nil for nothing.
func (f PCSFault) forge() func(*plan) {
	switch f {
	case PCSOtherFMSPC:
		return func(p *plan) { p.tcbInfo.FMSPC = "F0C7B0DE0001" }
	case PCSExpired:
		return func(p *plan) { p.date(expired(p.now)) }
	case PCSNotYetValid:
		return func(p *plan) { p.date(notYetValid(p.now)) }
	case PCSForged:
		return func(p *plan) {
			p.tcbInfoBy, p.qeIdentityBy, p.rootCRL.by, p.pckCRL.by = strangerKey, strangerKey, strangerKey, strangerKey
		}
	}
	return nil
}

// date gives all documents a life.
func (p *plan) date(l life) {
	p.tcbInfo.IssueDate, p.tcbInfo.NextUpdate = l.dates()
	p.qeIdentity.IssueDate, p.qeIdentity.NextUpdate = l.dates()
	p.rootCRL.life, p.pckCRL.life = l, l
}

// spoil changes the answer on its way out.
func (f PCSFault) spoil(a *answer) {
	if a.status != http.StatusOK {
		return
	}
	switch f {
	case PCSHalves:
		a.body = a.body[:len(a.body)/2]
	case PCSGarbage:
		a.body = bytes.Repeat([]byte{0xff, 0x00, '<', 0x80}, 64)
	case PCSNoChain:
		delete(a.header, a.chain)
	}
}
