package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/rules"
)

func newRules(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Check, digest, try and import rule files",
		Long: `A rule file says who gets which token. It is JSON, in the original confidential
token broker's format and its extensions; the first rule that fits wins.`,
		Args: subcommandOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRulesCheck(s), newRulesDigest(s), newRulesDecide(s), newRulesImport(s))
	return cmd
}

const ruleFile = "a rule file"

// readRules reads and parses the rule file at path. A file that is not one is what the question is about, not a wrong question.
func readRules(ctx context.Context, s streams, path string) (*rules.Set, error) {
	data, err := reader{streams: s}.read(ctx, path)
	if err != nil {
		return nil, err
	}
	set, err := rules.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return set, nil
}

func digestOf(set *rules.Set) string {
	d := set.Digest()
	return "sha256:" + hex.EncodeToString(d[:])
}

// rulesJSON is the JSON form of what check says: names are stable, and
// members are only ever added.
type rulesJSON struct {
	Valid    bool          `json:"valid"`
	Error    string        `json:"error,omitempty"`  // why it is no rule file
	Digest   string        `json:"digest,omitempty"` // as in a policy: "sha256:…"
	Issuers  []issuerJSON  `json:"issuers"`
	Warnings []warningJSON `json:"warnings"` // valid, but it deserves a look
}

type issuerJSON struct {
	URL     string `json:"url"`
	JWKSURL string `json:"jwks_url,omitempty"` // absent: OpenID Connect Discovery
}

type warningJSON struct {
	Rule string `json:"rule"`
	Text string `json:"text"`
}

func newRulesCheck(s streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check FILE|-",
		Short: "Say whether a rule file is valid, and what deserves a look",
		Long: `Check reads a rule file as strictly as the broker does, and lists what is valid
but deserves a look, such as a rule that can never fit.

--json writes valid, error, digest, issuers: [{url, jwks_url}], where no
jwks_url means OpenID Connect Discovery, and warnings: [{rule, text}].

Exit codes: 0 valid and without findings; 1 not; 2 called wrongly.`,
		Example: `  ctb rules check cmd/ctb/testdata/rules/readers.json`,
		Args:    oneArg(ruleFile),
		RunE: func(cmd *cobra.Command, args []string) error {
			return rulesCheck(cmd.Context(), s, args[0], asJSON)
		},
		ValidArgsFunction: completeFiles("json"),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func rulesCheck(ctx context.Context, s streams, path string, asJSON bool) error {
	data, err := reader{streams: s}.read(ctx, path)
	if err != nil {
		return err
	}
	out := rulesJSON{Issuers: []issuerJSON{}, Warnings: []warningJSON{}}
	if set, err := rules.Parse(data); err != nil {
		out.Error = err.Error()
	} else {
		out.Valid, out.Digest = true, digestOf(set)
		for _, i := range set.Issuers() {
			out.Issuers = append(out.Issuers, issuerJSON(i))
		}
		for _, w := range set.Check() {
			out.Warnings = append(out.Warnings, warningJSON(w))
		}
	}
	if asJSON {
		err = writeJSON(s.out, out)
	} else {
		err = out.print(s.report(), path)
	}
	if err == nil && (!out.Valid || len(out.Warnings) > 0) {
		err = errNo
	}
	return err
}

func (r *rulesJSON) print(w *report.Writer, path string) error {
	w.Title("Rules in " + path)
	if !r.Valid {
		w.Check(report.Fail, "valid", strings.Split(r.Error, "\n")...)
		w.Verdict(report.Fail, "the broker would not load it")
		return w.Err()
	}
	w.Check(report.Pass, "valid")
	w.Row("digest", r.Digest)
	for i, issuer := range r.Issuers {
		label := "issuers"
		if i > 0 {
			label = ""
		}
		keys := "keys by OpenID Connect Discovery"
		if issuer.JWKSURL != "" {
			keys = "keys at " + issuer.JWKSURL
		}
		w.Row(label, issuer.URL, keys)
	}
	for _, f := range r.Warnings {
		w.Check(report.Warn, f.Rule, f.Text)
	}
	switch len(r.Warnings) {
	case 0:
		w.Verdict(report.Pass, "valid, nothing to remark")
	case 1:
		w.Verdict(report.Warn, "valid, but one thing deserves a look")
	default:
		w.Verdict(report.Warn, fmt.Sprintf("valid, but %d things deserve a look", len(r.Warnings)))
	}
	return w.Err()
}

func newRulesDigest(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "digest FILE|-",
		Short: `Print the digest of a rule file, as a policy's "rules" names it`,
		Long: `Digest prints the SHA-256 of a rule file's bytes, which the hardware vouches
for. It goes into a policy: rules: ["sha256:…"]. A file that is not valid has
none.`,
		Example: `  ctb rules digest cmd/ctb/testdata/rules/readers.json`,
		Args:    oneArg(ruleFile),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := readRules(cmd.Context(), s, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(s.out, digestOf(set))
			return err
		},
		ValidArgsFunction: completeFiles("json"),
	}
}
