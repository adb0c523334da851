package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/cmd/ctb/internal/report"
	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/confidential-token-broker/ctb/rules"
)

const decideLong = `Decide says which token a user would get by a rule file, and by which rule, or
why none: to try rules before they are deployed.

The user is an id token or a bare claims set. NO SIGNATURE AND NO EXPIRY IS
CHECKED: what this says is what the rules make of the claims, not that the
claims are true.

--json writes decided, reason (why not), verified (always false), rule,
audience[], scope[], client_id, lifetime in seconds, and claims, those that
token_claims copies.

Exit codes: 0 there would be a token; 1 there would not; 2 called wrongly.`

const decideExample = `  ctb rules decide cmd/ctb/testdata/rules/readers.json \
      --claims cmd/ctb/testdata/rules/alice.json --scope read:reports

  # the original broker's sample: its rules, and a user's id token
  ctb rules decide cmd/ctb/testdata/rules/original.json \
      --id-token cmd/ctb/testdata/original/idtoken_2_curl.jwt`

// decideFlags is what the command line says.
type decideFlags struct {
	idToken, claims string
	audience, scope []string
	json            bool
}

// decisionJSON is the JSON form of a decision: names are stable, and members
// are only ever added.
type decisionJSON struct {
	Decided  bool                       `json:"decided"`
	Reason   string                     `json:"reason,omitempty"` // why not
	Verified bool                       `json:"verified"`         // always false: no signature was checked
	Rule     string                     `json:"rule,omitempty"`
	Audience []string                   `json:"audience,omitempty"`
	Scope    []string                   `json:"scope,omitempty"`
	ClientID string                     `json:"client_id,omitempty"`
	Lifetime int64                      `json:"lifetime,omitempty"` // seconds
	Claims   map[string]json.RawMessage `json:"claims,omitempty"`   // by token_claims
}

func newRulesDecide(s streams) *cobra.Command {
	var f decideFlags
	cmd := &cobra.Command{
		Use:     "decide FILE (--id-token FILE|- | --claims FILE|-)",
		Short:   "Say which token a user would get by a rule file, and why",
		Long:    decideLong,
		Example: decideExample,
		Args:    oneArg(ruleFile),
		RunE: func(cmd *cobra.Command, args []string) error {
			return rulesDecide(cmd.Context(), s, args[0], f)
		},
		ValidArgsFunction: completeFiles("json"),
	}
	flags := cmd.Flags()
	flags.Var(text{&f.idToken, "FILE|-"}, "id-token", "the user's id token, whose signature is not checked")
	flags.Var(text{&f.claims, "FILE|-"}, "claims", "the user's claims (JSON)")
	flags.Var(list{&f.audience, "NAME"}, "audience", "the audience that is asked for; may be repeated")
	flags.Var(list{&f.scope, "SCOPE"}, "scope", "the scope that is asked for; may be repeated")
	flags.BoolVar(&f.json, "json", false, "write JSON")
	completeFlag(cmd, "id-token", "jwt", "txt")
	completeFlag(cmd, "claims", "json")
	return cmd
}

func rulesDecide(ctx context.Context, s streams, path string, f decideFlags) error {
	if (f.idToken == "") == (f.claims == "") {
		return usagef("give one: --id-token FILE or --claims FILE", "who is asking?")
	}
	if path == "-" && (f.idToken == "-" || f.claims == "-") {
		return usagef("name a file for one of them", "the rules and the user can't both be the standard input")
	}
	set, err := readRules(ctx, s, path)
	if err != nil {
		return err
	}
	subject, err := f.subject(ctx, s)
	if err != nil {
		return err
	}
	d, err := set.Decide(subject, rules.Request{Audience: f.audience, Scope: words(f.scope)})
	out := decision(d, err)
	if f.json {
		err = writeJSON(s.out, out)
	} else {
		err = out.print(s.report(), subject)
	}
	if err == nil && !out.Decided {
		err = errNo
	}
	return err
}

// subject reads the claims of whoever asks, unverified.
func (f *decideFlags) subject(ctx context.Context, s streams) (*ctb.Token, error) {
	in, source := reader{streams: s}, or(f.claims, f.idToken)
	data, err := in.read(ctx, source)
	if err != nil {
		return nil, err
	}
	if f.idToken != "" {
		msg, err := jose.Parse(strings.TrimSpace(string(data)))
		if err != nil {
			return nil, fmt.Errorf("--id-token: %s: %w", source, err)
		}
		data = msg.Payload
	}
	t, err := ctb.UnverifiedToken(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	return t, nil
}

func decision(d *rules.Decision, err error) *decisionJSON {
	if err != nil {
		return &decisionJSON{Reason: err.Error() + hintFor(err)}
	}
	out := &decisionJSON{
		Decided: true, Rule: d.Rule, Audience: d.Audience, Scope: d.Scope, ClientID: d.ClientID,
		Lifetime: int64(d.Lifetime / time.Second),
	}
	for name, value := range d.Claims {
		if out.Claims == nil {
			out.Claims = map[string]json.RawMessage{}
		}
		out.Claims[name] = value
	}
	return out
}

func hintFor(err error) string {
	switch {
	case errors.Is(err, rules.ErrAudience):
		return ` (compare --audience with the rule's server_api)`
	case errors.Is(err, rules.ErrScope):
		return ` (compare --scope with the rule's scope)`
	}
	return ""
}

func (d *decisionJSON) print(w *report.Writer, subject *ctb.Token) error {
	w.Title("What the rules make of " + or(subject.Subject, "a user without sub"))
	w.Row("iss", subject.Issuer)
	w.Row("aud", strings.Join(subject.Audience, " "))
	w.Check(report.Warn, "signature", "not checked, nor the expiry: this tells what the rules make of these claims, not that they are true")
	if !d.Decided {
		w.Heading("Decision")
		w.Check(report.Fail, "refused", d.Reason)
		w.Verdict(report.Fail, "no token")
		return w.Err()
	}
	w.Heading("Decision")
	w.Check(report.Pass, "rule", d.Rule)
	w.Row("audience", d.Audience...)
	w.Row("scope", strings.Join(d.Scope, " "))
	w.Row("client_id", d.ClientID)
	w.Row("lifetime", span(time.Duration(d.Lifetime)*time.Second))
	for _, name := range slices.Sorted(maps.Keys(d.Claims)) {
		w.Row(name, string(d.Claims[name]))
	}
	w.Verdict(report.Pass, "there would be a token")
	return w.Err()
}
