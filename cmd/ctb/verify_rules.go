package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/cmd/internal/configfile"
)

// ruleFlags name what a token must say beyond being valid, as the gateway's configuration does.
type ruleFlags struct {
	scopes []string
	claims string // a file
}

// rule is one requirement, and what its check is called.
type rule struct {
	ctb.Requirement
	check string
}

func (f *ruleFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var(list{&f.scopes, "SCOPE"}, "scope", "a scope that the token must have; may be repeated")
	flags.Var(text{&f.claims, "FILE"}, "claims", "claim rules that the token must meet (YAML or JSON), as in the gateway's configuration")
	completeFlag(cmd, "claims", "yaml", "yml", "json")
}

// load returns the rules in the order in which the gateway asks: scopes, then claims.
func (f *ruleFlags) load() ([]rule, error) {
	var rules []rule
	for _, s := range f.scopes {
		if strings.ContainsAny(s, " \t\r\n\"\\") {
			return nil, usagef("give --scope once for each", "--scope: got %q, want one scope (RFC 6749 section 3.3)", s)
		}
		rules = append(rules, rule{ctb.Scope(s), "scope " + s})
	}
	if f.claims == "" {
		return rules, nil
	}
	claims, err := readClaimRules(f.claims)
	if err != nil {
		return nil, usagef("write a list, such as: [{name: role, values: [admin, auditor]}]", "--claims: %w", err)
	}
	for _, r := range claims {
		rules = append(rules, rule{r, "claim " + r.String()})
	}
	return rules, nil
}

// readClaimRules reads what stands under authorization.jwt.claims in the gateway's configuration. A
// file without a rule is refused: it would ask for nothing, and the answer would look as if it had.
func readClaimRules(path string) ([]ctb.Requirement, error) {
	var rules []ctb.Requirement
	file, err := configfile.Read(path, &rules)
	if err != nil {
		return nil, err
	}
	if len(rules) == 0 {
		return nil, fmt.Errorf("%s: it has no rule, want one or more", path)
	}
	for i, r := range rules {
		if err := r.Validate(); err != nil {
			return nil, file.Fault(fmt.Sprintf("[%d]", i), "%w", err)
		}
	}
	return rules, nil
}

// ask adds a check for each rule, the later ones too where an earlier one is not met.
func (a *answer) ask(rules []rule, t *ctb.Token) {
	for _, r := range rules {
		has := "the token has " + shortened(claimText(t, r.Requirement))
		err := t.Satisfies(r.Requirement)
		var miss *ctb.RequirementError
		if errors.As(err, &miss) && miss.Mismatch != ctb.MissingClaim {
			err = fmt.Errorf("%w; %s", err, has)
		}
		c := a.add(r.check, err, has)
		if miss != nil {
			c.fix(r.fix(t, miss.Mismatch))
		}
	}
}

// fix says of a rule that is not met what would make it pass: of the token or of the rule, wherever the mistake is.
func (r rule) fix(t *ctb.Token, m ctb.Mismatch) string {
	switch {
	case m == ctb.MissingClaim && strings.Contains(r.Name, "."):
		if _, ok := t.Claim(r.Name); ok {
			return fmt.Sprintf("the token has a claim whose name has the dots in it: path: [%q] in the place of name", r.Name)
		}
	case r.Type == ctb.ScopeList:
		return "ask the issuer for a token with all of these scopes"
	case m == ctb.UnexpectedType:
		return r.typeFix(t)
	case m == ctb.UnexpectedValue:
		return "if tokens like this one should pass, add its value to the rule's values"
	}
	return "only the issuer can put the claim into the token"
}

// typeFix finds the value_type that reads what the token has.
func (r rule) typeFix(t *ctb.Token) string {
	for _, kind := range []ctb.ValueType{ctb.String, ctb.StringArray, ctb.Bool, ctb.Int, ctb.Number} {
		any := ctb.Requirement{Name: r.Name, Path: r.Path, Type: kind}
		if t.Satisfies(any) == nil {
			return fmt.Sprintf("value_type: %s reads what this token has", kind)
		}
	}
	return "no value_type reads this: it is neither text, number, true, false nor a list of texts; name a claim inside it"
}

// claimText is the JSON text of the claim that a rule is about.
func claimText(t *ctb.Token, r ctb.Requirement) string {
	path := r.Path
	if len(path) == 0 {
		path = strings.Split(r.Name, ".")
	}
	value, _ := t.Claim(path...)
	return string(value)
}

// shortened keeps a claim of a few kilobytes from filling the screen.
func shortened(s string) string {
	const most = 120 // runes
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
