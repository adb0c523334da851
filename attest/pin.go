package attest

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// PinConfig says what goes into a policy that [Pin] writes beside the evidence.
type PinConfig struct {
	// Accept names what a policy refuses unless it says otherwise, and what is accepted on
	// purpose all the same, by the policy's keys ([Pinnable]): "debug", "sample_signer", "tcb.accept", "simulated_root";
	// "td_attributes" for a TDX guest that can be migrated, and "guest_policy" for one of SEV-SNP; and for SEV-SNP "vmpl" and "unchecked_revocation".
	// One that the evidence has no need of changes nothing.
	Accept        []string
	SimulatedRoot string // for simulated_root: path of the development root, relative to the policy; empty: dev-root.pem
	From          string // where the evidence was seen, for a comment; may be empty
}

// Pinned is a policy that [Pin] wrote.
type Pinned struct {
	Policy   []byte    // YAML with comments, ASCII, as ParsePolicy reads it
	Refusals []Refusal // what it refuses of the evidence that it was made from; none once all was accepted
}

// pinnable are the names that PinConfig.Accept may have.
var pinnable = []string{"debug", "sample_signer", "tcb.accept", "simulated_root", "td_attributes", "guest_policy", "vmpl", "unchecked_revocation"}

// Pin writes a policy from evidence that was just verified: its build and what
// it binds, pinned to what was seen, with a comment on each value. The binding
// is nil for a bare quote.
//
// It is for an operator who has looked at the evidence and decides to trust this
// build: a policy that was written this way from evidence of an impostor accepts the
// impostor. What a policy refuses unless it says otherwise is written as a
// comment, with the reason, unless c.Accept names it; Pinned.Refusals tells what remains.
//
// Active are the build's identity (SGX: mrenclave. TDX: mrtd, all four rtmr, the identifiers of
// configuration, owner and service TD also where they are zero, since the host chooses them,
// attributes and XFAM. SEV-SNP: the measurement, the host's data, the digests of the ID block's keys, also where they are
// zero, what that block names, and the guest policy. Nitro: pcr0 to pcr2, and what the enclave extended itself), the
// issuer, the rules digest and the scheme. How recent the platform must be is, for Intel's, the default of
// tcb.accept and the evaluation number as a minimum, and for AMD's the family and the lower of the TCB that
// the machine reports and the one at the guest's launch. The advisories are active unless the platform is
// UpToDate: a status that needs the software's own defence is accepted for the
// advisories that its operator knows of, and not for those to come.
//
// A revoked platform is an error, since its evidence vouches for nothing, and so is
// what no policy could name, such as an issuer that is no URL.
func Pin(r *Report, b *Binding, c PinConfig) (*Pinned, error) {
	for _, name := range c.Accept {
		if !slices.Contains(pinnable, name) {
			return nil, fmt.Errorf("pin: accept: got %q, want one of %s", clip(name), strings.Join(pinnable, ", "))
		}
	}
	if r == nil {
		return nil, errors.New("pin: no report")
	}
	env := environmentOf(r.TEE)
	if err := env.pinnable(r); err != nil {
		return nil, fmt.Errorf("pin: %w", err)
	}
	w := &pinner{report: r, env: env, binding: b, config: c}
	w.head()
	w.build()
	if env.judged {
		w.tcb()
	}
	w.bound()
	w.simulated()
	return w.finish()
}

// Pinnable returns the names that PinConfig.Accept may have.
func Pinnable() []string { return slices.Clone(pinnable) }

// pinnable tells whether a policy could accept the evidence at all.
func (e *environment) pinnable(r *Report) error {
	switch {
	case e == nil:
		return fmt.Errorf("got evidence of %q, want %s", clip(r.TEE), environmentNames())
	case revoked(&r.TCB):
		return errors.New("the platform is revoked, so its evidence vouches for nothing; take evidence of another machine")
	case r.Measurements[e.identities[0].keys[0]] == nil:
		return fmt.Errorf("evidence of %q has no measurement to pin; want its %s", e.name, e.identities[0].keys[0])
	case !e.complete(r):
		return fmt.Errorf("the report leaves out some facts of %s; use a verifier of this platform that reports all", e.title)
	}
	if e.judged {
		return validateStatus("tcb.accept", r.TCB.Status, "accepted")
	}
	if refusals := checkNotJudged(r); len(refusals) > 0 {
		return errors.New(refusals[0].String())
	}
	return nil
}

// finish reads the policy back, as its user will, and tells what it refuses.
func (w *pinner) finish() (*Pinned, error) {
	p, err := ParsePolicy(w.text.Bytes())
	if err != nil {
		return nil, fmt.Errorf("pin: the evidence has something that no policy can name: %w", err)
	}
	refusals := p.refusals(w.report, w.binding)
	for _, r := range refusals {
		name := strings.TrimPrefix(r.Key, "builds[0].")
		if !slices.Contains(pinnable, name) || slices.Contains(w.config.Accept, name) {
			return nil, fmt.Errorf("pin: the evidence does not fit the policy that it was written into: %v", r)
		}
	}
	return &Pinned{Policy: w.text.Bytes(), Refusals: refusals}, nil
}

// accepts tells whether something that a policy refuses by default is accepted on purpose.
func (w *pinner) accepts(name string) bool { return slices.Contains(w.config.Accept, name) }

func (w *pinner) head() {
	r := w.report
	w.note(0, "A policy: which evidence is accepted. It was written from %s evidence that was verified at %s.", w.env.title, stamp(r.At))
	if w.config.From != "" {
		w.note(0, "Seen at: %s", w.config.From)
	}
	w.env.platform(w)
	if !r.Collateral.NotAfter.IsZero() {
		w.note(0, "The collateral that it was judged by is valid from %s to %s.", stamp(r.Collateral.NotBefore), stamp(r.Collateral.NotAfter))
	}
	w.note(0, "")
	w.note(0, "The values are what one machine reported. Whoever keeps this file decides to trust them: compare them first with those of the build that you made, or whose source you have read.")
	w.text.WriteByte('\n')
}

func (w *pinner) build() {
	w.note(0, "Evidence must match one of these builds whole.")
	w.set(0, true, "builds", "")
	w.line("  - tee: " + quoteYAML(w.report.TEE))
	for _, m := range w.env.measurements {
		w.measurement(m)
	}
	for _, i := range w.env.identities[1:] {
		w.alternative(i)
	}
	if w.env.build != nil {
		w.env.build(w)
	}
	none := new(Build)
	for _, refusal := range slices.Concat(none.checkOwn(w.report, ""), none.checkKind(w.report, "")) {
		name := strings.TrimPrefix(refusal.Key, ".")
		w.remark(4, name, "It is %s.", refusal.Got)
		w.set(4, w.accepts(name), name, w.admitting(name))
	}
	w.text.WriteByte('\n')
}

// measurement writes one as the table says.
func (w *pinner) measurement(m measurement) {
	value, ok := w.report.Measurements[m.name]
	if !ok || m.pin == elsewhere || zero(value) && (m.pin == pinnedIfSet || m.pin == shownIfSet) {
		return
	}
	w.note(4, "%s", m.says)
	active := m.pin == pinned || m.pin == pinnedIfSet
	if g := w.env.guest; g != nil && g.key == m.name && w.env.exposed(w.report) {
		w.remark(4, m.name, "With this it can be migrated: %s may have its memory.", g.by)
		active = w.accepts(m.name)
	}
	w.set(4, active, m.name, quoteYAML(hex.EncodeToString(value)))
}

// alternative writes another identity of the build as a comment, if the evidence has it.
func (w *pinner) alternative(i identity) {
	if value := w.report.Measurements[i.keys[0]]; value == nil || zero(value) {
		return
	}
	w.note(4, "In place of %s: %s", w.env.identities[0].keys[0], i.instead)
	for _, name := range i.keys {
		w.set(4, false, name, w.value(name))
	}
}

// value is what the evidence has for a key of a build, as YAML.
func (w *pinner) value(name string) string {
	switch name {
	case "isvprodid":
		return fmt.Sprint(w.report.ISVProdID)
	case "isvsvn":
		return fmt.Sprint(w.report.ISVSVN)
	}
	return quoteYAML(hex.EncodeToString(w.report.Measurements[name]))
}

// admitting is the value by which a key accepts the evidence.
func (w *pinner) admitting(name string) string {
	if name == "vmpl" {
		return fmt.Sprint(w.report.AMD.VMPL)
	}
	return "true"
}

// remark introduces a key that a policy needs only for what it refuses by default.
func (w *pinner) remark(indent int, name, format string, args ...any) {
	if w.accepts(name) {
		w.note(indent, "Accepted on purpose. "+format, args...)
		return
	}
	w.note(indent, "REFUSED unless you put the next line into force. "+format, args...)
}

func (w *pinner) tcb() {
	tcb := &w.report.TCB
	w.note(0, "How recent the platform must be.")
	w.set(0, true, "tcb", "")
	accept := DefaultAccept()
	if slices.Contains(accept, tcb.Status) {
		w.note(2, "This is the default. The platform was %s.", tcb.Status)
		w.set(2, true, "accept", "["+join(accept)+"]")
	} else {
		w.worse(accept)
	}
	if len(tcb.Advisories) > 0 || tcb.Status != UpToDate {
		w.note(2, "The advisories that concerned the platform. While this is in force no other is tolerated, such as one that is published tomorrow.")
		w.set(2, tcb.Status != UpToDate, "advisories", quoteList(tcb.Advisories))
	}
	w.note(2, "A minimum: older judgements of the hardware's maker are not believed. Raise it after each of its updates. (A verifier that asks for the early ones may have seen a number that others see only later.)")
	w.set(2, true, "evaluation_number", fmt.Sprint(tcb.EvaluationNumber))
	w.text.WriteByte('\n')
}

// worse writes the status of a platform that the default refuses.
func (w *pinner) worse(accept []Status) {
	tcb := &w.report.TCB
	accepted := w.accepts("tcb.accept")
	verb := "REFUSED as long as the default is in force."
	if accepted {
		verb = "Accepted on purpose."
	}
	w.note(2, "%s The platform was %s%s.", verb, tcb.Status, shortfalls(tcb))
	for _, remedy := range tcb.Remedies {
		w.note(2, "What would help: %s.", remedy)
	}
	w.note(2, "The default:")
	w.set(2, !accepted, "accept", "["+join(accept)+"]")
	w.note(2, "In its place, accepting this status as well:")
	w.set(2, accepted, "accept", "["+join(append(accept, tcb.Status))+"]")
	w.note(2, "Or, beside the default, accepting it until a day ends in UTC:")
	w.set(2, false, "tolerate", fmt.Sprintf("[{status: %s, until: %s}]", tcb.Status, w.report.At.UTC().AddDate(0, 0, 30).Format(time.DateOnly)))
}

func (w *pinner) bound() {
	b := w.binding
	if b == nil {
		w.note(0, "The evidence was a bare quote, which binds no key. Name the issuer and the rules of the broker, or any broker of this build is accepted:")
		w.set(0, false, "issuer", quoteYAML("https://broker.example.com"))
		w.set(0, false, "rules", quoteList([]string{digestPrefix + "<64 hex digits>"}))
		return
	}
	if b.Issuer != "" {
		w.note(0, "The broker that the evidence is bound to.")
		w.set(0, true, "issuer", quoteYAML(b.Issuer))
	} else {
		w.note(0, "The evidence binds no issuer, so any broker of this build is accepted.")
	}
	if b.RulesDigest != [32]byte{} {
		w.note(0, "The rules that it enforces: compare the digest with what `ctb rules digest` prints of the file that you have read. To accept any rules, take this out.")
		w.set(0, true, "rules", quoteList([]string{digestPrefix + hex.EncodeToString(b.RulesDigest[:])}))
	} else {
		w.note(0, "The evidence binds no rules, so this policy says nothing of them.")
	}
	w.note(0, "How the evidence is bound to the key.")
	w.set(0, true, "scheme", quoteYAML(cmp.Or(b.Scheme, DICE)))
}

func (w *pinner) simulated() {
	if !w.report.Simulated {
		return
	}
	w.text.WriteByte('\n')
	w.remark(0, "simulated_root", "The evidence is simulated, under a development root: it is for development only, and protects nothing.")
	w.set(0, w.accepts("simulated_root"), "simulated_root", quoteYAML(cmp.Or(w.config.SimulatedRoot, "dev-root.pem")))
}
