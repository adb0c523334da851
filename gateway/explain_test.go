package gateway_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
)

// TestExplain: each step says what would be right, and the last one what Decide says.
func TestExplain(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	g := decider(t, iss, func(c *gateway.Config) {
		c.Requirements = []ctb.Requirement{ctb.Claim("org", "acme")}
		c.Deny = []ctb.Requirement{ctb.Claim("sub", "mallory")}
		c.Routes = []gateway.Route{
			{Path: "/open", Open: true},
			{Name: "admin", Path: "/admin/*", Methods: []string{"GET"}, Rules: []gateway.Rule{
				{Deny: true, Claims: []ctb.Requirement{ctb.Claim("sub", "eve")}},
				{Claims: []ctb.Requirement{ctb.Scope("admin")}},
				{APIKeys: []string{"ops"}},
			}},
		}
	})
	token := func(sub, org, scope string) string {
		return "Bearer " + iss.Token(ctbtest.Claims{"sub": sub, "org": org, "scope": scope})
	}
	for _, tt := range []struct {
		what, target, authorization, key string
		want                             []string // beginnings of steps
	}{
		{"allowed", "/admin/x", token("alice", "acme", "admin"), "", []string{
			"route of GET /admin/x ok admin", "credential ok a good token of issuer",
			"required claim 'org' ok", "denied claim 'sub' ok is not met",
			"rules[0] of route admin: deny claim 'sub' ok does not hold", "rules[1] of route admin: allow scope [admin] ok holds: it allows",
			"rules[2] of route admin: allow API keys ops not reached", "decision ok",
		}},
		{"no rule", "/admin/x", token("alice", "acme", "x"), "", []string{
			"route", "credential ok", "required claim 'org' ok", "denied claim 'sub' ok",
			"rules[0]", "rules[1] of route admin: allow scope [admin] no unexpected value for claim 'scope': expected all of [ 'admin' ]",
			"rules[2] of route admin: allow API keys ops no is about API keys", "decision no unexpected_value: unexpected value for claim 'scope': expected all of [ 'admin' ] (403 Forbidden)",
		}},
		{"a requirement", "/admin/x", token("alice", "other", "admin"), "", []string{
			"route", "credential ok", "required claim 'org' no unexpected value for claim 'org': expected one of [ 'acme' ]", "denied claim 'sub' not reached",
			"rules[0] of route admin: deny claim 'sub' not reached", "rules[1]", "rules[2]", "decision no unexpected_value",
		}},
		{"the deny list", "/admin/x", token("mallory", "acme", "admin"), "", []string{
			"route", "credential ok", "required claim 'org' ok", "denied claim 'sub' no the token meets it", "rules[0]", "rules[1]", "rules[2]", "decision no denied",
		}},
		{"a rule that denies", "/admin/x", token("eve", "acme", "admin"), "", []string{
			"route", "credential ok", "required", "denied", "rules[0] of route admin: deny claim 'sub' no holds: it denies", "rules[1] of route admin: allow scope [admin] not reached", "rules[2]", "decision no denied",
		}},
		{"an API key", "/admin/x", "", "key-of-ops", []string{
			"route", "credential ok the API key of \"ops\"", "required claim 'org' ok does not concern API keys", "denied", "rules[0]", "rules[1] of route admin: allow scope [admin] no is about tokens",
			"rules[2] of route admin: allow API keys ops ok holds: it allows", "decision ok",
		}},
		{"a bad token", "/admin/x", "Bearer x", "", []string{
			"route", "credential no", "required claim 'org' not reached", "denied", "rules[0]", "rules[1]", "rules[2]", "decision no invalid_token",
		}},
		{"no credential", "/admin/x", "", "", []string{"route", "credential no", "required", "denied", "rules[0]", "rules[1]", "rules[2]", "decision no missing_credential"}},
		{"open", "/open", "", "", []string{"route of GET /open ok /open: open", "required claim 'org' not reached", "denied", "decision ok"}},
		{"no route", "/x", token("alice", "acme", "admin"), "", []string{"route of GET /x no no route fits; there are /open; GET /admin/*", "required", "denied", "decision no no_route"}},
		{"a bad path", "/a//b", "", "", []string{"request no the path has two slashes in a row", "required", "denied", "decision no bad_request"}},
	} {
		r := httptest.NewRequest("GET", tt.target, nil)
		if tt.authorization != "" {
			r.Header.Set("Authorization", tt.authorization)
		}
		if tt.key != "" {
			r.Header.Set("X-API-Key", tt.key)
		}
		e := g.Explain(r)
		steps := e.Steps
		var got []string
		for _, s := range steps {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", s.What, s.Result, s.Detail)))
		}
		if len(got) != len(tt.want) {
			t.Errorf("%s: got %d steps, want %d:\n%s", tt.what, len(got), len(tt.want), strings.Join(got, "\n"))
			continue
		}
		for i, want := range tt.want {
			if !strings.HasPrefix(got[i], want) {
				t.Errorf("%s: step %d: got %q, want %q", tt.what, i, got[i], want)
			}
		}
		_, reason := reasonOf(g, r)
		if last := steps[len(steps)-1].Result; (last == gateway.OK) != (reason == "allowed") || (e.Refusal == nil) != (reason == "allowed") {
			t.Errorf("%s: it is explained otherwise than it is decided: %s", tt.what, reason)
		}
		if all := strings.Join(got, "\n"); tt.authorization != "" && strings.Contains(all, strings.TrimPrefix(tt.authorization, "Bearer ")) && len(tt.authorization) > 10 {
			t.Errorf("%s: the explanation has the token in it", tt.what)
		}
	}
}
