package rules_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/rules"
)

// subject is a token with these claims and an exp.
func subject(t testing.TB, claims string) *ctb.Token {
	t.Helper()
	token, err := ctb.UnverifiedToken([]byte(`{"exp": 2000000000, ` + strings.TrimPrefix(claims, "{")))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

const team = `{"configs": [
	{"name": "admins", "idp": "https://idp.example/", "client_id": "app", "server_api": ["api1"], "scope": "read write admin", "expiration": 300,
	 "claims": [{"name": "org.role", "values": ["admin", "owner"]}, {"name": "email_verified", "values": [true], "value_type": "bool"}]},
	{"name": "readers", "idp": "https://idp.example/", "client_id": "app", "server_api": ["api1", "api2"], "scope": "openid read", "expiration": 3600,
	 "token_claims": {"role": "org.role", "groups": "groups", "https://api.example/mail": ["https://idp.example/mail"]}},
	{"name": "writers", "idp": "https://idp.example/", "client_id": "app", "server_api": ["api1", "api3"], "scope": "read write", "expiration": 3600},
	{"idp": "https://other.example", "client_id": "app", "server_api": ["api9"], "scope": "", "expiration": 60}
]}`

const (
	someone = `{"iss": "https://idp.example/", "aud": "app"}`
	admin   = `{"iss": "https://idp.example/", "aud": "app", "org": {"role": "admin"}, "email_verified": true}`
)

func TestDecide(t *testing.T) {
	s := parse(t, team)
	ask := func(audience ...string) rules.Request { return rules.Request{Audience: audience} }
	scoped := func(scope ...string) rules.Request { return rules.Request{Scope: scope} }

	for _, c := range []struct {
		name    string
		subject string
		want    rules.Request
		gets    string // rule, audience, scope, lifetime
	}{
		{"all that the rule gives", someone, ask(), "readers [api1 api2] [openid read] 1h0m0s"},
		{"the first rule whose claims are met", admin, ask(), "admins [api1] [read write admin] 5m0s"},
		{"any of a claim's values", strings.Replace(admin, `"admin"`, `"owner"`, 1), ask(), "admins [api1] [read write admin] 5m0s"},
		{"a claim with another value", strings.Replace(admin, `"admin"`, `"Admin"`, 1), ask(), "readers [api1 api2] [openid read] 1h0m0s"},
		{"one of two claims", strings.Replace(admin, `true`, `false`, 1), ask(), "readers [api1 api2] [openid read] 1h0m0s"},
		{"a claim of another type", strings.Replace(admin, `true`, `"true"`, 1), ask(), "readers [api1 api2] [openid read] 1h0m0s"},

		{"one audience", someone, ask("api2"), "readers [api2] [openid read] 1h0m0s"},
		{"audiences in the rule's order, once", someone, ask("api2", "api1", "api2"), "readers [api1 api2] [openid read] 1h0m0s"},
		{"an audience that a later rule gives", someone, ask("api3"), "writers [api3] [read write] 1h0m0s"},
		{"audiences that a later rule gives together", someone, ask("api3", "api1"), "writers [api1 api3] [read write] 1h0m0s"},
		{"an admin who asks for what the readers' rule gives", admin, ask("api2"), "readers [api2] [openid read] 1h0m0s"},

		{"one scope", someone, scoped("read"), "readers [api1 api2] [read] 1h0m0s"},
		{"scopes in the rule's order, once", someone, scoped("read", "openid", "read"), "readers [api1 api2] [openid read] 1h0m0s"},
		{"both narrowed", admin, rules.Request{Audience: []string{"api1"}, Scope: []string{"write"}}, "admins [api1] [write] 5m0s"},

		{"a rule without a name, of another issuer", `{"iss": "https://other.example", "aud": ["app"]}`, ask(), "configs[3] [api9] [] 1m0s"},
		{"several audiences with azp", `{"iss": "https://idp.example/", "aud": ["x", "app"], "azp": "app"}`, ask(), "readers [api1 api2] [openid read] 1h0m0s"},
		{"one audience with its azp", `{"iss": "https://idp.example/", "aud": ["app"], "azp": "app"}`, ask(), "readers [api1 api2] [openid read] 1h0m0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := s.Decide(subject(t, c.subject), c.want)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(d.Rule, " ", d.Audience, " ", d.Scope, " ", d.Lifetime); got != c.gets {
				t.Errorf("got %s, want %s", got, c.gets)
			}
			if d.ClientID != "app" {
				t.Errorf("got client %q, want app", d.ClientID)
			}
		})
	}
}

// A rule that judges azp by its own claims takes the tokens of another party at its client.
func TestRuleThatNamesAZP(t *testing.T) {
	const rest = `"idp": "https://idp.example/", "client_id": "app", "server_api": ["api"], "scope": "", "expiration": 60`
	s := parse(t, `{"configs": [
		{"name": "plain", `+rest+`, "claims": [{"path": ["x", "azp"]}]},
		{"name": "phone", `+rest+`, "claims": [{"name": "azp", "values": ["phone"]}]}]}`)
	for claims, want := range map[string]string{
		`"aud": "app", "azp": "phone"`:                                "phone",
		`"aud": "app", "azp": "tablet"`:                               "",
		`"aud": "app"`:                                                "",
		`"aud": ["app", "x"], "azp": "phone"`:                         "", // the one way in which several audiences are read
		`"aud": "app", "azp": "phone", "x": {"azp": "y"}`:             "phone",
		`"aud": "app", "azp": "app", "x": {"azp": "any of a string"}`: "plain",
	} {
		d, err := s.Decide(subject(t, `{"iss": "https://idp.example/", `+claims+`}`), rules.Request{})
		if got := ""; d != nil {
			got = d.Rule
			if got != want {
				t.Errorf("%s: got %q, want %q", claims, got, want)
			}
		} else if want != "" {
			t.Errorf("%s: got %v, want %q", claims, err, want)
		}
	}
}

func TestDecideRefuses(t *testing.T) {
	s := parse(t, team)
	ask := func(audience ...string) rules.Request { return rules.Request{Audience: audience} }
	scoped := func(scope ...string) rules.Request { return rules.Request{Scope: scope} }
	nothing := rules.Request{}

	for _, c := range []struct {
		name    string
		subject string
		want    rules.Request
		is      error
		reason  string
	}{
		{"an unknown issuer", `{"iss": "https://evil.example/", "aud": "app"}`, nothing, rules.ErrNoRule,
			`no rule fits: none names this issuer as its idp`},
		{"an issuer without the slash", `{"iss": "https://idp.example", "aud": "app"}`, nothing, rules.ErrNoRule,
			`no rule fits: none names this issuer as its idp`},
		{"no issuer", `{"aud": "app"}`, nothing, rules.ErrNoRule,
			`no rule fits: none names this issuer as its idp`},
		{"another client", `{"iss": "https://idp.example/", "aud": "App"}`, nothing, rules.ErrNoRule,
			`no rule fits: "admins": the token's audience has no "app"; "readers": the token's audience has no "app"; "writers": the token's audience has no "app"`},
		{"no audience at all", `{"iss": "https://other.example"}`, nothing, rules.ErrNoRule,
			`no rule fits: "configs[3]": the token's audience has no "app"`},
		{"one audience with the azp of another", `{"iss": "https://other.example", "aud": "app", "azp": "phone"}`, nothing, rules.ErrNoRule,
			`no rule fits: "configs[3]": the token was issued to another party: its azp is not "app"`},
		{"one audience with an azp that is no string", `{"iss": "https://other.example", "aud": "app", "azp": null}`, nothing, rules.ErrNoRule,
			`no rule fits: "configs[3]": the token was issued to another party: its azp is not "app"`},
		{"several audiences without azp", `{"iss": "https://other.example", "aud": ["app", "x"]}`, nothing, rules.ErrNoRule,
			`no rule fits: "configs[3]": the token has several audiences, and its azp is not "app"`},
		{"several audiences with the azp of another", `{"iss": "https://other.example", "aud": ["app", "x"], "azp": "x"}`, nothing, rules.ErrNoRule,
			`no rule fits: "configs[3]": the token has several audiences, and its azp is not "app"`},
		{"several audiences with an azp that is no string", `{"iss": "https://other.example", "aud": ["app", "x"], "azp": ["app"]}`, nothing, rules.ErrNoRule,
			`no rule fits: "configs[3]": the token has several audiences, and its azp is not "app"`},
		{"the same audience twice, which is several", `{"iss": "https://other.example", "aud": ["app", "app"]}`, nothing, rules.ErrNoRule,
			`no rule fits: "configs[3]": the token has several audiences, and its azp is not "app"`},

		{"an audience of no rule", someone, ask("api7"), rules.ErrAudience,
			`audience is not in the rule: "admins": "missing claim 'org.role'"; "readers": its server_api has no "api7"; "writers": its server_api has no "api7"`},
		{"audiences of two rules, which do not add up", someone, ask("api2", "api3"), rules.ErrAudience,
			`audience is not in the rule: "admins": "missing claim 'org.role'"; "readers": its server_api has no "api3"; "writers": its server_api has no "api2"`},
		{"an empty audience", someone, ask(""), rules.ErrAudience,
			`audience is not in the rule: "admins": "missing claim 'org.role'"; "readers": its server_api has no ""; "writers": its server_api has no ""`},
		{"an audience of another issuer's rule", `{"iss": "https://other.example", "aud": "app"}`, ask("api1"), rules.ErrAudience,
			`audience is not in the rule: "configs[3]": its server_api has no "api1"`},

		{"a scope of a later rule", someone, scoped("write"), rules.ErrScope,
			`scope is not in the rule: "readers" does not give "write"`},
		{"one scope of two", someone, scoped("read", "admin"), rules.ErrScope,
			`scope is not in the rule: "readers" does not give "admin"`},
		{"two scopes in one string", someone, scoped("openid read"), rules.ErrScope,
			`scope is not in the rule: "readers" does not give "openid read"`},
		{"a scope of a rule without any", `{"iss": "https://other.example", "aud": "app"}`, scoped("read"), rules.ErrScope,
			`scope is not in the rule: "configs[3]" does not give "read"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := s.Decide(subject(t, c.subject), c.want)
			if d != nil || !errors.Is(err, c.is) {
				t.Fatalf("got %v, %v, want %v", d, err, c.is)
			}
			if err.Error() != c.reason {
				t.Errorf("\n got %s\nwant %s", err, c.reason)
			}
		})
	}
}

func TestDecideCopiesClaimsAsTheyStand(t *testing.T) {
	s := parse(t, team)
	d, err := s.Decide(subject(t, `{"iss": "https://idp.example/", "aud": "app", "org": {"role": "lé\u00e9"}, "groups": [1.0, {"a" : null}]}`), rules.Request{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"role": []byte(`"lé\u00e9"`), "groups": []byte(`[1.0, {"a" : null}]`)}
	if !reflect.DeepEqual(d.Claims, want) {
		t.Errorf("got %q, want %q", d.Claims, want)
	}

	d, err = s.Decide(subject(t, `{"iss": "https://idp.example/", "aud": "app", "https://idp.example/mail": "m", "org": "x"}`), rules.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string][]byte{"https://api.example/mail": []byte(`"m"`)}; !reflect.DeepEqual(d.Claims, want) {
		t.Errorf("got %q, want %q", d.Claims, want)
	}
}

// A decision belongs to the caller: changing it changes neither the rules nor the subject.
func TestDecisionIsTheCallersOwn(t *testing.T) {
	s, token := parse(t, team), subject(t, `{"iss": "https://idp.example/", "aud": "app", "groups": ["g"]}`)
	first, err := s.Decide(token, rules.Request{})
	if err != nil {
		t.Fatal(err)
	}
	first.Audience[0], first.Scope[0], first.Claims["groups"][2] = "evil", "evil", 'X'
	second, err := s.Decide(token, rules.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%s %s %s", second.Audience, second.Scope, second.Claims["groups"]); got != `[api1 api2] [openid read] ["g"]` {
		t.Errorf("got %s", got)
	}
}

// The reason goes to the audit: it is short, in one line, and without the subject's values.
func TestReasonsAreBounded(t *testing.T) {
	const claims = `"claims": [{"name": "mail", "values": ["%s"]}]`
	var list []string
	for i := range 500 {
		list = append(list, fmt.Sprintf(`{"name": "%s%d", "idp": "https://idp.example/", "client_id": "app", "server_api": ["x"], "scope": "", "expiration": 1, `+claims+`}`,
			strings.Repeat("n", 60), i, strings.Repeat("v", 1000)))
	}
	s := parse(t, `{"configs": [`+strings.Join(list, ",")+`]}`)
	_, err := s.Decide(subject(t, `{"iss": "https://idp.example/", "aud": "app", "mail": "private@example.com"}`), rules.Request{})
	if !errors.Is(err, rules.ErrNoRule) || len(err.Error()) > 3<<10 || strings.Contains(err.Error(), "private") {
		t.Errorf("got %d bytes: %v", len(err.Error()), err)
	}
	if !strings.HasSuffix(err.Error(), "; and 492 more rules of this issuer") {
		t.Errorf("got %v", err)
	}

	s = parse(t, team)
	for _, bad := range []string{strings.Repeat("\x00", 10_000), strings.Repeat("é", 10_000), "a\nb"} {
		for _, want := range []rules.Request{{Audience: []string{bad}}, {Scope: []string{bad}}} {
			_, err := s.Decide(subject(t, someone), want)
			if err == nil || len(err.Error()) > 1<<10 || strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("got %d bytes: %q", len(err.Error()), err)
			}
		}
	}
}

func TestLifetimeIsInSeconds(t *testing.T) {
	s := parse(t, strings.Replace(base, "3600", "86400", 1))
	d, err := s.Decide(subject(t, admin), rules.Request{})
	if err != nil || d.Lifetime != 24*time.Hour {
		t.Errorf("got %v, %v, want 24h", d, err)
	}
}

func BenchmarkDecide(b *testing.B) {
	first := parse(b, team)
	var list []string
	for i := range rules.MaxRules {
		list = append(list, fmt.Sprintf(`{"idp": "https://idp%d.example/", "client_id": "app", "server_api": ["api1"], "scope": "read", "expiration": 60}`, i))
	}
	many := parse(b, `{"configs": [`+strings.Join(list, ",")+`]}`)
	for _, c := range []struct {
		name    string
		set     *rules.Set
		subject string
	}{
		{"no claims", first, someone},
		{"two claims", first, admin},
		{"last of 1000 issuers", many, `{"iss": "https://idp999.example/", "aud": "app"}`},
		{"refused", first, `{"iss": "https://idp.example/", "aud": "x"}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			token := subject(b, c.subject)
			want := rules.Request{Audience: []string{"api1"}, Scope: []string{"read"}}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = c.set.Decide(token, want)
			}
		})
	}
}

// The original's published id token, under its published rules, gives what its published access token says.
func TestDecideOnTheOriginalsIDToken(t *testing.T) {
	file, err := os.ReadFile("testdata/original.json")
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := os.ReadFile("testdata/idtoken_2_curl.jwt")
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(string(jwt), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	token, err := ctb.UnverifiedToken(payload)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(t, string(file)).Decide(token, rules.Request{})
	want := &rules.Decision{
		Rule:     "configs[0]",
		Audience: []string{"https://example.com/server1-api", "https://example.com/server2-api"},
		Scope:    []string{"openid", "profile", "read:admin"},
		ClientID: "IMIprdP4qfSuKANevWkJyhG5F7weEGT0",
		Lifetime: time.Hour,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
