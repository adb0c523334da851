package attest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// Warnings tells what the policy may say, but a person should know that it
// does, each with its key: builds that many systems match, exceptions made for
// development, exceptions without an end, at the instant now those that have ended, and judgements of any age.
func (p *Policy) Warnings(now time.Time) []string {
	var list []string
	warn := func(key, format string, args ...any) { list = append(list, faultf(key, format, args...).Error()) }
	for i := range p.Builds {
		p.Builds[i].remarks(func(key, format string, args ...any) { warn(fmt.Sprintf("builds[%d]%s", i, key), format, args...) })
	}
	p.TCB.remarks(now, warn)
	if p.TCB.EvaluationNumber == 0 && judgesAny(p.Builds) {
		warn(keyEvaluation, "names no minimum, so a broker's host that serves an older judgement of its platform, which the maker still signs, may be believed; ctb inspect shows the number of today")
	}
	if len(p.Rules) == 0 && cmp.Or(p.Scheme, DICE) == DICE {
		warn("rules", "names none, so any are accepted: also those of somebody who runs the same build, under this issuer's URL, on a machine of their own; ctb rules digest prints the digest of rules that you have read")
	}
	if p.SimulatedRoot != "" {
		warn("simulated_root", "simulated evidence is accepted, which protects nothing")
	}
	return list
}

// remarks warns of the build; a key is empty, or begins with a dot.
func (b *Build) remarks(warn func(key, format string, args ...any)) {
	env := environmentOf(b.TEE)
	if env == nil {
		return
	}
	if env.remarks != nil {
		env.remarks(b, warn)
	}
	if g := env.guest; g != nil && b.Measurements[g.key] != nil && g.open(b.Measurements[g.key]) {
		warn("."+g.key, "a guest is accepted that can be migrated: %s may have its memory", g.by)
	}
	if b.Debug {
		warn(".debug", "a debug build is accepted, whose memory its host can read")
	}
	if b.SampleSigner {
		warn(".sample_signer", "a signing key is accepted that anybody can use")
	}
}

func (t *TCBRule) remarks(now time.Time, warn func(key, format string, args ...any)) {
	if t.Accept != nil && !slices.Contains(t.Accept, UpToDate) {
		warn("tcb.accept", "takes the place of the default and lacks %s, so a platform is refused once it is brought up to date", UpToDate)
	}
	for i, s := range t.Accept {
		if !slices.Contains(DefaultAccept(), s) {
			warn(fmt.Sprintf("tcb.accept[%d]", i), "%s is accepted without an end; tcb.tolerate gives it one", s)
		}
	}
	for i, o := range t.Tolerate {
		if now.After(o.Until) {
			warn(fmt.Sprintf("tcb.tolerate[%d].until", i), "%s was tolerated until %s, which has passed", o.Status, stamp(o.Until))
		}
	}
}

func remarksTDX(b *Build, warn func(key, format string, args ...any)) {
	if b.Measurements["rtmr1"] == nil && b.Measurements["rtmr2"] == nil {
		warn("", "mrtd measures what the guest began with, mostly its firmware alone, so any system that this boots may match; name rtmr1 and rtmr2 too, unless the whole system is in mrtd")
	}
}

func remarksSNP(b *Build, warn func(key, format string, args ...any)) {
	switch {
	case b.MinTCB != nil && *b.MinTCB == (tee.AMDTCB{}):
		warn(".min_tcb", "firmware of any age is accepted; ctb inspect shows the numbers of a machine")
	case b.Product == "":
		warn(".product", "is missing: the numbers of min_tcb are of one family of processors, and an outdated one of another family may reach them; name %s, %s or %s", tee.Milan, tee.Genoa, tee.Turin)
	}
	if b.Measurements["id_key_digest"] == nil && b.Measurements["author_key_digest"] == nil {
		for _, key := range []string{"guest_svn", "family_id", "image_id"} {
			if b.names([]string{key}) {
				warn("."+key, "is from the ID block, which the host can sign with a key of its own: name id_key_digest or author_key_digest, whose key you trust with it")
			}
		}
	}
	if b.VMPL > 0 {
		warn(".vmpl", "evidence is accepted that was asked for at privilege level %d, at which less trusted software of the guest may run", b.VMPL)
	}
	if b.UncheckedRevocation {
		warn(".unchecked_revocation", "evidence is accepted while nobody has looked whether AMD revoked its keys")
	}
}

func remarksNitro(b *Build, warn func(key, format string, args ...any)) {
	switch pcr0 := b.Measurements["pcr0"]; {
	case pcr0 == nil:
		warn("", "pcr8 is the certificate that signs images, so every image that it signed matches, the older ones too; name pcr0 for one image")
	case zero(pcr0) && b.Debug:
		warn(".pcr0", "is zero, as of every enclave in debug mode, so any of them matches")
	case zero(pcr0):
		warn(".pcr0", "is zero, as of enclaves in debug mode alone, and those are refused; name that of the image")
	}
}
