package attest

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Policy holds the reference values: which evidence is ours. [ParsePolicy]
// reads one from a file; one made in Go is checked by [Policy.Validate].
type Policy struct {
	Builds        []Build // evidence must match one of them whole; without any, all is refused
	TCB           TCBRule
	Issuer        string   // if not empty, the issuer that the evidence binds
	Rules         []string // if any, the bound rules digest is one of these: "sha256:" and 64 hex digits
	Scheme        string   // DICE or Original; empty means DICE
	SimulatedRoot string   // path of a PEM file, relative to the policy's; not empty accepts simulated evidence
}

// Build is one accepted build; evidence must match all that it names.
//
// An mrtd measures what a TDX guest began with, which for most is the firmware
// of its cloud alone, the same for all tenants: name rtmr1 and rtmr2 as well. A build without them is
// valid, since there are images whose mrtd has the whole system, and [Policy.Warnings] tells of it. The
// attributes are the host's choice: a guest that can be debugged or profiled is a debug build, and one that can be
// migrated is refused by a build that does not name td_attributes.
type Build struct {
	TEE          string            // "sgx" or "tdx"
	Measurements map[string][]byte // by name, as in Report: see [Measurements]
	ISVProdID    *uint16           // SGX
	ISVSVN       *uint16           // SGX, a minimum
	Debug        bool              // accept a debug build, which its host can read
	SampleSigner bool              // accept a signing key that anybody can use
}

type measurement struct {
	name, tee string
	size      int // bytes
}

var measurements = []measurement{
	{"mrenclave", "sgx", 32}, {"mrsigner", "sgx", 32},
	{"mrtd", "tdx", 48}, {"rtmr0", "tdx", 48}, {"rtmr1", "tdx", 48}, {"rtmr2", "tdx", 48}, {"rtmr3", "tdx", 48},
	{"mrconfigid", "tdx", 48}, {"mrowner", "tdx", 48}, {"mrownerconfig", "tdx", 48}, {"mrservicetd", "tdx", 48},
	{"td_attributes", "tdx", 8}, {"xfam", "tdx", 8},
	{"mrseam", "tdx", 48}, {"mrsignerseam", "tdx", 48}, {"seam_attributes", "tdx", 8},
}

// Measurements names what a build of this TEE ("sgx" or "tdx") can pin.
func Measurements(tee string) []string {
	var names []string
	for _, m := range measurements {
		if m.tee == tee {
			names = append(names, m.name)
		}
	}
	return names
}

// keyError is a fault of a policy, at a key such as "builds[0].mrenclave".
type keyError struct{ key, text string }

func (e *keyError) Error() string { return e.key + ": " + e.text }

func faultf(key, format string, args ...any) error {
	return &keyError{key, fmt.Sprintf(format, args...)}
}

// Validate tells whether the policy says what it should. The error names the
// key, what is wrong with it and what would be right.
func (p *Policy) Validate() error {
	if len(p.Builds) == 0 {
		return faultf("builds", "no build is named, so nothing could be accepted; name one, with its tee and mrenclave or mrtd")
	}
	for i := range p.Builds {
		if err := p.Builds[i].validate(fmt.Sprintf("builds[%d]", i)); err != nil {
			return err
		}
	}
	if err := p.TCB.validate(); err != nil {
		return err
	}
	return p.validateBinding()
}

// Warnings tells what the policy may say, but a person should know that it
// does, each with its key: builds that many systems match, exceptions made for
// development, exceptions without an end, at the instant now those that have ended, and judgements of any age.
func (p *Policy) Warnings(now time.Time) []string {
	var list []string
	warn := func(key, format string, args ...any) { list = append(list, faultf(key, format, args...).Error()) }
	for i := range p.Builds {
		b, key := &p.Builds[i], fmt.Sprintf("builds[%d]", i)
		if b.TEE == "tdx" && b.Measurements["rtmr1"] == nil && b.Measurements["rtmr2"] == nil {
			warn(key, "mrtd measures what the guest began with, mostly its firmware alone, so any system that this boots may match; name rtmr1 and rtmr2 too, unless the whole system is in mrtd")
		}
		if b.Debug {
			warn(key+".debug", "a debug build is accepted, whose memory its host can read")
		}
		if b.SampleSigner {
			warn(key+".sample_signer", "a signing key is accepted that anybody can use")
		}
	}
	for i, s := range p.TCB.Accept {
		if !slices.Contains(DefaultAccept(), s) {
			warn(fmt.Sprintf("tcb.accept[%d]", i), "%s is accepted without an end; tcb.tolerate gives it one", s)
		}
	}
	for i, o := range p.TCB.Tolerate {
		if now.After(o.Until) {
			warn(fmt.Sprintf("tcb.tolerate[%d].until", i), "%s was tolerated until %s, which has passed", o.Status, stamp(o.Until))
		}
	}
	if p.TCB.EvaluationNumber == 0 {
		warn(keyEvaluation, "names no minimum, so a broker's host that serves an older judgement of its platform, which the maker still signs, may be believed; ctb inspect shows the number of today")
	}
	if p.SimulatedRoot != "" {
		warn("simulated_root", "simulated evidence is accepted, which protects nothing")
	}
	return list
}

func (b *Build) validate(key string) error {
	if b.TEE != "sgx" && b.TEE != "tdx" {
		return faultf(key+".tee", "got %q, want sgx or tdx", b.TEE)
	}
	for name, value := range b.Measurements {
		i := slices.IndexFunc(measurements, func(m measurement) bool { return m.name == name })
		if i < 0 || measurements[i].tee != b.TEE {
			return faultf(key+"."+name, "%s has no such measurement; known are %s", b.TEE, strings.Join(Measurements(b.TEE), ", "))
		}
		if want := measurements[i].size; len(value) != want {
			return faultf(key+"."+name, "got %d bytes, want %d (%d hex digits)", len(value), want, 2*want)
		}
	}
	if b.TEE == "tdx" {
		switch {
		case b.ISVProdID != nil:
			return faultf(key+".isvprodid", "is of sgx, and this build is of tdx; remove it")
		case b.ISVSVN != nil:
			return faultf(key+".isvsvn", "is of sgx, and this build is of tdx; remove it")
		case b.SampleSigner:
			return faultf(key+".sample_signer", "is of sgx, and this build is of tdx; remove it")
		case b.Measurements["mrtd"] == nil:
			return faultf(key, "any tdx guest would match; name its mrtd")
		}
		return nil
	}
	signed := b.Measurements["mrsigner"] != nil && b.ISVProdID != nil && b.ISVSVN != nil
	if b.Measurements["mrenclave"] == nil && !signed {
		return faultf(key, "too many enclaves would match; name its mrenclave, or all of mrsigner, isvprodid and isvsvn")
	}
	return nil
}

func (p *Policy) validateBinding() error {
	switch p.Scheme {
	case DICE, "":
	case Original:
		// It binds the key alone, so these could never be met.
		if p.Issuer != "" {
			return faultf("issuer", "evidence of the scheme %s binds no issuer; remove this or use the scheme %s", Original, DICE)
		}
		if len(p.Rules) > 0 {
			return faultf("rules", "evidence of the scheme %s binds no rules; remove this or use the scheme %s", Original, DICE)
		}
	default:
		return faultf("scheme", "got %q, want %s or %s", p.Scheme, DICE, Original)
	}
	if p.Issuer != "" {
		if u, err := url.Parse(p.Issuer); err != nil || u.Scheme == "" || u.Host == "" {
			return faultf("issuer", "got %q, want a URL such as https://broker.example.com", redact(p.Issuer))
		}
	}
	if p.Rules != nil && len(p.Rules) == 0 {
		return faultf("rules", "is empty, so nothing could be accepted; remove it to accept any rules")
	}
	for i, r := range p.Rules {
		digits, ok := strings.CutPrefix(r, digestPrefix)
		if raw, err := hex.DecodeString(digits); !ok || err != nil || len(raw) != 32 {
			return faultf(fmt.Sprintf("rules[%d]", i), "got %q, want %q and 64 hex digits, as `ctb rules digest` prints it", r, digestPrefix)
		}
	}
	return nil
}

const digestPrefix = "sha256:"

func join[S ~string](list []S) string {
	text := make([]string, len(list))
	for i, s := range list {
		text[i] = string(s)
	}
	return strings.Join(text, ", ")
}
