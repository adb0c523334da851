package attest

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// RefusalError says why evidence that is genuine is not ours.
type RefusalError struct {
	Refusals []Refusal
	Builds   int // how many builds the policy has; where none fits, the refusals tell of the nearest
}

// Refusal is one reason.
type Refusal struct {
	Key  string // the policy's key, such as "builds[0].mrenclave" or "tcb.accept"
	Want string // what the policy wants
	Got  string // what the evidence has
	Fix  string // what would make it pass, in words
}

func (r Refusal) String() string { return fmt.Sprintf("%s: got %s, want %s", r.Key, r.Got, r.Want) }

func (e *RefusalError) Error() string {
	var text strings.Builder
	text.WriteString("the evidence is genuine but not accepted")
	if e.Builds > 1 && slices.ContainsFunc(e.Refusals, func(r Refusal) bool { return strings.HasPrefix(r.Key, "builds[") }) {
		fmt.Fprintf(&text, " (none of %d builds fits; this is of the nearest)", e.Builds)
	}
	for i, r := range e.Refusals {
		text.WriteString([]string{": ", "; "}[min(i, 1)])
		text.WriteString(r.String())
	}
	return text.String()
}

// Check tells whether genuine evidence is ours. The error is a *RefusalError with every reason.
// The binding may be nil where a bare quote is judged; a policy that pins what only a binding has then refuses.
// A policy that [Policy.Validate] finds at fault accepts nothing.
func (p *Policy) Check(r *Report, b *Binding) error {
	return p.verdict(p.refusals(r, b))
}

// verdict makes an error of the reasons, nil if there are none.
func (p *Policy) verdict(refusals []Refusal) error {
	if len(refusals) > 0 {
		return &RefusalError{Refusals: refusals, Builds: len(p.Builds)}
	}
	return nil
}

func (p *Policy) refusals(r *Report, b *Binding) []Refusal {
	if r == nil {
		r = new(Report) // which no policy accepts
	}
	refusals := p.checkBuilds(r)
	refusals = append(refusals, p.TCB.check(r)...)
	refusals = append(refusals, p.checkSimulated(r)...)
	refusals = append(refusals, p.checkBinding(b)...)
	if len(refusals) == 0 {
		return p.checkSound()
	}
	return refusals
}

// checkSound refuses all evidence under a policy that does not say what it
// should: a build that names only its TEE would match every enclave.
func (p *Policy) checkSound() []Refusal {
	err := p.Validate()
	if err == nil {
		return nil
	}
	fault := &keyError{"builds", err.Error()} // that it has no place of its own does not make it less of a fault
	errors.As(err, &fault)
	return []Refusal{{Key: fault.key, Want: "a policy without faults", Got: fault.text, Fix: "correct the policy"}}
}

// DefaultRefusals returns what a policy refuses of the evidence, whatever its
// builds are, unless it says otherwise: a guest that can be migrated, evidence that less
// privileged software of the guest asked for or whose keys may be revoked (SEV-SNP), a debug build, a
// sample signing key, a TCB status that is not accepted by default, simulated hardware.
func DefaultRefusals(r *Report) []Refusal {
	refusals := (&Build{}).checkDefaults(r, "builds[]")
	refusals = append(refusals, (&TCBRule{}).check(r)...)
	return append(refusals, (&Policy{}).checkSimulated(r)...)
}

// checkBuilds returns nil if the evidence matches one build whole, and else
// what keeps it from the nearest: one of the same TEE, with the fewest refusals.
func (p *Policy) checkBuilds(r *Report) []Refusal {
	if len(p.Builds) == 0 {
		return []Refusal{{
			Key: "builds", Want: "a build that the policy names", Got: "no build in the policy",
			Fix: "name this build: " + identify(r),
		}}
	}
	var all [][]Refusal
	for i := range p.Builds {
		refusals := p.Builds[i].check(r, fmt.Sprintf("builds[%d]", i))
		if len(refusals) == 0 {
			return nil
		}
		all = append(all, refusals)
	}
	return slices.MinFunc(all, func(a, b []Refusal) int { return cmp.Compare(distance(a), distance(b)) })
}

func distance(refusals []Refusal) int {
	if strings.HasSuffix(refusals[0].Key, "].tee") { // and not that of a min_tcb
		return 1000
	}
	return len(refusals)
}

// identify says which build the evidence is of, as a policy would name it.
func identify(r *Report) string {
	env := environmentOf(r.TEE)
	if env == nil {
		return "tee " + orNone(clip(r.TEE))
	}
	name := env.identities[0].keys[0]
	return fmt.Sprintf("tee %s, %s %s", r.TEE, name, hexOr(r.Measurements[name], "unknown"))
}

// check compares everything the build names; of another TEE nothing else is comparable.
func (b *Build) check(r *Report, key string) []Refusal {
	env := environmentOf(b.TEE)
	if r.TEE != b.TEE || env == nil {
		return []Refusal{{Key: key + ".tee", Want: orNone(clip(b.TEE)), Got: orNone(clip(r.TEE)), Fix: "add a build: " + identify(r)}}
	}
	var refusals []Refusal
	for _, m := range env.measurements {
		want, pinned := b.Measurements[m.name]
		if got := r.Measurements[m.name]; pinned && !bytes.Equal(got, want) {
			refusals = append(refusals, Refusal{
				Key: key + "." + m.name, Want: hexOr(want, "nothing"), Got: hexOr(got, "none"),
				Fix: "run the build that the policy names, or, if you trust this one, add a build: " + identify(r),
			})
		}
	}
	if b.ISVProdID != nil && r.ISVProdID != *b.ISVProdID {
		refusals = append(refusals, Refusal{
			Key: key + ".isvprodid", Want: fmt.Sprint(*b.ISVProdID), Got: fmt.Sprint(r.ISVProdID),
			Fix: "run the product that the policy names, or add a build for this one",
		})
	}
	if b.ISVSVN != nil && r.ISVSVN < *b.ISVSVN {
		refusals = append(refusals, Refusal{
			Key: key + ".isvsvn", Want: fmt.Sprintf("%d or more", *b.ISVSVN), Got: fmt.Sprint(r.ISVSVN),
			Fix: "run a newer build, or lower isvsvn if the security updates since then do not matter to you",
		})
	}
	if env.compare != nil && env.complete(r) { // else checkDefaults refuses it
		refusals = append(refusals, env.compare(b, r, key)...)
	}
	return append(refusals, b.checkDefaults(r, key)...)
}

// checkDefaults refuses what every build does that does not say otherwise.
func (b *Build) checkDefaults(r *Report, key string) []Refusal {
	return slices.Concat(b.checkGuest(r, key), b.checkOwn(r, key), b.checkKind(r, key))
}

// checkOwn refuses what only evidence of this TEE can have, or should have and has not.
func (b *Build) checkOwn(r *Report, key string) []Refusal {
	env := environmentOf(r.TEE)
	switch {
	case env == nil:
		return nil
	case !env.complete(r):
		return []Refusal{{
			Key: key, Want: "all facts of " + env.title, Got: "a report that leaves some out",
			Fix: "use a verifier of this platform that reports all facts",
		}}
	case env.defaults == nil:
		return nil
	}
	return env.defaults(b, r, key)
}

// checkKind refuses builds that anybody could read or replace.
func (b *Build) checkKind(r *Report, key string) []Refusal {
	var refusals []Refusal
	if r.Debug && !b.Debug {
		refusals = append(refusals, Refusal{
			Key: key + ".debug", Want: "a production build", Got: "a debug build, whose memory its host can read",
			Fix: "run a production build, or set debug: true for this build",
		})
	}
	if name := sampleSigners[hex.EncodeToString(r.Measurements["mrsigner"])]; name != "" && !b.SampleSigner {
		refusals = append(refusals, Refusal{
			Key: key + ".sample_signer", Want: "a signing key of its own",
			Got: fmt.Sprintf("the published sample key of %s (mrsigner %x), which anybody can sign with", name, r.Measurements["mrsigner"]),
			Fix: "sign the build with a key of your own, or set sample_signer: true for this build",
		})
	}
	return refusals
}

// sampleSigners are the MRSIGNER values of private keys that are published with SDKs.
var sampleSigners = map[string]string{
	"83d719e77deaca1470f6baf62a4d774303c899db69020f9c70ee1dfc08c7ce9e": "the Intel SGX SDK",
	"ca9ad7331448980aa28890ce73e433638377f179ab4456b2fe237193193a8d0a": "the Open Enclave SDK",
	"9affcfae47b848ec2caf1c49b4b283531e1cc425f93582b36806e52a43d78d1a": "Fortanix EDP",
}

func (p *Policy) checkSimulated(r *Report) []Refusal {
	if !r.Simulated || p.SimulatedRoot != "" {
		return nil
	}
	return []Refusal{{
		Key: "simulated_root", Want: "evidence of genuine hardware", Got: "simulated evidence under a development root",
		Fix: "run on genuine hardware, or, for development only, name the root in simulated_root",
	}}
}

func (p *Policy) checkBinding(b *Binding) []Refusal {
	var refusals []Refusal
	if b == nil {
		b = new(Binding) // a bare quote binds nothing
	} else if want := cmp.Or(p.Scheme, DICE); b.Scheme != want {
		refusals = append(refusals, Refusal{Key: "scheme", Want: want, Got: orNone(b.Scheme), Fix: "set scheme: " + b.Scheme})
	}
	if p.Issuer != "" && b.Issuer != p.Issuer {
		refusals = append(refusals, Refusal{
			Key: "issuer", Want: p.Issuer, Got: orNone(b.Issuer),
			Fix: "ask the broker that the policy names, or correct the issuer",
		})
	}
	got := digestPrefix + hex.EncodeToString(b.RulesDigest[:])
	if b.RulesDigest == [32]byte{} {
		got = "none"
	}
	if len(p.Rules) > 0 && !slices.ContainsFunc(p.Rules, func(want string) bool { return strings.EqualFold(want, got) }) {
		refusals = append(refusals, Refusal{
			Key: "rules", Want: strings.Join(p.Rules, " or "), Got: got,
			Fix: "have the broker enforce the rules that the policy names, or, having read its rules, add their digest",
		})
	}
	return refusals
}

func orNone(s string) string { return cmp.Or(s, "none") }

func hexOr(b []byte, none string) string {
	if b == nil {
		return none
	}
	return hex.EncodeToString(b)
}
