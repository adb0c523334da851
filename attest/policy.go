package attest

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb/attest/tee"
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

// Build is one accepted build; evidence must match all that it names. What a build of each TEE can
// name, and what it must, is in the project's docs/policy.md.
//
// An mrtd measures what a TDX guest began with, which for most is the firmware
// of its cloud alone, the same for all tenants: name rtmr1 and rtmr2 as well. A build without them is
// valid, since there are images whose mrtd has the whole system, and [Policy.Warnings] tells of it. The
// attributes of a TDX guest, and the policy of an SEV-SNP guest, are the host's choice: a guest that can be debugged or
// profiled is a debug build, and one that can be migrated is refused by a build that does not name td_attributes or guest_policy.
type Build struct {
	TEE          string            // "sgx", "tdx", "sev-snp" or "nitro"
	Measurements map[string][]byte // by name, as in Report: see [Measurements]
	ISVProdID    *uint16           // SGX
	ISVSVN       *uint16           // SGX, a minimum
	SampleSigner bool              // SGX: accept a signing key that anybody can use
	Debug        bool              // accept a debug build, which its host can read

	// What follows is of SEV-SNP alone.

	Product string // tee.Milan, tee.Genoa or tee.Turin, whose numbers those of MinTCB are; empty for any, but for a Turin if MinTCB.FMC is 0
	// MinTCB is required: the least of each component, both of the TCB that the machine reports and of
	// the one that it had when the guest was launched. AMD publishes no judgement that could take its place.
	MinTCB              *tee.AMDTCB
	GuestSVN            *uint32 // a minimum
	VMPL                uint32  // the greatest privilege level, and so the least privileged, that may ask for evidence: 0 to 3
	UncheckedRevocation bool    // accept evidence that was judged without AMD's revocation list
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
		return faultf("builds", "no build is named, so nothing could be accepted; name one, with its tee and mrenclave, mrtd, measurement or pcr0")
	}
	for i := range p.Builds {
		if err := p.Builds[i].validate(fmt.Sprintf("builds[%d]", i)); err != nil {
			return err
		}
	}
	if err := p.TCB.validate(); err != nil {
		return err
	}
	if err := p.TCB.concerns(p.Builds); err != nil {
		return err
	}
	return p.validateBinding()
}

// validate tells whether the build pins what tells it from others, and nothing that its TEE does not have.
func (b *Build) validate(key string) error {
	env := environmentOf(b.TEE)
	if env == nil {
		return faultf(key+".tee", "got %q, want %s", clip(b.TEE), environmentNames())
	}
	for _, name := range slices.Sorted(maps.Keys(b.Measurements)) {
		m := env.measurement(name)
		if m == nil {
			return env.misplaced(key+"."+name, name)
		}
		if got := len(b.Measurements[name]); got != m.size {
			return faultf(key+"."+name, "got %d bytes, want %d (%d hex digits)", got, m.size, 2*m.size)
		}
	}
	for _, k := range buildKeys {
		if k.given(b) && !env.has(k.name) {
			return env.misplaced(key+"."+k.name, k.name)
		}
	}
	if !slices.ContainsFunc(env.identities, func(i identity) bool { return b.names(i.keys) }) {
		return faultf(key, "%s would match; name its %s", env.crowd, env.identityKeys())
	}
	if env.sound != nil {
		return env.sound(b, key)
	}
	return nil
}

// names tells whether the build has a value for each of the keys.
func (b *Build) names(keys []string) bool {
	return !slices.ContainsFunc(keys, func(name string) bool {
		i := slices.IndexFunc(buildKeys, func(k buildKey) bool { return k.name == name })
		return b.Measurements[name] == nil && (i < 0 || !buildKeys[i].given(b))
	})
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
