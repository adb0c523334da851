package rules_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/rules"
)

func TestCheck(t *testing.T) {
	const first = `"idp": "https://idp.example/", "client_id": "app", "server_api": ["a", "b"], "scope": "read", "expiration": 60`
	later := func(change ...string) string {
		return `{"configs": [{"name": "first", ` + first + `}, {"name": "later", ` + strings.NewReplacer(change...).Replace(first) + `}]}`
	}
	claims := func(first, second string) string {
		return strings.Replace(strings.Replace(later(), `60}`, `60, "claims": [`+first+`]}`, 1), `60}]`, `60, "claims": [`+second+`]}]`, 1)
	}
	only := func(old, new string) string {
		return `{"configs": [{"name": "later", ` + strings.Replace(first, old, new, 1) + `}]}`
	}
	const unreachable = "can never fit: first comes first and fits whatever this rule fits"

	for _, c := range []struct {
		name, file string
		want       string // the warning for the rule "later"
	}{
		{"nothing to say", only("", ""), ""},

		{"the same rule again", later(), unreachable},
		{"another scope and expiration, which take no part in the fit", later(`"read"`, `"write"`, `60`, `30`), unreachable},
		{"fewer audiences", later(`"a", "b"`, `"b"`), unreachable},
		{"the same audiences in another order", later(`"a", "b"`, `"b", "a"`), unreachable},
		{"one audience more", later(`"a", "b"`, `"a", "b", "c"`), ""},
		{"other audiences", later(`"a", "b"`, `"c"`), ""},
		{"another client", later(`"app"`, `"App"`), ""},
		{"another issuer", later(`idp.example`, `other.example`), ""},

		{"a claim where the first asks for none", claims(``, `{"name": "x"}`), unreachable},
		{"no claim where the first asks for one", claims(`{"name": "x"}`, ``), ""},
		{"the same claim", claims(`{"name": "x"}`, `{"name": "x"}`), unreachable},
		{"the same claim, its path in another form", claims(`{"name": "x.y"}`, `{"path": ["x", "y"], "value_type": "String"}`), unreachable},
		{"a name with a dot in it", claims(`{"name": "x.y"}`, `{"path": ["x.y"]}`), ""},
		{"a claim on azp where the first has none", claims(``, `{"name": "azp", "values": ["phone"]}`), ""},
		{"the same claim on azp", claims(`{"name": "azp"}`, `{"path": ["azp"], "values": ["phone"]}`), unreachable},
		{"another claim", claims(`{"name": "x"}`, `{"name": "y"}`), ""},
		{"one claim more", claims(`{"name": "x"}`, `{"name": "y"}, {"name": "x"}`), unreachable},
		{"one claim less", claims(`{"name": "x"}, {"name": "y"}`, `{"name": "x"}`), ""},
		{"a value where the first takes any", claims(`{"name": "x"}`, `{"name": "x", "values": ["1"]}`), unreachable},
		{"any value where the first asks for one", claims(`{"name": "x", "values": ["1"]}`, `{"name": "x"}`), ""},
		{"fewer values", claims(`{"name": "x", "values": ["1", "2"]}`, `{"name": "x", "values": ["2"]}`), unreachable},
		{"more values", claims(`{"name": "x", "values": ["1"]}`, `{"name": "x", "values": ["1", "2"]}`), ""},
		{"the same value with another type", claims(`{"name": "x", "values": ["1"]}`, `{"name": "x", "values": ["1"], "value_type": "string_array"}`), ""},
		{"more scopes, all of which are needed", claims(`{"name": "s", "values": ["r"], "value_type": "scope"}`, `{"name": "s", "values": ["w", "r"], "value_type": "scope"}`), unreachable},
		{"fewer scopes", claims(`{"name": "s", "values": ["r", "w"], "value_type": "scope"}`, `{"name": "s", "values": ["r"], "value_type": "scope"}`), ""},

		{"an issuer that differs in the slash", later(`idp.example/`, `idp.example`), "its idp differs from that of first in the slash at the end or in case alone, and they are not the same"},
		{"an issuer that differs in case", later(`idp.example/`, `IdP.example/`), "its idp differs from that of first in the slash at the end or in case alone, and they are not the same"},
		{"an hour", only(`60`, `3600`), ""},
		{"more than an hour", only(`60`, `3601`), "its access tokens live 1h0m1s and cannot be revoked: 3600 (1h) or less is usual"},
		{"an idp over http", only(`https://idp.example/`, `http://localhost:8080`), "its idp is plain http to this machine: for development alone"},
		{"an endpoint over http", only(`"client_id"`, `"jwk_endpoint": "http://127.0.0.1/keys", "client_id"`), "its jwk_endpoint is plain http to this machine: for development alone"},
		{"no scope", only(`"read"`, `" "`), "its scope is empty: access tokens will have none"},
		{"surplus spaces", only(`"read"`, `"read  write"`), "its scope has surplus spaces"},
		{"a star in a client", only(`"app"`, `"*"`), "its client_id holds a *, which is compared as it stands: there are no wildcards"},
		{"a star in an idp", only(`idp.example`, `*.example`), "its idp holds a *, which is compared as it stands: there are no wildcards"},
		{"a star in an audience", only(`"b"`, `"https://*.example"`), "its server_api holds a *, which is compared as it stands: there are no wildcards"},
		{"a star in a scope", only(`"read"`, `"read:*"`), "its scope holds a *, which is compared as it stands: there are no wildcards"},
		{"a star in a claim's value", only(`60`, `60, "claims": [{"name": "mail", "values": ["*@example.com"]}]`), "its claims holds a *, which is compared as it stands: there are no wildcards"},
		{"a star in a token claim's path", only(`60`, `60, "token_claims": {"roles": "realm.*"}`), "its token_claims holds a *, which is compared as it stands: there are no wildcards"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var want []rules.Warning
			if c.want != "" {
				want = []rules.Warning{{Rule: "later", Text: c.want}}
			}
			if got := parse(t, c.file).Check(); !reflect.DeepEqual(got, want) {
				t.Errorf("\n got %v\nwant %v", got, want)
			}
		})
	}
}

// A file that is made to be compared for minutes is compared for a moment, and the warning says so.
func TestCheckIsBounded(t *testing.T) {
	const n = 400
	var configs []string
	for i := range n {
		var audience, claims []string
		for j := range 32 {
			audience = append(audience, fmt.Sprintf(`"%d"`, j))
			claims = append(claims, fmt.Sprintf(`{"name":"%d","values":["a","b","c","d"]}`, (i+j)%33))
		}
		configs = append(configs, fmt.Sprintf(`{"idp":"https://idp.example/","client_id":"app","server_api":[%s],"scope":"x","expiration":60,"claims":[%s]}`,
			strings.Join(audience, ","), strings.Join(claims, ",")))
	}
	found := parse(t, `{"configs":[`+strings.Join(configs, ",")+`]}`).Check()
	stopped := 0
	for _, w := range found {
		if strings.Contains(w.Text, "from here on") {
			stopped++
		}
	}
	if stopped != 1 {
		t.Errorf("got %d warnings that the comparing stopped, want one: %v", stopped, found)
	}
}

// small is a universe in which everything can be tried: two issuers, two clients, three audiences,
// and three claims with few values.
type small struct{ rng *rand.Rand }

func (u small) pick(list ...string) string { return list[u.rng.IntN(len(list))] }

// some returns a random part of list, never empty.
func (u small) some(list ...string) []string {
	for {
		var part []string
		for _, s := range list {
			if u.rng.IntN(2) == 0 {
				part = append(part, s)
			}
		}
		if len(part) > 0 {
			return part
		}
	}
}

type smallRule struct {
	Name       string            `json:"name"`
	Issuer     string            `json:"idp"`
	ClientID   string            `json:"client_id"`
	Audience   []string          `json:"server_api"`
	Scope      string            `json:"scope"`
	Expiration int               `json:"expiration"`
	Claims     []ctb.Requirement `json:"claims"`
}

func (u small) rule(i int, withClaims bool) smallRule {
	r := smallRule{
		Name:       fmt.Sprint("rule", i),
		Issuer:     u.pick("https://one.example", "https://two.example"),
		ClientID:   u.pick("c1", "c2"),
		Audience:   u.some("a", "b", "c"),
		Scope:      u.pick("", "read"),
		Expiration: 60,
		Claims:     []ctb.Requirement{},
	}
	for withClaims && u.rng.IntN(3) > 0 {
		c := ctb.Requirement{Name: u.pick("x", "y", "s", "azp")}
		switch {
		case c.Name == "s":
			c.Type, c.Values = ctb.ScopeList, anys(u.some("r", "w"))
		case c.Name == "azp":
			c.Values = anys(u.some("c1", "c2"))
		case u.rng.IntN(2) == 0:
			c.Values = anys(u.some("1", "2"))
		}
		r.Claims = append(r.Claims, c)
	}
	return r
}

func anys(list []string) (all []any) {
	for _, s := range list {
		all = append(all, s)
	}
	return all
}

// subjects returns every subject of the universe; the empty text stands for an absent claim.
func subjects(t *testing.T) (all []*ctb.Token) {
	for _, iss := range []string{"https://one.example", "https://two.example"} {
		for _, aud := range []string{`"c1"`, `"c2"`, `["c1", "c2"], "azp": "c2"`, `"c1", "azp": "c2"`, `"c1", "azp": "c1"`} {
			for _, x := range []string{``, `, "x": "1"`, `, "x": "2"`, `, "x": "3"`, `, "x": 1`} {
				for _, y := range []string{``, `, "y": "1"`, `, "y": "2"`} {
					for _, s := range []string{``, `, "s": "r"`, `, "s": "w"`, `, "s": "w r"`} {
						all = append(all, subject(t, `{"iss": "`+iss+`", "aud": `+aud+x+y+s+`}`))
					}
				}
			}
		}
	}
	return all
}

// requests returns every request for audiences of the universe.
func requests() (all []rules.Request) {
	for bits := range 8 {
		var r rules.Request
		for i, a := range []string{"a", "b", "c"} {
			if bits&(1<<i) != 0 {
				r.Audience = append(r.Audience, a)
			}
		}
		all = append(all, r)
	}
	return all
}

// A rule that Check says can never fit wins for no subject and no request; and among rules
// without claims, a rule that wins for none is always named. All subjects and requests of a small universe are
// tried on random rule files.
func TestCheckAgreesWithDecide(t *testing.T) {
	every, wanted := subjects(t), requests()
	named, silent := 0, 0
	for seed := range uint64(40) {
		u := small{rand.New(rand.NewPCG(seed, 1))}
		withClaims := seed%4 != 0
		var file struct {
			Configs []smallRule `json:"configs"`
		}
		for i := range 2 + u.rng.IntN(6) {
			file.Configs = append(file.Configs, u.rule(i, withClaims))
		}
		text, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		s := parse(t, string(text))

		wins := map[string]bool{}
		for _, subject := range every {
			for _, request := range wanted {
				if d, err := s.Decide(subject, request); err == nil {
					wins[d.Rule] = true
				}
			}
		}
		never := map[string]bool{}
		for _, w := range s.Check() {
			if strings.HasPrefix(w.Text, "can never fit") {
				never[w.Rule] = true
			}
		}
		for _, r := range file.Configs {
			switch {
			case never[r.Name] && wins[r.Name]:
				t.Errorf("%s wins, but Check says it can never fit, in %s", r.Name, text)
			case never[r.Name]:
				named++
			case !wins[r.Name] && !withClaims:
				t.Errorf("%s never wins, but Check doesn't say so, in %s", r.Name, text)
			case !wins[r.Name]:
				silent++
			}
		}
	}
	if named < 10 {
		t.Errorf("%d rules were named: too few to show anything", named)
	}
	t.Logf("%d rules named as never fitting, %d more never fit by several others' claims together or by their own contradiction", named, silent)
}
