package rules

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/strictjson"
)

// The bounds of a rule file. Lengths are in bytes.
const (
	MaxFile       = 1 << 20        // of the file
	MaxRules      = 1000           // in a file
	MaxExpiration = 24 * time.Hour // of an access token, which nobody can revoke

	maxName        = 64   // of a name of a rule
	maxURL         = 2048 // of idp, jwk_endpoint and each of server_api
	maxClientID    = 512
	maxAudiences   = 100  // in server_api
	maxScope       = 4096 // of the whole scope
	maxClaims      = 32   // in claims, and in token_claims
	maxValues      = 1000 // in the values of a claim
	maxClaimString = 1024 // of a claim's name, path or value
	maxFaults      = 20   // reported at once
)

// file is the rule file's form. Pointers tell an absent key from an empty value.
type file struct {
	Configs []config `json:"configs"`
}

type config struct {
	Name        *string              `json:"name"`
	Issuer      *string              `json:"idp"`
	JWKS        *string              `json:"jwk_endpoint"`
	ClientID    *string              `json:"client_id"`
	Audience    []string             `json:"server_api"`
	Scope       *string              `json:"scope"`
	Expiration  *int64               `json:"expiration"`
	Claims      []ctb.Requirement    `json:"claims"`
	TokenClaims map[string]claimPath `json:"token_claims"`
}

// Parse reads a rule file strictly. The error lists up to 20 faults, one a line, each
// with line, column and what would be right. data is not kept.
func Parse(data []byte) (*Set, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("the rule file has %d bytes, want at most %d", len(data), MaxFile)
	}
	if isBinary(data) {
		return nil, errors.New("this is no text, want a rule file in JSON: the encrypted form of the original broker must be imported, with its key")
	}
	var f file
	if err := strictjson.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	p := &parser{data: data}
	s := p.set(f)
	if err := p.err(); err != nil {
		return nil, err
	}
	s.digest = sha256.Sum256(data)
	return s, nil
}

// isBinary tells ciphertext from a text with a slip, for which the JSON parser has the
// better message.
func isBinary(data []byte) bool {
	start := bytes.TrimLeft(data, " \t\r\n")
	if len(data) > 3 && (data[0] == 0xff && data[1] == 0xfe && data[3] == 0 || data[0] == 0xfe && data[1] == 0xff && data[2] == 0) {
		return false // UTF-16
	}
	return len(start) > 0 && start[0] != '{' && !bytes.HasPrefix(start, []byte("\xef\xbb\xbf")) && !utf8.Valid(data)
}

// parser checks a file and collects what is wrong with it.
type parser struct {
	data   []byte
	faults []error
}

// fault notes what is wrong with the value at path.
func (p *parser) fault(message string, path ...any) {
	if len(p.faults) <= maxFaults {
		p.faults = append(p.faults, strictjson.At(p.data, message, path...))
	}
}

func (p *parser) err() error {
	if len(p.faults) > maxFaults {
		return errors.Join(append(p.faults[:maxFaults], errors.New("and more"))...)
	}
	if len(p.faults) == 1 {
		return p.faults[0]
	}
	return errors.Join(p.faults...)
}

func (p *parser) set(f file) *Set {
	switch {
	case f.Configs == nil:
		p.fault("the key is missing: want the list of rules", "configs")
	case len(f.Configs) == 0:
		p.fault("there is no rule: nobody would get a token", "configs")
	case len(f.Configs) > MaxRules:
		p.fault(fmt.Sprintf("got %d rules, want at most %d", len(f.Configs), MaxRules), "configs")
		return nil
	}
	s := &Set{byIssuer: map[string][]*rule{}}
	for i, c := range f.Configs {
		r := p.rule(i, c)
		s.rules = append(s.rules, r)
		s.byIssuer[r.issuer] = append(s.byIssuer[r.issuer], r)
	}
	p.uniqueNames(f.Configs)
	if len(p.faults) == 0 { // its message shows URLs, which are known to be without credentials then
		p.oneEndpoint(s)
	}
	return s
}

// rule checks one entry of configs.
func (p *parser) rule(i int, c config) *rule {
	at := []any{"configs", i}
	r := &rule{
		label:     p.label(c.Name, i),
		issuer:    p.issuer(c.Issuer, append(at, "idp")),
		jwks:      p.endpoint(c.JWKS, append(at, "jwk_endpoint")),
		clientID:  p.clientID(c.ClientID, append(at, "client_id")),
		audience:  p.audience(c.Audience, append(at, "server_api")),
		scope:     p.scope(c.Scope, append(at, "scope")),
		scopeText: value(c.Scope),
		lifetime:  p.lifetime(c.Expiration, append(at, "expiration")),
		claims:    p.claims(c.Claims, append(at, "claims")),
		copies:    p.tokenClaims(c.TokenClaims, append(at, "token_claims")),
	}
	r.namesAZP = slices.ContainsFunc(r.claims, func(c ctb.Requirement) bool { return slices.Equal(pathOf(c), []string{"azp"}) })
	return r
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// uniqueNames makes sure that a name in the audit means one rule.
func (p *parser) uniqueNames(configs []config) {
	first := map[string]int{}
	for i, c := range configs {
		if c.Name == nil {
			continue
		}
		if j, ok := first[*c.Name]; ok {
			p.fault(fmt.Sprintf("configs[%d] has this name already: want another", j), "configs", i, "name")
			continue
		}
		first[*c.Name] = i
	}
}

// oneEndpoint makes sure that an issuer has one set of keys, whichever rule brings it
// up.
func (p *parser) oneEndpoint(s *Set) {
	first := map[string]int{}
	for i, r := range s.rules {
		j, ok := first[r.issuer]
		if !ok {
			first[r.issuer] = i
			continue
		}
		if r.jwks != s.rules[j].jwks && r.issuer != "" {
			p.fault(fmt.Sprintf("%s and %s name the same idp, but %s and %s: want the same in both",
				r.label, s.rules[j].label, endpointText(r.jwks), endpointText(s.rules[j].jwks)), "configs", i, "jwk_endpoint")
		}
	}
}

func endpointText(url string) string {
	if url == "" {
		return "none (discovery)"
	}
	return "the endpoint " + url
}
