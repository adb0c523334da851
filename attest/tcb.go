package attest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

const keyEvaluation = "tcb.evaluation_number"

// TCBRule says which platforms are recent enough, of those whose maker judges that: Intel's. AMD and AWS publish no judgement;
// a build of SEV-SNP has a minimum TCB instead.
type TCBRule struct {
	Accept           []Status     // nil: UpToDate and SWHardeningNeeded. Revoked is never accepted
	Tolerate         []Toleration // statuses that are accepted for a while, each at most once and not in Accept
	Advisories       []string     // if not nil, no other advisory is tolerated
	EvaluationNumber uint32       // a minimum
}

// Toleration accepts a status until an instant, so that there is time to
// update a platform, and an end to it. A [KeySet] trusts no key beyond that end.
type Toleration struct {
	Status Status
	Until  time.Time // included; compared with Report.At
	// Advisories, if not nil, are all that evidence of this status may have
	// meanwhile, beside those of TCBRule.
	Advisories []string
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

// accepted returns the statuses that have no end.
func (t *TCBRule) accepted() []Status {
	if t.Accept == nil {
		return DefaultAccept()
	}
	return t.Accept
}

func (t *TCBRule) validate() error {
	for i, s := range t.Accept {
		if err := validateStatus(fmt.Sprintf("tcb.accept[%d]", i), s, "accepted"); err != nil {
			return err
		}
	}
	if t.Accept != nil && len(t.Accept) == 0 {
		return faultf("tcb.accept", "is empty, so nothing could be accepted; remove it for the default, %s", join(DefaultAccept()))
	}
	for i := range t.Tolerate {
		if err := t.validateToleration(i); err != nil {
			return err
		}
	}
	return validateAdvisories("tcb.advisories", t.Advisories)
}

// concerns refuses a rule that no build has an effect for: whoever wrote it expects one.
func (t *TCBRule) concerns(builds []Build) error {
	if judgesAny(builds) {
		return nil
	}
	for _, rule := range []struct {
		key   string
		given bool
	}{
		{"tcb.accept", t.Accept != nil}, {"tcb.tolerate", t.Tolerate != nil},
		{"tcb.advisories", t.Advisories != nil}, {keyEvaluation, t.EvaluationNumber != 0},
	} {
		if rule.given {
			return faultf(rule.key, "has no effect: Intel alone judges how recent a platform is, and no build here is of sgx or tdx; remove it (min_tcb of an sev-snp build has a like purpose)")
		}
	}
	return nil
}

// judgesAny tells whether the maker of one build's platforms judges them.
func judgesAny(builds []Build) bool {
	return slices.ContainsFunc(builds, func(b Build) bool {
		env := environmentOf(b.TEE)
		return env != nil && env.judged
	})
}

func validateStatus(key string, s Status, verb string) error {
	if s == Revoked {
		return faultf(key, "a revoked platform can't be %s; remove it", verb)
	}
	if !slices.Contains(statuses, s) {
		return faultf(key, "got %q, want one of %s", clip(string(s)), join(statuses[:len(statuses)-1]))
	}
	return nil
}

// validateToleration refuses what could have no effect: whoever wrote it expects an end.
func (t *TCBRule) validateToleration(i int) error {
	key, one := fmt.Sprintf("tcb.tolerate[%d]", i), t.Tolerate[i]
	if err := validateStatus(key+".status", one.Status, "tolerated"); err != nil {
		return err
	}
	if slices.Contains(t.accepted(), one.Status) {
		return faultf(key+".status", "%s is in tcb.accept%s and so accepted without an end; take it out of one of them",
			one.Status, map[bool]string{true: " by default"}[t.Accept == nil])
	}
	if slices.ContainsFunc(t.Tolerate[:i], func(o Toleration) bool { return o.Status == one.Status }) {
		return faultf(key+".status", "%s is given twice; leave one, with one until", one.Status)
	}
	if one.Until.IsZero() {
		return faultf(key+".until", "is missing; give the last day, such as 2027-01-31, or list %s in tcb.accept to accept it without an end", one.Status)
	}
	return validateAdvisories(key+".advisories", one.Advisories)
}

func validateAdvisories(key string, list []string) error {
	for i, a := range list {
		if a == "" || strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return faultf(fmt.Sprintf("%s[%d]", key, i), "got %q, want a name such as INTEL-SA-00615", clip(a))
		}
	}
	return nil
}

// toleration returns the rule's word on a status that it accepts for a while, nil if it has none.
func (t *TCBRule) toleration(s Status) *Toleration {
	if slices.Contains(t.accepted(), s) {
		return nil // without an end
	}
	i := slices.IndexFunc(t.Tolerate, func(o Toleration) bool { return o.Status == s })
	if i < 0 {
		return nil
	}
	return &t.Tolerate[i]
}

// until returns when the rule's acceptance of the report ends, zero if it has no end of its own.
func (t *TCBRule) until(r *Report) time.Time {
	if o := t.toleration(r.TCB.Status); o != nil {
		return o.Until
	}
	return time.Time{}
}

// check returns everything that the rule has against the platform.
func (t *TCBRule) check(r *Report) []Refusal {
	if env := environmentOf(r.TEE); env != nil && !env.judged {
		return checkNotJudged(r)
	}
	refusals := t.checkStatus(r)
	refusals = append(refusals, t.checkAdvisories(&r.TCB)...)
	if tcb := &r.TCB; tcb.EvaluationNumber < t.EvaluationNumber {
		refusals = append(refusals, Refusal{
			Key: keyEvaluation, Want: fmt.Sprintf("%d or more", t.EvaluationNumber), Got: fmt.Sprint(tcb.EvaluationNumber),
			Fix: "judge the evidence with newer collateral, or lower tcb.evaluation_number",
		})
	}
	return refusals
}

// checkNotJudged wants the one status that says so of a platform that its maker does not judge.
func checkNotJudged(r *Report) []Refusal {
	switch {
	case revoked(&r.TCB):
		return []Refusal{refusalOfRevoked}
	case r.TCB.Status == tee.NotJudged:
		return nil
	}
	return []Refusal{{
		Key: "tcb.accept", Want: string(tee.NotJudged) + ", which is the status of every platform of this TEE", Got: orNone(clip(string(r.TCB.Status))),
		Fix: "use a verifier of this platform that does not judge what its maker does not",
	}}
}

var refusalOfRevoked = Refusal{
	Key: "tcb.accept", Want: "a platform that is not revoked", Got: string(Revoked),
	Fix: "run on another machine: no policy can accept a revoked platform",
}

func (t *TCBRule) checkStatus(r *Report) []Refusal {
	tcb := &r.TCB
	if revoked(tcb) {
		return []Refusal{refusalOfRevoked}
	}
	if tcb.Status != "" && slices.Contains(t.accepted(), tcb.Status) {
		return nil
	}
	got, status := orNone(clip(string(tcb.Status)))+shortfalls(tcb), orNone(clip(string(tcb.Status)))
	o := t.toleration(tcb.Status)
	switch {
	case o == nil:
		return []Refusal{{
			Key: "tcb.accept", Want: t.wanted(r.At), Got: got,
			Fix: fmt.Sprintf("%s, or list %s in tcb.accept, or in tcb.tolerate until a date", remedy(tcb), status),
		}}
	case r.At.IsZero(): // a platform's verifier that does not say when it judged
		return []Refusal{{
			Key: "tcb.tolerate", Want: fmt.Sprintf("%s until %s", status, stamp(o.Until)), Got: got + " at an unknown instant",
			Fix: "use a platform verifier that reports the instant that it judged at",
		}}
	case r.At.After(o.Until):
		return []Refusal{{
			Key: "tcb.tolerate", Want: t.wanted(r.At),
			Got: fmt.Sprintf("%s, tolerated until %s, which has passed (it is judged at %s)", got, stamp(o.Until), stamp(r.At)),
			Fix: fmt.Sprintf("%s, or, if that takes longer, move until of %s in tcb.tolerate", remedy(tcb), status),
		}}
	}
	return nil
}

// wanted lists what the rule accepts at an instant.
func (t *TCBRule) wanted(at time.Time) string {
	var list []string
	for _, s := range t.accepted() {
		list = append(list, string(s))
	}
	for _, o := range t.Tolerate {
		if !at.After(o.Until) {
			list = append(list, fmt.Sprintf("%s until %s", o.Status, stamp(o.Until)))
		}
	}
	return strings.Join(list, " or ")
}

// revoked tells whether anything of the platform is: then nothing that it says counts.
func revoked(tcb *TCB) bool {
	return slices.Contains([]Status{tcb.Status, tcb.Platform, tcb.Module, tcb.QE}, Revoked)
}

// checkAdvisories compares the advisories with those of the rule and, for a status that is tolerated, of its toleration.
func (t *TCBRule) checkAdvisories(tcb *TCB) []Refusal {
	key, bounded, allowed := "tcb.advisories", t.Advisories != nil, t.Advisories
	if o := t.toleration(tcb.Status); o != nil && o.Advisories != nil {
		key, bounded, allowed = "tcb.tolerate", true, slices.Concat(allowed, o.Advisories)
	}
	if !bounded {
		return nil
	}
	var refusals []Refusal
	for _, a := range tcb.Advisories {
		if !slices.Contains(allowed, a) {
			name := clip(a)
			refusals = append(refusals, Refusal{
				Key: key, Want: "no advisory but " + orNone(strings.Join(allowed, ", ")), Got: name,
				Fix: fmt.Sprintf("%s, or list %s in the advisories of %s if it does not concern this software", remedy(tcb), name, key),
			})
		}
	}
	return refusals
}

// remedy is what would bring the platform up to date, in words.
func remedy(tcb *TCB) string {
	if len(tcb.Remedies) == 0 {
		return "update the machine's firmware and microcode"
	}
	return strings.Join(tcb.Remedies, "; ")
}

// shortfalls says which components are too old, as far as they are known.
func shortfalls(tcb *TCB) string {
	var list []string
	for _, s := range tcb.Shortfalls {
		list = append(list, shortfall(s))
	}
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

// shortfall is "sgxtcbcomponents[6] (BIOS, Early Microcode Update) is 3, not 5" or "qe.isvsvn is 2, not 8".
func shortfall(s Shortfall) string {
	what := s.Title()
	if s.Part != "" && s.Part != tee.PartPlatform && !strings.HasPrefix(what, s.Part+".") {
		what = s.Part + "." + what
	}
	return fmt.Sprintf("%s is %d, not %d", clip(what), s.Have, s.Want)
}
