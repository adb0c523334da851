package main

import (
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// finding is what inspect says of one subject, and its JSON form: names
// are stable, and members are only ever added. A fact is present exactly if it is
// known from genuine evidence, so that nobody takes a claim for a fact; but for the key id,
// the algorithm and the certificate's dates, which are what the publisher of the key says.
type finding struct {
	Genuine  bool      `json:"genuine"`  // the hardware's maker vouches for it, at the instant
	Accepted bool      `json:"accepted"` // and the policy accepts it; never true without --policy
	Reasons  []string  `json:"reasons"`  // why it is not genuine, or else every refusal of the policy; never null
	Policy   string    `json:"policy"`   // the policy's file, or "default"
	At       time.Time `json:"at"`       // the instant of judgement

	// Unavailable: it can't be told whether it is genuine, since what would judge it can't be had.
	Unavailable bool `json:"unavailable,omitempty"`

	KeyID     string `json:"kid,omitempty"` // of a key set's member
	Algorithm string `json:"alg,omitempty"`

	TEE       string `json:"tee,omitempty"` // "sgx", "tdx", "sev-snp", "nitro"
	Simulated *bool  `json:"simulated,omitempty"`
	Debug     *bool  `json:"debug,omitempty"`
	MRENCLAVE string `json:"mrenclave,omitempty"` // measurements in lower-case hex
	MRSIGNER  string `json:"mrsigner,omitempty"`
	ISVProdID *int   `json:"isvprodid,omitempty"`
	ISVSVN    *int   `json:"isvsvn,omitempty"`
	domainJSON
	ReportData string `json:"report_data,omitempty"`
	FMSPC      string `json:"fmspc,omitempty"`
	PCKCA      string `json:"pck_ca,omitempty"` // "processor" or "platform"

	Measurements map[string]string `json:"measurements,omitempty"` // SEV-SNP and Nitro: by their names in a policy, in lower-case hex
	SNP          *snpJSON          `json:"sev_snp,omitempty"`
	Nitro        *nitroJSON        `json:"nitro,omitempty"`

	TCB         *tcbJSON         `json:"tcb,omitempty"`
	Collateral  *collateralJSON  `json:"collateral,omitempty"` // when the collateral that was used is valid
	Basis       []basisJSON      `json:"basis,omitempty"`      // all that the facts rest on beside the evidence
	Binding     *bindingJSON     `json:"binding,omitempty"`
	Fresh       *freshJSON       `json:"fresh,omitempty"` // of a fresh statement, which binds no key
	Certificate *certificateJSON `json:"certificate,omitempty"`
	Refusals    []refusalJSON    `json:"refusals,omitempty"`   // the policy's reasons, in parts
	Unverified  *claimsJSON      `json:"unverified,omitempty"` // what evidence that is not genuine claims

	fix      string // what would make it genuine
	noPolicy bool   // none was given
	unbound  bool   // genuine, but not evidence of the key that it came with
}

type windowJSON struct {
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

func windowOf(w attest.Window) windowJSON { return windowJSON{w.NotBefore.UTC(), w.NotAfter.UTC()} }

// domainJSON is what only a TDX trust domain has, in lower-case hex.
type domainJSON struct {
	MRTD          string `json:"mrtd,omitempty"`
	RTMR0         string `json:"rtmr0,omitempty"`
	RTMR1         string `json:"rtmr1,omitempty"`
	RTMR2         string `json:"rtmr2,omitempty"`
	RTMR3         string `json:"rtmr3,omitempty"`
	MRCONFIGID    string `json:"mrconfigid,omitempty"`
	MROWNER       string `json:"mrowner,omitempty"`
	MROWNERCONFIG string `json:"mrownerconfig,omitempty"`
	MRSEAM        string `json:"mrseam,omitempty"`
	MRSERVICETD   string `json:"mrservicetd,omitempty"` // TDX 1.5
	Attributes    string `json:"td_attributes,omitempty"`
	XFAM          string `json:"xfam,omitempty"`
}

type bindingJSON struct {
	Scheme        string     `json:"scheme"` // "dice" or "original"
	Use           string     `json:"use,omitempty"`
	Issuer        string     `json:"issuer,omitempty"`
	RulesDigest   string     `json:"rules_digest,omitempty"`   // as in a policy: "sha256:…"
	KeyThumbprint string     `json:"key_thumbprint,omitempty"` // RFC 7638
	Issued        *time.Time `json:"issued,omitempty"`
	Expires       *time.Time `json:"expires,omitempty"`
}

type certificateJSON struct {
	windowJSON
	Valid bool `json:"valid"` // at the instant of judgement
}

type refusalJSON struct {
	Key  string `json:"key"` // of the policy
	Want string `json:"want,omitempty"`
	Got  string `json:"got,omitempty"`
	Fix  string `json:"fix,omitempty"` // what would make it pass
}

// notGenuine ends a finding without facts.
func (x finding) notGenuine(err error) finding {
	x.Reasons = []string{err.Error()}
	x.fix = or(fixFor(err), x.fix)
	if x.Unavailable = errors.Is(err, tee.ErrUnavailable); x.Unavailable {
		x.fix = or(x.fix, `a file serves in the place of the service: --collateral FILE, which "ctb collateral fetch" writes`)
	}
	return x
}

// judged ends the finding of genuine evidence with the policy's reasons.
func (x finding) judged(rs []attest.Refusal) finding {
	x.Genuine = true
	x.Accepted = len(rs) == 0
	x.Reasons = []string{}
	for _, r := range rs {
		x.Reasons = append(x.Reasons, sentence(r))
		x.Refusals = append(x.Refusals, refusalJSON{r.Key, r.Want, r.Got, r.Fix})
	}
	return x
}

// sentence says one refusal in one line.
func sentence(r attest.Refusal) string {
	switch {
	case r.Want == "":
		return fmt.Sprintf("%s: got %s", r.Key, r.Got)
	case r.Got == "":
		return fmt.Sprintf("%s: want %s", r.Key, r.Want)
	}
	return fmt.Sprintf("%s: got %s, want %s", r.Key, r.Got, r.Want)
}

// facts copies the report of genuine evidence.
func (x *finding) facts(r *attest.Report) {
	x.TEE, x.Simulated, x.Debug = r.TEE, new(r.Simulated), new(r.Debug)
	x.ReportData = hex.EncodeToString(r.Data[:])
	x.TCB = tcbFacts(&r.TCB)
	x.Collateral = &collateralJSON{windowJSON: windowOf(r.Collateral)}
	x.Basis = basisFacts(r.Basis)
	platformOf(r.TEE).facts(x, r)
}

func bindingFacts(a *attest.Appraisal) *bindingJSON {
	b := &bindingJSON{Scheme: a.Binding.Scheme, Use: a.Binding.Use, Issuer: a.Binding.Issuer}
	if b.Scheme == attest.Original { // which implies the use, and binds the key alone
		b.Use = ""
	}
	if a.Binding.RulesDigest != [32]byte{} {
		b.RulesDigest = "sha256:" + hex.EncodeToString(a.Binding.RulesDigest[:])
	}
	if thumbprint, err := jose.Thumbprint(a.Key); err == nil {
		b.KeyThumbprint = thumbprint
	}
	if b.Issuer != "" { // otherwise the validity is the certificate's, not the evidence's
		b.Issued, b.Expires = new(a.Binding.Issued.UTC()), new(a.Binding.Expires.UTC())
	}
	return b
}

func certificateFacts(cert *x509.Certificate, at time.Time) *certificateJSON {
	return &certificateJSON{
		windowJSON: windowJSON{cert.NotBefore.UTC(), cert.NotAfter.UTC()},
		Valid:      !at.Before(cert.NotBefore) && !at.After(cert.NotAfter),
	}
}
