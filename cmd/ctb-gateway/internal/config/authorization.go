package config

import (
	"fmt"
	"net/http"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/credential"
)

const defaultAPIKeyHeader = "X-API-Key"

// authorization says who is let through. Nothing but enabled: false, or the notary's
// configuration without the block, lets everything through.
func (r *reader) authorization() error {
	c, a := r.config, r.schema.Authorization
	switch {
	case a == nil && c.Profile == gateway.Notary:
		c.Unsaid = true
		return nil // as the notary server does; there is a warning
	case a == nil:
		return r.file.Fault("authorization", "missing; want jwt or whitelist, which say who is let through")
	case a.Enabled != nil:
		c.Enabled = *a.Enabled
	default:
		c.Enabled = true
	}
	if c.Enabled && a.JWT == nil && a.Whitelist == nil {
		return r.file.Fault("authorization", "got neither jwt nor whitelist, want the one that says who is let through")
	}
	if err := r.mode(a); err != nil {
		return err
	}
	for _, step := range []func(*authorization) error{r.whitelist, r.jwt, r.routes, r.claimHeaders} {
		if err := step(a); err != nil {
			return err
		}
	}
	if !c.Enabled { // it was checked all the same: who switches it on again must not be surprised
		c.Combine, c.Whitelist, c.Issuers, c.TokenFrom = false, nil, nil, nil
		c.Requirements, c.Deny, c.Routes, c.ClaimHeaders = nil, nil, nil, nil
	}
	return nil
}

// mode wants tokens or API keys; both only where somebody has said so.
func (r *reader) mode(a *authorization) error {
	both := a.JWT != nil && a.Whitelist != nil
	switch {
	case a.Combine != "" && a.Combine != "any":
		return r.file.Fault("authorization.combine", "got %.40q, want any: a good token or a good API key is enough", a.Combine)
	case a.Combine != "" && !both:
		return r.file.Fault("authorization.combine", "has no effect here: it is for jwt and whitelist beside each other")
	case both && a.Combine == "" && r.config.Enabled:
		return r.file.Fault("authorization", "got both jwt and %s, want one of the two; to let through who has a good token or a good API key, add combine: any",
			lastStep(r.file.Written("authorization.whitelist")))
	}
	r.config.Combine = both
	return nil
}

// whitelist is a file of API keys, and the header where a key stands: X-API-Key, but
// Authorization for the key that the notary server had for it until alpha.10.
func (r *reader) whitelist(a *authorization) error {
	const key = "authorization.whitelist"
	if a.Whitelist == nil {
		if a.APIKeyHeader != "" {
			return r.file.Fault("authorization.api_key_header", "has no effect here: it is for whitelist")
		}
		return nil
	}
	w := &Whitelist{Path: a.Whitelist.Path, Header: defaultAPIKeyHeader, Key: key}
	if w.Path == "" {
		return r.file.Fault(key, "names no file, want the path of a CSV file with Name and ApiKey")
	}
	if lastStep(r.file.Written(key)) == "whitelist_csv_path" || lastStep(r.file.Written(key)) == "whitelist-csv-path" {
		w.Header = "Authorization"
	}
	if a.APIKeyHeader != "" {
		w.Header = a.APIKeyHeader
	}
	if _, err := credential.NewKeys(new(credential.Whitelist), w.Header); err != nil {
		return r.file.Fault("authorization.api_key_header", "%w", err)
	}
	w.Header = http.CanonicalHeaderKey(w.Header)
	r.config.Whitelist = w
	return nil
}

// jwt says which tokens are good.
func (r *reader) jwt(a *authorization) error {
	const key = "authorization.jwt"
	j := a.JWT
	if j == nil {
		return nil
	}
	if err := r.issuers(j); err != nil {
		return err
	}
	if err := r.tokenFrom(j); err != nil {
		return err
	}
	required, err := r.requirements(key, j.Scopes, j.Claims)
	if err != nil {
		return err
	}
	denied, err := r.claims(key+".deny", j.Deny)
	if err != nil {
		return err
	}
	r.config.Requirements, r.config.Deny = required, denied
	return nil
}

// requirements are scopes and claims that stand under a key.
func (r *reader) requirements(key string, scopes []string, claims []ctb.Requirement) ([]ctb.Requirement, error) {
	var all []ctb.Requirement
	for i, s := range scopes {
		if !isScope(s) {
			return nil, r.file.Fault(fmt.Sprintf("%s.scopes[%d]", key, i), "got %.80q, want one scope (RFC 6749 section 3.3)", s)
		}
		all = append(all, ctb.Scope(s))
	}
	more, err := r.claims(key+".claims", claims)
	return append(all, more...), err
}

// isScope tells whether it is one scope-token of RFC 6749 section 3.3.
func isScope(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c == '"' || c == '\\' || c > '~' {
			return false
		}
	}
	return s != ""
}

func (r *reader) claims(key string, claims []ctb.Requirement) ([]ctb.Requirement, error) {
	for i, c := range claims {
		at := fmt.Sprintf("%s[%d]", key, i)
		if kind := c.Type; kind == "" || kind == ctb.String || kind == ctb.StringArray || kind == ctb.ScopeList {
			for j, v := range c.Values {
				if _, ok := v.(string); !ok {
					return nil, r.file.Fault(fmt.Sprintf("%s.values[%d]", at, j), "got %s, want text: put it in quotes, or give the claim's value_type", kindOf(v))
				}
			}
		}
		if err := c.Validate(); err != nil {
			return nil, r.file.Fault(at, "%w", err)
		}
	}
	return claims, nil
}

// kindOf names the kind of a value as people know it.
func kindOf(v any) string {
	switch v.(type) {
	case bool:
		return "true or false"
	case string:
		return "text"
	case []any:
		return "a list"
	case map[string]any:
		return "keys and values"
	case nil:
		return "nothing"
	}
	return "a number"
}

// tokenFrom is where a token may stand.
func (r *reader) tokenFrom(j *jwt) error {
	const key = "authorization.jwt.token_from"
	places := []credential.Place{{Kind: credential.Authorization}}
	if j.TokenFrom != nil {
		places = nil
	}
	if r.file.Has(key) && len(j.TokenFrom) == 0 {
		return r.file.Fault(key, "got an empty list, want places such as authorization")
	}
	seen := map[credential.Place]bool{}
	for i, t := range j.TokenFrom {
		at := fmt.Sprintf("%s[%d]", key, i)
		var found []credential.Place
		for _, p := range []credential.Place{
			{Kind: credential.PlaceKind(t.Place)}, {Kind: credential.Header, Name: http.CanonicalHeaderKey(t.Header)},
			{Kind: credential.Cookie, Name: t.Cookie}, {Kind: credential.Query, Name: t.Query},
		} {
			if p.Name != "" || t.Place != "" && string(p.Kind) == t.Place && p.Name == "" && len(found) == 0 {
				found = append(found, p)
			}
		}
		if len(found) != 1 {
			return r.file.Fault(at, "got %d places, want one of authorization, websocket_protocol, {header: NAME}, {cookie: NAME} and {query: NAME}", len(found))
		}
		if err := found[0].Validate(); err != nil {
			return r.file.Fault(at, "%w", err)
		}
		if seen[found[0]] {
			return r.file.Fault(at, "%s stands twice", found[0])
		}
		if w := r.config.Whitelist; w != nil && found[0].Kind == credential.Header && found[0].Name == w.Header {
			return r.file.Fault(at, "the header %s has API keys: want another for tokens", w.Header)
		}
		seen[found[0]] = true
		places = append(places, found[0])
	}
	r.config.TokenFrom = places
	return nil
}
