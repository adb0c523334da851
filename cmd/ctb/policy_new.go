package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

const policyNewLong = `New verifies evidence, as inspect does, and writes a policy that pins what it
says: the build, the issuer and the rules, and how recent the platform was. Each
line has a comment.

Pinning what you have seen is a decision. That the evidence is genuine does not
make the build a good one: compare it with one that you made, or whose source
you have read.

What a policy refuses unless it says otherwise, such as a debug build, is not
accepted for having been seen. The notes name it, and --accept accepts it on
purpose: debug, sample_signer, tcb.accept, simulated_root; td_attributes for a
TDX guest and guest_policy for one of SEV-SNP that can be migrated; and of
SEV-SNP vmpl, for evidence that less privileged software of the guest asked for,
and unchecked_revocation, for what was judged without AMD's revocation list.

Exit codes: 0 written; 1 the evidence is not genuine, and nothing is written; 2
called wrongly.`

const policyNewExample = `  # of a broker, with what Intel says of its platform
  ctb policy new https://broker.example.com --pcs intel -o policy.yaml

  # of an SEV-SNP guest, with AMD's certificates and revocation list
  ctb policy new https://broker.example.com --kds amd -o policy.yaml

  # of the demo's broker, whose hardware is simulated
  ctb demo --dir demo-files
  ctb policy new demo-files/jwks.json --collateral demo-files/collateral.json \
      --root demo-files/root.pem --accept simulated_root`

// policyNewFlags is what the command line says.
type policyNewFlags struct {
	evidenceFlags
	accept []string
	out    string
	force  bool
	at     instant
}

func newPolicyNew(s streams) *cobra.Command {
	var f policyNewFlags
	cmd := ofEvidence(func(ctx context.Context, source string) error { return policyNew(ctx, s, source, f) })
	cmd.Use, cmd.Short, cmd.Long, cmd.Example = "new FILE|URL|-", "Write a policy from evidence that was just verified", policyNewLong, policyNewExample
	flags := cmd.Flags()
	flags.StringSliceVar(&f.accept, "accept", nil, "accept `KEY,…` on purpose, which a policy refuses unless it says otherwise")
	flags.VarP(text{&f.out, "FILE"}, "out", "o", "write here; the file must not exist (default the standard output)")
	flags.BoolVar(&f.force, "force", false, "replace the file")
	f.registerFacts(cmd)
	f.at.register(cmd)
	completeWords(cmd, "accept", attest.Pinnable()...)
	completeFlag(cmd, "out", "yaml", "yml")
	return cmd
}

func policyNew(ctx context.Context, s streams, source string, f policyNewFlags) error {
	if f.out != "" && !f.force && exists(f.out) {
		return usagef("name another file, or give --force", "--out: %s exists and is not overwritten", f.out)
	}
	in, err := f.reader(s)
	if err != nil {
		return err
	}
	at := f.at.or(time.Now())
	judge, err := f.load(ctx, in, at)
	if err != nil {
		return err
	}
	source = keysAt(source)
	subject, err := judge.subject(ctx, in, source)
	if err != nil {
		return err
	}
	seen, err := judge.witnesses(ctx, subject, looking{at: at, evidenceAt: at})
	if err != nil {
		return err
	}
	genuine := -1
	for i := range seen {
		if seen[i].report != nil && genuine < 0 {
			genuine = i
		}
	}
	if genuine < 0 {
		return tellNotGenuine(ctx, s, judge, subject, source, at)
	}
	first := seen[genuine]
	pinned, err := attest.Pin(first.report, first.binding, attest.PinConfig{Accept: f.accept, SimulatedRoot: f.rootFrom(), From: fromWhere(source)})
	if err != nil {
		return usagef("", "%w", err)
	}
	if f.out == "" {
		_, err = s.out.Write(pinned.Policy)
	} else {
		err = writeFile(f.out, pinned.Policy)
	}
	if err != nil {
		return err
	}
	return tellPinned(s.notes(), pinned, seen, genuine, or(f.out, "to the standard output"))
}

// witness is genuine evidence, or why there is none.
type witness struct {
	report  *attest.Report  // nil if it is not genuine, or bound to another key
	binding *attest.Binding // nil for a bare quote
	err     error
}

// witnesses verifies all the evidence there is.
func (j *judge) witnesses(ctx context.Context, in *input, l looking) ([]witness, error) {
	if in.evidence != nil {
		r, err := j.verify(ctx, in.evidence, l.evidenceAt)
		return []witness{{report: r, err: err}}, nil
	}
	list, err := j.appraise(ctx, in, l)
	if err != nil {
		return nil, err
	}
	all := make([]witness, len(list))
	for i, a := range list {
		all[i].err = a.Err
		if a.Appraisal != nil {
			all[i].report, all[i].binding = a.Appraisal.Report, a.Appraisal.Binding
		}
	}
	return all, nil
}

// tellNotGenuine says on the standard error, as inspect does, why there is nothing to pin.
func tellNotGenuine(ctx context.Context, s streams, j *judge, in *input, source string, at time.Time) error {
	findings, err := j.findings(ctx, in, looking{at: at, evidenceAt: at})
	if err != nil {
		return err
	}
	w := s.notes()
	if err := printFindings(w, source, findings); err != nil {
		return err
	}
	w.Verdict(report.Fail, "no policy is written")
	return errNo
}

// tellPinned says what the policy refuses of the evidence that it was made from, and of the other keys beside it.
func tellPinned(w *report.Writer, p *attest.Pinned, seen []witness, pinned int, where string) error {
	w.Check(report.Pass, "written", where)
	w.Row("pinned", "what the evidence says: compare it with a build that you made, or whose source you have read")
	var accept []string
	for _, r := range p.Refusals {
		w.Check(report.Warn, policyLabel(r.Key), "refused: "+r.Got)
		accept = append(accept, policyLabel(r.Key))
	}
	policy, err := attest.ParsePolicy(p.Policy)
	if err != nil {
		return err
	}
	for i, o := range seen {
		var other *attest.RefusalError
		switch name := fmt.Sprintf("key %d of %d", i+1, len(seen)); {
		case i == pinned:
			if errors.As(o.err, &other) { // not by a policy: there was none
				w.Check(report.Warn, "the key", other.Error())
			}
		case o.report == nil:
			w.Check(report.Warn, name, "not genuine, so not pinned: "+o.err.Error())
		case errors.As(policy.Check(o.report, o.binding), &other) && len(other.Refusals) > len(p.Refusals):
			w.Check(report.Warn, name, "refused too: "+other.Error())
		}
	}
	if len(accept) > 0 {
		w.Verdict(report.Warn, "this policy refuses the evidence that it was written from; to accept that on purpose: --accept "+strings.Join(accept, ","))
	}
	return w.Err()
}

// rootFrom is the path of --root as a policy at --out names it: relative to that.
func (f *policyNewFlags) rootFrom() string {
	if f.root == "" || filepath.IsAbs(f.root) {
		return f.root
	}
	rel, err := filepath.Rel(filepath.Dir(f.out), f.root) // without --out that is the working directory
	if err != nil {
		return f.root
	}
	return rel
}

// fromWhere is where the evidence was seen, for the policy's comment.
func fromWhere(source string) string {
	switch {
	case source == "-":
		return ""
	case isURL(source):
		return fetch.Redact(source)
	}
	return source
}
