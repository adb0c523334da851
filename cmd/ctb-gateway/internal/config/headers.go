package config

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/credential"
)

// claimHeaders tell the upstream who asks.
func (r *reader) claimHeaders(a *authorization) error {
	const key = "authorization.claim_headers"
	c := r.config
	taken := map[string]bool{}
	for _, h := range a.ClaimHeaders {
		at := key + h.key
		made := gateway.ClaimHeader{Header: http.CanonicalHeaderKey(h.Header), Claim: h.Claim, Name: h.APIKey != ""}
		seen := folded(made.Header)
		switch {
		case h.Header == "":
			return r.file.Fault(at, "header is missing; want a name such as X-User")
		case r.isCredential(made.Header):
			return r.file.Fault(at, "the header %s has the credential, want another such as X-User", made.Header)
		case taken[seen]:
			return r.file.Fault(at, "the header %s stands twice", made.Header)
		case (h.Claim != nil) == (h.APIKey != ""):
			return r.file.Fault(at, "want either claim, such as sub, or api_key: name")
		case h.Claim != nil && (len(h.Claim) == 0 || slices.Contains(h.Claim, "")):
			return r.file.Fault(at, "got an empty step, want a claim such as org.role, or path, a list of steps")
		case h.APIKey != "" && h.APIKey != "name":
			return r.file.Fault(at, "got api_key: %.40q, want name, which is the only thing known of an API key", h.APIKey)
		case h.APIKey != "" && a.Whitelist == nil:
			return r.file.Fault(at, "has no effect here: without whitelist there are no API keys")
		case h.Claim != nil && a.JWT == nil:
			return r.file.Fault(at, "has no effect here: without jwt there are no claims")
		}
		if err := made.Validate(); err != nil {
			return r.file.Fault(at, "%w", err)
		}
		taken[seen] = true
		c.ClaimHeaders = append(c.ClaimHeaders, made)
	}
	if r.file.Has(key) && len(a.ClaimHeaders) == 0 {
		return r.file.Fault(key, "got none, want headers and their claims, or not this key")
	}
	return nil
}

// folded is a name as upstreams may see it that get headers as variables, as those of CGI do.
func folded(header string) string {
	return strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(header))
}

func (r *reader) isCredential(header string) bool {
	c := r.config
	if c.Whitelist != nil && c.Whitelist.Header == header {
		return true
	}
	return slices.ContainsFunc(c.TokenFrom, func(p credential.Place) bool {
		return p.Kind == credential.Header && p.Name == header
	})
}

// headerInWords is what a header tells.
func headerInWords(h gateway.ClaimHeader) string {
	if h.Name {
		return fmt.Sprintf("%s (the API key's name)", h.Header)
	}
	return fmt.Sprintf("%s (claim %s)", h.Header, strings.Join(h.Claim, "."))
}
