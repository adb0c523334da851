package attest

import (
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
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
type Build struct {
	TEE          string            // "sgx" or "tdx"
	Measurements map[string][]byte // by name, as in Report: see [Measurements]
	ISVProdID    *uint16           // SGX
	ISVSVN       *uint16           // SGX, a minimum
	Debug        bool              // accept a debug build, which its host can read
	SampleSigner bool              // accept a signing key that anybody can use
}

// TCBRule says which platforms are recent enough.
type TCBRule struct {
	Accept           []Status // nil: UpToDate and SWHardeningNeeded. Revoked is never accepted
	Advisories       []string // if not nil, no other advisory is tolerated
	EvaluationNumber uint32   // a minimum
}

// DefaultAccept is what a policy accepts that names no TCB status.
// SWHardeningNeeded is the platform's affair to some extent only: software
// built with the mitigations of the advisories runs safely there.
func DefaultAccept() []Status { return []Status{UpToDate, SWHardeningNeeded} }

// statuses are all, from best to worst.
var statuses = []Status{
	UpToDate, SWHardeningNeeded, ConfigurationNeeded, ConfigurationAndSWHardeningNeeded,
	OutOfDate, OutOfDateConfigurationNeeded, Revoked,
}

type measurement struct {
	name, tee string
	size      int // bytes
}

var measurements = []measurement{
	{"mrenclave", "sgx", 32}, {"mrsigner", "sgx", 32},
	{"mrtd", "tdx", 48}, {"rtmr0", "tdx", 48}, {"rtmr1", "tdx", 48}, {"rtmr2", "tdx", 48}, {"rtmr3", "tdx", 48},
	{"mrconfigid", "tdx", 48}, {"mrowner", "tdx", 48}, {"mrownerconfig", "tdx", 48}, {"mrseam", "tdx", 48},
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

func (t *TCBRule) validate() error {
	for i, s := range t.Accept {
		key := fmt.Sprintf("tcb.accept[%d]", i)
		if s == Revoked {
			return faultf(key, "a revoked platform can't be accepted; remove it")
		}
		if !slices.Contains(statuses, s) {
			return faultf(key, "got %q, want one of %s", s, join(statuses[:len(statuses)-1]))
		}
	}
	if t.Accept != nil && len(t.Accept) == 0 {
		return faultf("tcb.accept", "is empty, so nothing could be accepted; remove it for the default, %s", join(DefaultAccept()))
	}
	for i, a := range t.Advisories {
		if a == "" || strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return faultf(fmt.Sprintf("tcb.advisories[%d]", i), "got %q, want a name such as INTEL-SA-00615", a)
		}
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
