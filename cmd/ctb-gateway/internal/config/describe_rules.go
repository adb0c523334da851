package config

import (
	"fmt"
	"strings"

	"github.com/confidential-token-broker/ctb/gateway"
)

// describeRoutes says who may ask for what.
func (c *Config) describeRoutes(p *page) {
	switch {
	case !c.Enabled:
		return
	case len(c.Routes) == 0:
		p.line("for", "every path and method")
		return
	}
	p.line("for", "the first route that fits; what fits none is refused")
	for i := range c.Routes {
		r := &c.Routes[i]
		name := fmt.Sprintf("  %d", i+1)
		what := nameOf(r)
		if len(r.Methods) > 0 {
			what = strings.Join(r.Methods, ", ") + " " + what
		}
		switch {
		case r.Open:
			p.line(name, "%s: OPEN TO EVERYONE, without a credential", what)
		case len(r.Rules) == 0:
			p.line(name, "%s: a good credential is enough", what)
		default:
			p.line(name, "%s: the first rule that holds; if none does, refused", what)
			for _, rule := range r.Rules {
				p.line("", "%s", ruleInWords(rule))
			}
		}
	}
}

func ruleInWords(r gateway.Rule) string {
	verb := "allows"
	if r.Deny {
		verb = "refuses"
	}
	var who []string
	if len(r.Claims) > 0 {
		var claims []string
		for _, c := range r.Claims {
			claims = append(claims, requirementInWords(c))
		}
		who = append(who, "a token with "+strings.Join(claims, " and "))
	}
	if len(r.APIKeys) > 0 {
		var keys []string
		for _, k := range r.APIKeys {
			if k == "*" {
				keys = []string{"any API key"}
				break
			}
			keys = append(keys, fmt.Sprintf("the API key of %q", k))
		}
		who = append(who, strings.Join(keys, ", "))
	}
	if len(who) == 0 {
		who = []string{"everyone with a good credential"}
	}
	return fmt.Sprintf("- %s %s", verb, strings.Join(who, ", or "))
}

func (c *Config) describeSessions(p *page) {
	s := c.Sessions
	if s == nil {
		if c.Upstream != nil {
			p.line("sessions", "none")
		}
		return
	}
	from := "the upstream hands out an id, which is learned from its answer"
	if s.Issue {
		from = "the gateway hands out an id"
	}
	credential := "with a credential"
	if !c.Enabled {
		credential = "of everyone"
	}
	p.line("sessions", "POST %s %s: %s", s.Create, credential, from)
	p.line("", "%s with an id needs no credential; it is good once, within %s, for whom it was handed out to", s.Use, inWords(s.TTL))
	if len(c.Routes) > 0 {
		p.line("", "what the routes say of the two paths counts as well, but not that one is open or that none fits")
	}
	p.line("", "at most %d ids wait, %d of one identity; %s", s.Max, s.MaxPerIdentity, atOnce(s.Concurrency))
	if s.Longest > 0 {
		p.line("", "a connection ends after %s", inWords(s.Longest))
	}
	for _, size := range []struct {
		name  string
		bytes uint64
		claim []string
	}{{"maxSentData", s.MaxSent, s.MaxSentClaim}, {"maxRecvData", s.MaxRecv, s.MaxRecvClaim}} {
		if size.bytes == 0 && size.claim == nil {
			continue
		}
		bound := "of any size"
		if size.bytes > 0 {
			bound = fmt.Sprintf("at most %d bytes", size.bytes)
		}
		if size.claim != nil {
			bound += ", less if the claim " + strings.Join(size.claim, ".") + " says so"
		}
		p.line("", "%s: %s", size.name, bound)
	}
}

func atOnce(n int) string {
	if n == 0 {
		return "any number of connections at once"
	}
	return fmt.Sprintf("%d connections at once, 503 for more", n)
}

func (c *Config) describeLimits(p *page) {
	if l := c.PerIdentity; l != nil {
		var all []string
		if l.PerSecond > 0 {
			text := fmt.Sprintf("%v requests a second", l.PerSecond)
			if l.Burst > 0 {
				text += fmt.Sprintf(", %d at once after a pause", l.Burst)
			}
			all = append(all, text)
		}
		if l.Concurrent > 0 {
			all = append(all, fmt.Sprintf("%d at the same time", l.Concurrent))
		}
		p.line("limit", "each identity to %s; 429 for more", strings.Join(all, ", "))
	}
	if c.Upstream != nil {
		t := c.Timeouts
		p.line("give up", "connecting after %s, waiting for an answer after %s, an idle upgraded connection after %s",
			inWords(t.Connect), inWords(t.Answer), inWords(t.Idle))
	}
}

func (c *Config) describeRest(p *page) {
	p.line("log", "from level %s", strings.ToLower(c.LogLevel.String()))
	if len(c.Variables) > 0 {
		p.line("obey", "variables of the environment in place of the file: %s", strings.Join(c.Variables, ", "))
	}
	if len(c.ForUpstream) > 0 {
		p.line("leave to", "the upstream, which must have them itself: %s", strings.Join(c.ForUpstream, ", "))
	}
}
