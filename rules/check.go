package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb"
)

// Warning is a finding of Check.
type Warning struct{ Rule, Text string }

// usualExpiration is what access tokens that nobody can revoke rarely exceed.
const usualExpiration = time.Hour

// Check lists what is valid but surely not meant, such as a rule that can never fit, in
// the order of the file.
//
// A rule that is named as one that can never fit never does. Not found are rules that
// only several earlier ones cover together (role "a"; role "b"; then role "a" or "b"),
// and claims that no token can satisfy (role "a", and role "b" too). Audiences of several
// rules never add up, so among rules without claims everything is found.
//
// To compare each rule with all earlier ones takes long in files that are made for it:
// after some tenths of a second no more are compared, and a warning says from where.
func (s *Set) Check() []Warning {
	var all []Warning
	comparing := &effort{left: maxEffort}
	for i, r := range s.rules {
		for _, text := range s.findings(i, r, comparing) {
			all = append(all, Warning{Rule: r.label, Text: text})
		}
	}
	return all
}

// maxEffort is the bound of comparing rules, in comparisons of short strings: some ns each.
const maxEffort = 20_000_000

// effort is what may still be spent on comparing rules.
type effort struct{ left int }

// spend tells whether the bound allows as much.
func (e *effort) spend(n int) bool {
	e.left -= n
	return e.left > 0
}

func (s *Set) findings(i int, r *rule, comparing *effort) []string {
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if comparing.left > 0 {
		if j := slices.IndexFunc(s.rules[:i], func(earlier *rule) bool { return comparing.covers(earlier, r) }); j >= 0 {
			say("can never fit: %s comes first and fits whatever this rule fits", s.rules[j].label)
		}
		if j := slices.IndexFunc(s.rules[:i], func(earlier *rule) bool { return comparing.almost(earlier.issuer, r.issuer) }); j >= 0 {
			say("its idp differs from that of %s in the slash at the end or in case alone, and they are not the same", s.rules[j].label)
		}
		if comparing.left <= 0 {
			say("from here on, rules were not compared with all earlier ones: that would take too long in this file")
		}
	}
	for _, u := range []struct{ key, url string }{{"idp", r.issuer}, {"jwk_endpoint", r.jwks}} {
		if strings.HasPrefix(u.url, "http:") {
			say("its %s is plain http to this machine: for development alone", u.key)
		}
	}
	if r.lifetime > usualExpiration {
		say("its access tokens live %v and cannot be revoked: 3600 (1h) or less is usual", r.lifetime)
	}
	switch {
	case len(r.scope) == 0:
		say("its scope is empty: access tokens will have none")
	case r.scopeText != strings.Join(r.scope, " "):
		say("its scope has surplus spaces")
	}
	if key := starred(r); key != "" {
		say("its %s holds a *, which is compared as it stands: there are no wildcards", key)
	}
	return found
}

// covers tells whether the earlier rule fits whatever the later one fits, so that
// the later one never decides.
//
// It does: both are for the same issuer and client, so a subject token is for both or
// neither (rules 1 and 2 of the package's documentation). A subject that satisfies the
// claims of the later rule satisfies those of the earlier, if each of the earlier
// rule's is implied by one of the later's. And every list of audiences within the later
// server_api, the empty one too, is within the earlier.
//
// One thing lies across: a rule whose claims name azp is also for subjects that a rule
// without such claims is not for.
func (e *effort) covers(earlier, later *rule) bool {
	if earlier.issuer != later.issuer || earlier.clientID != later.clientID || later.namesAZP && !earlier.namesAZP {
		return false
	}
	if !e.spend(len(earlier.audience)*len(later.audience)) || !earlier.gives(later.audience) {
		return false
	}
	for _, weaker := range earlier.claims {
		if !slices.ContainsFunc(later.claims, func(r ctb.Requirement) bool { return e.implies(r, weaker) }) {
			return false
		}
	}
	return true
}

// implies tells whether every token that satisfies strong satisfies weak. It compares
// only requirements on the same claim with the same type, and when in doubt says no.
func (e *effort) implies(strong, weak ctb.Requirement) bool {
	if !e.spend(callCost) || !slices.Equal(pathOf(strong), pathOf(weak)) || typeOf(strong) != typeOf(weak) {
		return false
	}
	if !e.spend(valueCost * (len(strong.Values) + len(weak.Values))) {
		return false
	}
	switch {
	case len(weak.Values) == 0: // the claim is there
		return true
	case len(strong.Values) == 0:
		return false
	case typeOf(weak) == ctb.ScopeList: // every one of the values: more are stronger
		return isSubset(weak.Values, strong.Values)
	default: // one of the values: fewer are stronger
		return isSubset(strong.Values, weak.Values)
	}
}

// What is dearer than to compare two short strings, in such comparisons.
const (
	callCost  = 16 // splitting two names
	valueCost = 16 // putting a value into a set, or looking it up
	compared  = 16 // bytes of a string, regardless of case
)

func typeOf(r ctb.Requirement) ctb.ValueType { return cmp.Or(r.Type, ctb.String) }

// pathOf is the way to the claim, however it is written.
func pathOf(r ctb.Requirement) []string {
	if len(r.Path) > 0 {
		return r.Path
	}
	return strings.Split(r.Name, ".")
}

// isSubset compares values, which are strings, numbers and bools, as Parse has checked.
func isSubset(small, large []any) bool {
	has := make(map[any]bool, len(large))
	for _, v := range large {
		has[v] = true
	}
	return !slices.ContainsFunc(small, func(v any) bool { return !has[v] })
}

// almost tells whether two issuers look the same and are not.
func (e *effort) almost(a, b string) bool {
	return e.spend(1+len(a)/compared) && a != b && strings.EqualFold(strings.TrimSuffix(a, "/"), strings.TrimSuffix(b, "/"))
}

// starred names the first key whose value looks as if it meant more than itself.
func starred(r *rule) string {
	star := func(s string) bool { return strings.Contains(s, "*") }
	switch {
	case star(r.issuer):
		return "idp"
	case star(r.clientID):
		return "client_id"
	case slices.ContainsFunc(r.audience, star):
		return "server_api"
	case slices.ContainsFunc(r.scope, star):
		return "scope"
	}
	for _, c := range r.claims {
		if star(c.Name) || slices.ContainsFunc(c.Path, star) ||
			slices.ContainsFunc(c.Values, func(v any) bool { s, ok := v.(string); return ok && star(s) }) {
			return "claims"
		}
	}
	for _, c := range r.copies {
		if slices.ContainsFunc(c.path, star) {
			return "token_claims"
		}
	}
	return ""
}
