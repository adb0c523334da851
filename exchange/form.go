package exchange

import (
	"net/url"
	"strconv"
	"strings"
)

// refusedParameters ask for what is not offered. RFC 6749 section 3.2 lets a
// server ignore parameters that it does not know; these it knows, and to ignore
// them would give a token that is wider than the one that was asked for.
var refusedParameters = []struct{ name, code, description string }{
	{"actor_token", InvalidRequest, "actor_token: delegation is not offered; leave it out to get a token of the subject"},
	{"actor_token_type", InvalidRequest, "actor_token_type: delegation is not offered; leave it out to get a token of the subject"},
	{"client_secret", InvalidClient, "client_secret: clients are not authenticated here; send the subject token alone"},
	{"client_assertion", InvalidClient, "client_assertion: clients are not authenticated here; send the subject token alone"},
	{"client_assertion_type", InvalidClient, "client_assertion_type: clients are not authenticated here; send the subject token alone"},
	{"authorization_details", InvalidRequest, "authorization_details: not offered; ask with audience, resource and scope"},
}

// ParseRequest reads the form of a request. The error is an *Error. No value
// of the form is repeated in a description, so that no token can leak through one.
//
// A parameter without a value counts as absent, and one without a meaning is
// ignored (RFC 6749 section 3.2). Any but audience and resource may appear once.
func ParseRequest(form url.Values) (*Request, error) {
	if len(form) > maxParameters {
		return nil, refuse(InvalidRequest, "the form has more than "+strconv.Itoa(maxParameters)+" parameters")
	}
	for name, values := range form {
		if len(values) > 1 && name != "audience" && name != "resource" {
			return nil, refuse(InvalidRequest, "a parameter other than audience and resource is repeated; send it once")
		}
	}
	switch form.Get("grant_type") {
	case GrantType:
	case "":
		return nil, refuse(InvalidRequest, "grant_type is missing; it must be "+GrantType)
	default:
		return nil, refuse(UnsupportedGrantType, "grant_type must be "+GrantType)
	}
	for _, p := range refusedParameters {
		if form.Get(p.name) != "" {
			return nil, refuse(p.code, p.description)
		}
	}
	r := &Request{
		SubjectToken:       form.Get("subject_token"),
		SubjectTokenType:   form.Get("subject_token_type"),
		RequestedTokenType: form.Get("requested_token_type"),
		Audience:           present(form["audience"]),
		Resource:           present(form["resource"]),
		ClientID:           form.Get("client_id"),
	}
	if r.SubjectToken != "" && r.SubjectTokenType == "" {
		return nil, refuse(InvalidRequest, "subject_token_type is missing; it must be "+TypeIDToken)
	}
	if scope := form.Get("scope"); scope != "" {
		if len(scope) > MaxScope {
			return nil, refuse(InvalidScope, "scope is longer than "+strconv.Itoa(MaxScope)+" bytes")
		}
		r.Scope = strings.Split(scope, " ")
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	return r, nil
}

// Form returns the form that ParseRequest reads.
func (r *Request) Form() url.Values {
	form := url.Values{"grant_type": {GrantType}}
	set := func(name, value string) {
		if value != "" {
			form.Set(name, value)
		}
	}
	set("subject_token", r.SubjectToken)
	form.Set("subject_token_type", TypeIDToken)
	set("subject_token_type", r.SubjectTokenType)
	set("requested_token_type", r.RequestedTokenType)
	set("scope", strings.Join(r.Scope, " "))
	set("client_id", r.ClientID)
	for _, a := range r.Audience {
		form.Add("audience", a)
	}
	for _, a := range r.Resource {
		form.Add("resource", a)
	}
	return form
}

// present drops empty values: a parameter without a value counts as absent.
func present(values []string) []string {
	var kept []string
	for _, v := range values {
		if v != "" {
			kept = append(kept, v)
		}
	}
	return kept
}
