package gateway

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

// Step is one step of a decision that is explained.
type Step struct {
	What   string // was looked at
	Result Result
	Detail string // why, or what would be right; no credential and no value of a claim is in it
}

// Result is how a step ended.
type Result string

// The results.
const (
	OK         Result = "ok"
	No         Result = "no"
	NotReached Result = "not reached" // a step before it has decided
)

// Explanation is a decision, step by step.
type Explanation struct {
	Route   string // as in Decision
	Steps   []Step // the last is the decision
	Refusal *access.Refusal
}

// Explain decides about a request as the proxy does, and tells how. It takes no
// session's id, counts for no limit, and is not logged.
func (g *Gateway) Explain(r *http.Request) *Explanation {
	e := &explanation{g: g}
	var d Decision
	use, refusal := g.place(r, &d, true)
	e.place(r, &d, use, refusal)
	if refusal == nil && !d.open() {
		refusal = e.identity(r, &d, use)
	}
	e.rules(&d, refusal == nil && d.Who != nil)
	if refusal == nil && d.Who != nil {
		refusal = g.judge(d.Who, d.route)
	}
	switch {
	case refusal != nil:
		status, _, _ := g.Answer(r, refusal)
		e.add("decision", No, fmt.Sprintf("%s: %s (%d %s)", refusal.Reason, refusal.Error(), status, http.StatusText(status)))
	case use:
		e.add("decision", OK, "if the session's id is good, and its holder passes the same steps")
	default:
		e.add("decision", OK, "limits aside")
	}
	return &Explanation{d.Route, e.steps, refusal}
}

type explanation struct {
	g     *Gateway
	steps []Step
}

func (e *explanation) add(what string, result Result, detail string) {
	e.steps = append(e.steps, Step{what, result, detail})
}

func (e *explanation) place(r *http.Request, d *Decision, use bool, refusal *access.Refusal) {
	what := fmt.Sprintf("route of %s %s", r.Method, r.URL.Path)
	switch {
	case refusal != nil && refusal.Reason == access.NoRoute:
		e.add(what, No, "no route fits; there are "+e.g.routeNames())
	case refusal != nil:
		e.add("request", No, refusal.Error())
	case d.create:
		e.add(what, OK, "asks for a session's id")
	case use:
		e.add(what, OK, "is opened by a session's id; its holder's credential decides")
	case d.open():
		e.add(what, OK, d.Route+": open, no credential is asked for")
	case d.route == nil:
		e.add(what, OK, "no routes are given: every good credential is enough")
	default:
		e.add(what, OK, d.Route)
	}
}

func (g *Gateway) routeNames() string {
	names := make([]string, len(g.routes))
	for i, r := range g.routes {
		names[i] = strings.TrimSpace(strings.Join(r.Methods, ",") + " " + r.Path)
	}
	return strings.Join(names, "; ")
}

func (e *explanation) identity(r *http.Request, d *Decision, use bool) *access.Refusal {
	who, err := e.g.authenticate(r)
	refusal := asRefusal(err)
	switch {
	case refusal == nil:
		d.Who = who
		e.add("credential", OK, describe(who))
	case use && refusal.Reason == access.MissingCredential:
		e.add("credential", NotReached, "none is shown; the session's holder counts")
		return nil
	default:
		detail := refusal.Error()
		if refusal.Fault != "" {
			detail += " (fault: " + string(refusal.Fault) + ")"
		}
		e.add("credential", No, detail)
	}
	return refusal
}

func describe(who *access.Identity) string {
	switch {
	case who.Token != nil:
		return fmt.Sprintf("a good token of issuer %q, kid %q", who.Token.Issuer, who.Token.KeyID)
	case who.Mode == access.APIKey:
		return fmt.Sprintf("the API key of %q", who.Name)
	}
	return "everything is open"
}

// rules tells of all that judge looks at, in its order.
func (e *explanation) rules(d *Decision, reached bool) {
	step := func(what string, judge func(*access.Identity) (Result, string, bool)) {
		if !reached {
			e.add(what, NotReached, "")
			return
		}
		result, detail, goOn := judge(d.Who)
		e.add(what, result, detail)
		reached = goOn
	}
	for _, req := range e.g.config.Requirements {
		step("required "+claimWords(req), func(who *access.Identity) (Result, string, bool) {
			if who.Token == nil {
				return OK, "does not concern API keys", true
			}
			return outcome(who.Token.Satisfies(req))
		})
	}
	for _, req := range e.g.config.Deny {
		step(fmt.Sprintf("denied claim '%s'", req), func(who *access.Identity) (Result, string, bool) {
			if who.Token != nil && meetsDeny(who.Token, req) {
				return No, "the token meets it, or it cannot be compared", false
			}
			return OK, "is not met", true
		})
	}
	if d.route == nil {
		return
	}
	for i := range d.route.Rules {
		rule := &d.route.Rules[i]
		step(fmt.Sprintf("rules[%d] of route %s: %s", i, d.route.Name, rule.words()), rule.explain)
	}
}

func outcome(err error) (Result, string, bool) {
	if err != nil {
		return No, err.Error(), false
	}
	return OK, "is met", true
}

// explain tells whether the rule is about who asks, and if not, why.
func (r *Rule) explain(who *access.Identity) (result Result, detail string, goOn bool) {
	holds := r.holds(who)
	switch {
	case holds && r.Deny:
		return No, "holds: it denies", false
	case holds:
		return OK, "holds: it allows", false
	case r.Deny:
		return OK, "does not hold", true
	case who.Mode == access.APIKey && len(r.APIKeys) == 0:
		return No, "is about tokens", true
	case who.Mode == access.APIKey:
		return No, "is about the API keys of " + strings.Join(r.APIKeys, ", "), true
	case len(r.Claims) == 0:
		return No, "is about API keys", true
	}
	var missed []string
	for _, c := range r.Claims {
		if err := who.Token.Satisfies(c); err != nil {
			missed = append(missed, err.Error())
		}
	}
	return No, strings.Join(missed, "; "), true
}

// words are the rule's, short.
func (r *Rule) words() string {
	action := "allow"
	if r.Deny {
		action = "deny"
	}
	var about []string
	for _, c := range r.Claims {
		about = append(about, claimWords(c))
	}
	if len(r.APIKeys) > 0 {
		about = append(about, "API keys "+strings.Join(r.APIKeys, ", "))
	}
	if len(about) == 0 {
		return action + " everyone"
	}
	return action + " " + strings.Join(about, ", ")
}

func claimWords(c ctb.Requirement) string {
	if c.Type == ctb.ScopeList {
		return fmt.Sprintf("scope %v", c.Values)
	}
	return fmt.Sprintf("claim '%s'", c)
}
