package rules

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/confidential-token-broker/ctb"
)

// Request is what an asker wants of the token.
type Request struct {
	Audience []string // audience and resource; empty: all that the rule gives
	Scope    []string // empty: all that the rule gives
}

// Decision is what the token may say. It belongs to the caller.
type Decision struct {
	Rule     string   // name, or "configs[0]"
	Audience []string // never empty; in the order of the rule
	Scope    []string // may be empty; in the order of the rule
	ClientID string
	Lifetime time.Duration     // 1 s to [MaxExpiration]
	Claims   map[string][]byte // token_claims: name to JSON text, as it stands in the subject token
}

// Errors that a caller turns into answers. Decide wraps them in the reason, which is
// for the audit: it names rules and claims, no values of the subject token, in at most
// 3 KiB.
var (
	ErrNoRule   = errors.New("no rule fits")                // invalid_request
	ErrAudience = errors.New("audience is not in the rule") // invalid_target
	ErrScope    = errors.New("scope is not in the rule")    // invalid_scope
)

// Decide finds the first rule that fits the subject, as the package's documentation
// says. The subject must be verified, with the keys of its issuer and with
// AnyAudience: Decide judges its audience.
func (s *Set) Decide(subject *ctb.Token, want Request) (*Decision, error) {
	candidates := s.byIssuer[subject.Issuer]
	otherwise := false // a rule fits but for the audience
	for _, r := range candidates {
		if !r.fitsSubject(subject) {
			continue
		}
		if !r.gives(want.Audience) {
			otherwise = true
			continue
		}
		return r.decide(subject, want)
	}
	if otherwise {
		return nil, fmt.Errorf("%w: %s", ErrAudience, explain(candidates, subject, want))
	}
	if len(candidates) == 0 {
		return nil, fmt.Errorf("%w: none names this issuer as its idp", ErrNoRule)
	}
	return nil, fmt.Errorf("%w: %s", ErrNoRule, explain(candidates, subject, want))
}

func (r *rule) fitsSubject(subject *ctb.Token) bool {
	return r.isFor(subject) && (len(r.claims) == 0 || subject.Satisfies(r.claims...) == nil)
}

// isFor tells whether the subject token was issued to the rule's client.
func (r *rule) isFor(subject *ctb.Token) bool {
	if !slices.Contains(subject.Audience, r.clientID) {
		return false
	}
	text, ok := subject.Claim("azp")
	if len(subject.Audience) == 1 && (!ok || r.namesAZP) {
		return true
	}
	// With several audiences, the token may have been meant for another party, which
	// merely also names us: the authorized party decides (OpenID Connect Core 1.0,
	// section 3.1.3.7, steps 4 and 5). With one, another authorized party is the mark of a
	// token that was issued to somebody else for use at this client, as access tokens are.
	var azp string
	return ok && json.Unmarshal(text, &azp) == nil && azp == r.clientID
}

// gives tells whether all audiences are among the rule's. Asking for none asks for all
// that there are.
func (r *rule) gives(audience []string) bool {
	for _, a := range audience {
		if !slices.Contains(r.audience, a) {
			return false
		}
	}
	return true
}

// decide narrows the rule to what is wanted.
func (r *rule) decide(subject *ctb.Token, want Request) (*Decision, error) {
	for _, scope := range want.Scope {
		if !slices.Contains(r.scope, scope) {
			return nil, fmt.Errorf("%w: %s does not give %s", ErrScope, show(r.label), show(scope))
		}
	}
	return &Decision{
		Rule:     r.label,
		Audience: narrow(r.audience, want.Audience),
		Scope:    narrow(r.scope, want.Scope),
		ClientID: r.clientID,
		Lifetime: r.lifetime,
		Claims:   r.copyClaims(subject),
	}, nil
}

// narrow returns those of all that are wanted. The result is part of all whatever
// wanted holds, so that nothing is ever widened.
func narrow(all, wanted []string) []string {
	if len(wanted) == 0 {
		return slices.Clone(all)
	}
	some := make([]string, 0, min(len(wanted), len(all)))
	for _, s := range all {
		if slices.Contains(wanted, s) {
			some = append(some, s)
		}
	}
	return some
}

func (r *rule) copyClaims(subject *ctb.Token) map[string][]byte {
	if len(r.copies) == 0 {
		return nil
	}
	m := make(map[string][]byte, len(r.copies))
	for _, c := range r.copies {
		if text, ok := subject.Claim(c.path...); ok {
			m[c.name] = bytes.Clone(text)
		}
	}
	return m
}

const (
	maxReasons = 8   // rules in a reason
	maxWhy     = 160 // bytes of why one rule does not fit
	maxShown   = 80  // bytes of a string in it
)

// explain says why each rule does not fit. Rules of other issuers are not worth a word.
func explain(candidates []*rule, subject *ctb.Token, want Request) string {
	var b strings.Builder
	for i, r := range candidates {
		if i > 0 {
			b.WriteString("; ")
		}
		if i == maxReasons {
			fmt.Fprintf(&b, "and %d more rules of this issuer", len(candidates)-i)
			break
		}
		fmt.Fprintf(&b, "%s: %s", show(r.label), r.misfit(subject, want))
	}
	return b.String()
}

// misfit says why the rule does not fit.
func (r *rule) misfit(subject *ctb.Token, want Request) string {
	if !slices.Contains(subject.Audience, r.clientID) {
		return "the token's audience has no " + show(r.clientID)
	}
	if !r.isFor(subject) {
		if len(subject.Audience) == 1 {
			return "the token was issued to another party: its azp is not " + show(r.clientID)
		}
		return "the token has several audiences, and its azp is not " + show(r.clientID)
	}
	for _, claim := range r.claims {
		if err := subject.Satisfies(claim); err != nil { // says what is wanted, not what is there
			return clip(strconv.Quote(err.Error()), maxWhy)
		}
	}
	for _, a := range want.Audience {
		if !slices.Contains(r.audience, a) {
			return "its server_api has no " + show(a)
		}
	}
	return "fits"
}

// show quotes what comes from outside, in one line and shortened.
func show(s string) string { return clip(strconv.Quote(s[:min(len(s), maxShown)]), maxShown) }

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
