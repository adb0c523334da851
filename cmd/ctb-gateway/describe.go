package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/confidential-token-broker/ctb"
)

// describe tells in words what the configuration would enforce, and what is in its files.
func (s *service) describe(w io.Writer) error {
	now := s.newest()
	if err := now.config.Describe(w); err != nil {
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if facts := now.facts(); len(facts) > 0 {
		fmt.Fprintln(t, "Its files have")
		for _, f := range facts {
			fmt.Fprintf(t, "  %s\t%s\n", f[0], f[1])
		}
		for _, text := range now.warnings() {
			fmt.Fprintf(t, "  WARNING\t%s\n", text)
		}
	}
	return t.Flush()
}

// warnings tell what in the files is allowed but better not so.
func (s *state) warnings() []string { return append(s.unknownNames(), s.policyWarnings()...) }

// policyWarnings are those of the policies, such as that simulated evidence is accepted, and of a
// policy whose keys sign no token that the issuer's block takes.
func (s *state) policyWarnings() []string {
	var all []string
	for n, k := range s.issuers {
		p := k.value.Get().policy
		if p == nil {
			continue
		}
		i := s.config.Issuers[n]
		for _, text := range p.Warnings(time.Now()) {
			all = append(all, i.Broker.Policy+": "+text)
		}
		// A broker of the original's profile has a name that is no URL in its tokens.
		if p.Issuer != "" && p.Issuer != i.Name && strings.Contains(i.Name, "://") {
			all = append(all, fmt.Sprintf("%s: issuer: keys of %s alone are accepted, and tokens of %s alone, so none is: correct the policy's issuer or that of %s",
				i.Broker.Policy, p.Issuer, i.Name, i.Key))
		}
	}
	return all
}

// unknownNames tells of rules that name API keys which the whitelist does not have: one
// that refuses lets through who was meant, if his name is misspelt.
func (s *state) unknownNames() []string {
	if s.whitelist == nil {
		return nil
	}
	var all []string
	known := s.whitelist.Get().Names()
	for _, r := range s.config.Routes {
		for _, rule := range r.Rules {
			for _, name := range rule.APIKeys {
				if name == "*" || known[name] {
					continue
				}
				verb := "allows"
				if rule.Deny {
					verb = "refuses"
				}
				all = append(all, fmt.Sprintf("a rule of the route %s %s the API key of %q, a name that %s does not have", r.Path, verb, name, s.config.Whitelist.Path))
			}
		}
	}
	return all
}

// facts are what an operator may want to compare with what he meant: name and words of each.
func (s *state) facts() [][2]string {
	var facts [][2]string
	for n, k := range s.issuers {
		if text := keysInWords(k.value.Get().inFile); text != "" {
			facts = append(facts, [2]string{"keys of " + k.name, text})
		}
		if p := k.value.Get().policy; p != nil {
			facts = append(facts, [2]string{s.config.Issuers[n].Broker.Policy, count(len(p.Builds), "build") + "; ctb policy check says what is accepted"})
		}
	}
	if s.whitelist != nil {
		facts = append(facts, [2]string{s.config.Whitelist.Path, count(s.whitelist.Get().Len(), "API key")})
	}
	if s.certificate != nil {
		leaf := s.certificate.Get().Leaf
		facts = append(facts, [2]string{s.config.TLS.Certificate,
			fmt.Sprintf("a certificate for %s until %s", names(leaf.DNSNames, leaf.IPAddresses), leaf.NotAfter.UTC().Format(time.RFC3339))})
	}
	return facts
}

// keysInWords names keys that were read from a file: of others nothing is known before they are fetched.
func keysInWords(keys ctb.StaticKeys) string {
	var words []string
	for _, k := range keys {
		id := "without a kid"
		if k.ID != "" {
			id = fmt.Sprintf("%.60q", k.ID)
		}
		words = append(words, k.Algorithm+" "+id)
	}
	return strings.Join(words, ", ")
}

// names are those of a certificate.
func names[T fmt.Stringer](dns []string, addresses []T) string {
	all := dns
	for _, a := range addresses {
		all = append(all, a.String())
	}
	if len(all) == 0 {
		return "no name"
	}
	return strings.Join(all, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
