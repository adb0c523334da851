package rules

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/confidential-token-broker/ctb"
)

// claims checks the requirements on the subject token.
func (p *parser) claims(list []ctb.Requirement, at []any) []ctb.Requirement {
	if len(list) > maxClaims {
		p.fault(fmt.Sprintf("got %d claims, want at most %d", len(list), maxClaims), at...)
		return nil
	}
	for i, r := range list {
		at := append(slices.Clone(at), i)
		if len(r.Values) > maxValues {
			p.fault(fmt.Sprintf("got %d values, want at most %d", len(r.Values), maxValues), append(at, "values")...)
			continue
		}
		if tooLong(r) {
			p.fault(fmt.Sprintf("a string of more than %d bytes", maxClaimString), at...)
			continue
		}
		if err := r.Validate(); err != nil {
			p.fault(err.Error(), at...)
		}
	}
	return list
}

func tooLong(r ctb.Requirement) bool {
	long := func(s string) bool { return len(s) > maxClaimString }
	return long(r.Name) || slices.ContainsFunc(r.Path, long) || slices.ContainsFunc(r.Values, func(v any) bool {
		s, ok := v.(string)
		return ok && long(s)
	})
}

// Reserved tells whether a rule may not set this claim of an access token. Readers that
// ignore case, as encoding/json does, must not take "Sub" for "sub".
func Reserved(claim string) bool { return reservedAs(claim) != "" }

func reservedAs(claim string) string {
	i := slices.IndexFunc(reserved, func(r string) bool { return strings.EqualFold(r, claim) })
	if i < 0 {
		return ""
	}
	return reserved[i]
}

// reserved names are the ones that the broker itself gives a meaning, or that would
// make an access token look like another kind of token, or speak for more than its
// rule: RFC 7519 section 4.1, RFC 9068 section 2.2, RFC 8693 section 4, RFC 7800
// section 3.1, RFC 9396 section 9.1, RFC 9493 section 4, RFC 8417 section 2.2, OpenID
// Connect Core 1.0.
var reserved = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "client_id", "scope", "scp", "cnf", "idp",
	"simulated", "act", "may_act", "azp", "authorization_details", "sub_id", "events",
	"nonce", "at_hash", "c_hash", "s_hash",
}

// tokenClaims checks what is copied from the subject token into the access token.
func (p *parser) tokenClaims(m map[string]claimPath, at []any) []copied {
	if len(m) > maxClaims {
		p.fault(fmt.Sprintf("got %d claims, want at most %d", len(m), maxClaims), at...)
		return nil
	}
	var list []copied
	for _, name := range slices.Sorted(maps.Keys(m)) {
		at := append(slices.Clone(at), name)
		p.text(name, maxClaimString, at)
		if own := reservedAs(name); own != "" {
			p.fault(fmt.Sprintf("%q is the broker's own to set: want another name", own), at...)
		}
		if i := slices.IndexFunc(list, func(c copied) bool { return strings.EqualFold(c.name, name) }); i >= 0 {
			p.fault(fmt.Sprintf("differs from %q in case alone: want another name", list[i].name), at...)
		}
		if len(m[name]) == 0 {
			p.fault("the path is empty: want the claim's name", at...)
		}
		for _, step := range m[name] {
			p.text(step, maxClaimString, at)
		}
		list = append(list, copied{name: name, path: m[name]})
	}
	return list
}

// claimPath is where a claim stands in the subject token: "org.role", or each
// step by itself where a name has dots in it: ["https://example.com/roles"].
type claimPath []string

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (p *claimPath) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	switch d.PeekKind() {
	case '"':
		var s string
		if err := json.UnmarshalDecode(d, &s); err != nil {
			return err
		}
		*p = strings.Split(s, ".")
		return nil
	case '[':
		return json.UnmarshalDecode(d, (*[]string)(p))
	}
	return errors.New(`want the claim's path in the subject token: "org.role" or ["org", "role"]`)
}
