package gateway

import (
	"errors"
	"fmt"
	"slices"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

// judge tells whether who may make a request: nil, or why not. route is nil
// where the path has none of its own.
func (g *Gateway) judge(who *access.Identity, route *route) *access.Refusal {
	if refusal := g.judgeToken(who); refusal != nil {
		return refusal
	}
	if route == nil || len(route.Rules) == 0 {
		return nil
	}
	for i := range route.Rules {
		rule := &route.Rules[i]
		switch {
		case !rule.holds(who):
		case rule.Deny:
			return denied(who, fmt.Errorf("rules[%d] of route %s denies it", i, route.Name))
		default:
			return nil
		}
	}
	return route.missed(who)
}

// judgeToken holds a token against what is asked of all of them.
func (g *Gateway) judgeToken(who *access.Identity) *access.Refusal {
	if who.Token == nil {
		return nil
	}
	if err := who.Token.Satisfies(g.config.Requirements...); err != nil {
		return insufficient(who, err)
	}
	for _, d := range g.config.Deny {
		if meetsDeny(who.Token, d) {
			return denied(who, fmt.Errorf("claim '%s' is on the deny list", d))
		}
	}
	return nil
}

// holds tells whether the rule is about who asks.
func (r *Rule) holds(who *access.Identity) bool {
	switch {
	case len(r.Claims) == 0 && len(r.APIKeys) == 0:
		return true
	case who.Mode == access.APIKey:
		return slices.Contains(r.APIKeys, who.Name) || slices.Contains(r.APIKeys, "*")
	case who.Token == nil || len(r.Claims) == 0:
		return false
	case r.Deny:
		return !slices.ContainsFunc(r.Claims, func(c ctb.Requirement) bool { return !meetsDeny(who.Token, c) })
	}
	return who.Token.Satisfies(r.Claims...) == nil
}

// meetsDeny tells whether a token meets a requirement that denies. What cannot
// be compared counts as met, since a denial that fails open is none: a claim of another
// type, and one that cannot be reached because something on its path is no object.
func meetsDeny(t *ctb.Token, r ctb.Requirement) bool {
	err := t.Satisfies(r)
	var missed *ctb.RequirementError
	if !errors.As(err, &missed) {
		return true
	}
	switch missed.Mismatch {
	case ctb.UnexpectedType:
		return true
	case ctb.MissingClaim:
		path := r.Steps()
		for n := 1; n < len(path); n++ {
			value, ok := t.Claim(path[:n]...)
			if !ok {
				return false
			}
			if value[0] != '{' {
				return true
			}
		}
	}
	return false
}

// missed is the refusal where no rule of a route holds. Where a single rule allows tokens
// it says what is missing; of several nobody knows which one was meant.
func (r *route) missed(who *access.Identity) *access.Refusal {
	var allow []*Rule
	for i := range r.Rules {
		if !r.Rules[i].Deny && len(r.Rules[i].Claims) > 0 {
			allow = append(allow, &r.Rules[i])
		}
	}
	if len(allow) == 1 && who.Token != nil {
		if err := who.Token.Satisfies(allow[0].Claims...); err != nil {
			return insufficient(who, err)
		}
	}
	return &access.Refusal{
		Reason: access.NoRule, Mode: who.Mode, Public: "this credential is not enough for what is asked for",
		Err: fmt.Errorf("no rule of route %s holds", r.Name),
	}
}

// denied does not tell the client which claim it was: the log does.
func denied(who *access.Identity, why error) *access.Refusal {
	return &access.Refusal{Reason: access.Denied, Mode: who.Mode, Public: "this credential is denied what is asked for", Err: why}
}

// insufficient makes a refusal of a requirement that a token misses. Its text
// has the requirement's values, never the token's.
func insufficient(who *access.Identity, err error) *access.Refusal {
	refusal := &access.Refusal{Reason: access.UnexpectedValue, Mode: who.Mode, Public: err.Error()}
	var missed *ctb.RequirementError
	if errors.As(err, &missed) {
		refusal.Requirement = &missed.Requirement
		switch missed.Mismatch {
		case ctb.MissingClaim:
			refusal.Reason = access.MissingClaim
		case ctb.UnexpectedType:
			refusal.Reason = access.UnexpectedType
		}
	}
	return refusal
}
