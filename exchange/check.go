package exchange

import (
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Check tells whether the request is well formed and within the bounds. The
// error is an *Error. ParseRequest has asked it already; it is for requests
// that did not come as a form.
func (r *Request) Check() error {
	if r.SubjectToken == "" {
		return refuse(InvalidRequest, "subject_token is missing; it must be an id token")
	}
	if len(r.SubjectToken) > MaxToken {
		return refuse(InvalidRequest, "subject_token is longer than "+strconv.Itoa(MaxToken)+" bytes")
	}
	switch r.SubjectTokenType {
	case "", TypeIDToken, TypeJWT:
	default:
		return refuse(InvalidRequest, "subject_token_type must be "+TypeIDToken+" or "+TypeJWT)
	}
	switch r.RequestedTokenType {
	case "", TypeAccessToken, TypeJWT:
	default:
		return refuse(InvalidRequest, "requested_token_type must be "+TypeAccessToken+" or "+TypeJWT+", or left out")
	}
	if len(r.ClientID) > MaxClientID || !printable(r.ClientID) {
		return refuse(InvalidRequest, "client_id must be printable ASCII of at most "+strconv.Itoa(MaxClientID)+" bytes")
	}
	if err := r.checkTargets(); err != nil {
		return err
	}
	return r.checkScope()
}

func (r *Request) checkTargets() error {
	if len(r.Audience)+len(r.Resource) > MaxTargets {
		return refuse(InvalidTarget, "more than "+strconv.Itoa(MaxTargets)+" audiences and resources")
	}
	for _, a := range r.Audience {
		if a == "" || len(a) > MaxTarget || !utf8.ValidString(a) || strings.ContainsFunc(a, unicode.IsControl) {
			return refuse(InvalidTarget, "audience must be text without control characters, of at most "+strconv.Itoa(MaxTarget)+" bytes")
		}
	}
	for _, a := range r.Resource {
		if len(a) > MaxTarget || !absoluteURI(a) {
			return refuse(InvalidTarget, "resource must be an absolute URI without a fragment, of at most "+strconv.Itoa(MaxTarget)+" bytes (RFC 8707 section 2)")
		}
	}
	return nil
}

func (r *Request) checkScope() error {
	if len(r.Scope) > MaxScopes {
		return refuse(InvalidScope, "scope has more than "+strconv.Itoa(MaxScopes)+" values")
	}
	length := 0
	for _, s := range r.Scope {
		if !scopeToken(s) {
			return refuse(InvalidScope, "scope must be words of printable ASCII without quotes and backslashes, one space between them (RFC 6749 section 3.3)")
		}
		length += len(s) + 1
	}
	if length > MaxScope+1 {
		return refuse(InvalidScope, "scope is longer than "+strconv.Itoa(MaxScope)+" bytes")
	}
	return nil
}

// absoluteURI follows RFC 3986 section 4.3: a scheme, something after it, no
// fragment. Other characters than those of a URI are refused, so that two
// writings of one resource cannot differ in what only the eye does not see.
func absoluteURI(s string) bool {
	if !printable(s) || strings.ContainsAny(s, ` #"<>\^{|}`+"`") {
		return false
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" {
		return false
	}
	return u.Host != "" || u.Opaque != "" || len(u.Path) > 1
}

// scopeToken is scope-token of RFC 6749 section 3.3.
func scopeToken(s string) bool {
	return s != "" && printable(s) && !strings.ContainsAny(s, ` "\`)
}

// printable tells whether s has only the characters U+0020 to U+007E.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
