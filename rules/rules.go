package rules

import (
	"encoding/hex"
	"slices"
	"time"

	"github.com/confidential-token-broker/ctb"
)

// Set is a parsed rule file. It never changes and is safe for concurrent use.
type Set struct {
	digest   [32]byte
	rules    []*rule            // in the order of the file
	byIssuer map[string][]*rule // the same, by idp
}

// rule is one entry of configs, checked.
type rule struct {
	label     string // name, or "configs[0]"
	issuer    string
	jwks      string // empty: OpenID Connect Discovery
	clientID  string
	audience  []string // server_api
	scope     []string
	scopeText string // as written
	lifetime  time.Duration
	claims    []ctb.Requirement
	namesAZP  bool     // the claims judge azp themselves
	copies    []copied // sorted by name
}

// copied is an entry of token_claims.
type copied struct {
	name string   // in the access token
	path []string // in the subject token
}

// Digest is the SHA-256 of the file's bytes, which the hardware vouches for.
func (s *Set) Digest() [32]byte { return s.digest }

// DigestString is the digest as people write it: "sha256:" and 64 hexadecimal digits.
func (s *Set) DigestString() string { return "sha256:" + hex.EncodeToString(s.digest[:]) }

// Len is the number of rules.
func (s *Set) Len() int { return len(s.rules) }

// LongestLifetime is that of the access tokens that live longest.
func (s *Set) LongestLifetime() time.Duration {
	var longest time.Duration
	for _, r := range s.rules {
		longest = max(longest, r.lifetime)
	}
	return longest
}

// Issuer is an identity provider that rules name.
type Issuer struct {
	URL     string // the exact "iss"
	JWKSURL string // empty: OpenID Connect Discovery
}

// Issuers returns each identity provider once, in the order of the file.
func (s *Set) Issuers() []Issuer {
	all := make([]Issuer, 0, len(s.byIssuer))
	for _, r := range s.rules {
		if i := (Issuer{URL: r.issuer, JWKSURL: r.jwks}); !slices.Contains(all, i) {
			all = append(all, i)
		}
	}
	return all
}
