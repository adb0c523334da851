package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/tee"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

func newPolicy(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Write a policy from evidence, and check policy files",
		Long: `A policy says which evidence is yours: the builds, how recent their platforms
must be, the issuer and the rules. Every checker reads the same file: ctb, the
gateway, and programs with package attest.`,
		Args: subcommandOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyNew(s), newPolicyCheck(s))
	return cmd
}

func newPolicyCheck(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Say in words what a policy accepts",
		Long: `Check reads a policy file as strictly as the servers do, with the root that it
names, says in words what it accepts, and what in it deserves a look.

Exit codes: 0 valid; 1 not; 2 called wrongly.`,
		Example: `  ctb demo --dir demo-files
  ctb policy check demo-files/policy.yaml`,
		Args: oneArg("a policy file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return policyCheck(cmd.Context(), s, args[0])
		},
		ValidArgsFunction: completeFiles("yaml", "yml", "json"),
	}
}

func policyCheck(_ context.Context, s streams, path string) error {
	if !exists(path) {
		return usagef("", "%s: there is no such file", path)
	}
	w := s.report()
	w.Title("Policy in " + path)
	p, _, err := evidence.LoadPolicy(path)
	if err != nil {
		w.Check(report.Fail, "valid", err.Error())
		w.Verdict(report.Fail, "no checker would load it")
		return orNo(w.Err())
	}
	w.Check(report.Pass, "valid")
	for i := range p.Builds {
		printBuild(w, i, &p.Builds[i])
	}
	if slices.ContainsFunc(p.Builds, func(b attest.Build) bool { return platformOf(b.TEE).name == tee.DCAP }) {
		w.Heading("On which platforms")
		printTCB(w, &p.TCB)
	}
	w.Heading("Bound to what")
	printBound(w, p)
	if warnings := p.Warnings(time.Now()); len(warnings) > 0 {
		w.Heading("What deserves a look")
		for _, text := range warnings {
			key, rest, _ := strings.Cut(text, ": ")
			w.Check(report.Warn, policyLabel(key), rest)
		}
		w.Verdict(report.Warn, "valid, but look at what it accepts")
		return w.Err()
	}
	w.Verdict(report.Pass, "valid")
	return w.Err()
}

// orNo is errNo, or what went wrong in saying so.
func orNo(err error) error {
	if err != nil {
		return err
	}
	return errNo
}

// printBuild says which build is accepted.
func printBuild(w *report.Writer, i int, b *attest.Build) {
	w.Heading(fmt.Sprintf("Build %d: %s, with all of this", i+1, teeName(b.TEE)))
	for _, name := range attest.Measurements(b.TEE) {
		if value, ok := b.Measurements[name]; ok {
			w.Row(name, digits(fmt.Sprintf("%x", value))...)
		}
	}
	if b.ISVProdID != nil {
		w.Row("isvprodid", fmt.Sprint(*b.ISVProdID))
	}
	if b.ISVSVN != nil {
		w.Row("isvsvn", fmt.Sprintf("%d or more", *b.ISVSVN))
	}
	if b.TEE == tee.SEVSNP {
		printChipOf(w, b)
	}
	if !b.Debug {
		w.Row("debug", "no: a debug build is refused")
	}
}

// printChipOf says what a build of SEV-SNP asks of its processor, and who in the guest may ask for evidence.
func printChipOf(w *report.Writer, b *attest.Build) {
	if b.Product != "" {
		w.Row("product", productName(b.Product))
	}
	if t := b.MinTCB; t != nil {
		var parts []string
		for _, c := range t.Components() {
			if c.Name != "fmc" || c.SVN > 0 || b.Product == tee.Turin {
				parts = append(parts, fmt.Sprintf("%s %d", c.Name, c.SVN))
			}
		}
		w.Row("min_tcb", strings.Join(parts, ", ")+": each at least, as reported and at launch")
	}
	if b.GuestSVN != nil {
		w.Row("guest_svn", fmt.Sprintf("%d or more", *b.GuestSVN))
	}
	if b.VMPL == 0 {
		w.Row("vmpl", "0: asked for by the guest's most privileged software")
	} else {
		w.Row("vmpl", fmt.Sprintf("0 to %d", b.VMPL))
	}
	if !b.UncheckedRevocation {
		w.Row("revocation", "by AMD's list: evidence that was judged without it is refused")
	}
}

// printTCB says which platforms are recent enough.
func printTCB(w *report.Writer, t *attest.TCBRule) {
	accept, by := t.Accept, ""
	if accept == nil {
		accept, by = attest.DefaultAccept(), " (the default)"
	}
	var names []string
	for _, s := range accept {
		names = append(names, string(s))
	}
	w.Row("status", strings.Join(names, " or ")+by)
	unless := ""
	for _, o := range t.Tolerate {
		text := fmt.Sprintf("%s until %s", o.Status, show(o.Until))
		if o.Advisories != nil { // beside those of the rule
			allowed := slices.Sorted(slices.Values(slices.Concat(t.Advisories, o.Advisories)))
			text += ", if it has no advisory but " + orNone(slices.Compact(allowed))
			unless = ", but for what is said above"
		}
		w.Row("for a while", text)
	}
	if t.Advisories != nil {
		w.Row("advisories", "no other than "+orNone(t.Advisories)+unless)
	} else {
		w.Row("advisories", "any that such a platform has"+unless)
	}
	if t.EvaluationNumber > 0 {
		w.Row("evaluation", fmt.Sprintf("number %d or more", t.EvaluationNumber))
	}
}

func orNone(list []string) string { return or(strings.Join(list, " "), "none") }

// printBound says what the evidence must be bound to.
func printBound(w *report.Writer, p *attest.Policy) {
	w.Row("scheme", or(p.Scheme, attest.DICE))
	w.Row("issuer", or(p.Issuer, "any: where a checker has an issuer of its own, that one"))
	if len(p.Rules) == 0 {
		w.Row("rules", "any")
	} else {
		w.Row("rules", p.Rules...)
	}
	if p.SimulatedRoot != "" {
		w.Row("root", p.SimulatedRoot+", for simulated evidence, and no other")
	} else {
		w.Row("root", rootsOf(p)+": genuine hardware")
	}
}

// rootsOf names whose roots the builds of a policy are under.
func rootsOf(p *attest.Policy) string {
	var makers []string
	for _, b := range p.Builds {
		if maker := platformOf(b.TEE).maker + "'s"; !slices.Contains(makers, maker) {
			makers = append(makers, maker)
		}
	}
	return strings.Join(makers, " or ")
}
