package rules_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/rules"
)

// The original broker's rule file, as its documentation prints it.
const originalFile = `{
	"configs": [
		{
			"idp": "https://dev-f3qm0elg4mvfgpsu.us.auth0.com/",
			"jwk_endpoint": "https://dev-f3qm0elg4mvfgpsu.us.auth0.com/.well-known/jwks.json",
			"client_id": "IMIprdP4qfSuKANevWkJyhG5F7weEGT0",
			"server_api": [
				"https://example.com/server1-api",
				"https://example.com/server2-api"
			],
			"scope": "openid profile read:admin",
			"expiration": 3600
		}
	]
}
`

func Example() {
	set, err := rules.Parse([]byte(originalFile))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(set.DigestString())

	// The broker has verified an id token; its claims are:
	subject, err := ctb.UnverifiedToken([]byte(`{
		"iss": "https://dev-f3qm0elg4mvfgpsu.us.auth0.com/",
		"aud": "IMIprdP4qfSuKANevWkJyhG5F7weEGT0",
		"sub": "google-oauth2|107186323690826133746",
		"exp": 1696088423
	}`))
	if err != nil {
		log.Fatal(err)
	}
	decision, err := set.Decide(subject, rules.Request{Audience: []string{"https://example.com/server1-api"}, Scope: []string{"profile"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(decision.Rule, decision.Audience, decision.Scope, decision.Lifetime)

	_, err = set.Decide(subject, rules.Request{Audience: []string{"https://example.com/server3-api"}})
	fmt.Println(errors.Is(err, rules.ErrAudience), err)
	// Output:
	// sha256:8f4630665067a141bd88c4cbba70a502cbe2b6c7fb5331c8023107233654fc07
	// configs[0] [https://example.com/server1-api] [profile] 1h0m0s
	// true audience is not in the rule: "configs[0]": its server_api has no "https://example.com/server3-api"
}

func ExampleParse_fault() {
	_, err := rules.Parse([]byte(`{"configs": [{
  "idp": "https://idp.example/",
  "client_id": "app",
  "server_api": ["https://api.example/"],
  "scopes": "read",
  "expiration": 3600
}]}`))
	fmt.Println(err)
	// Output:
	// line 5, column 3: configs[0].scopes: unknown key "scopes": did you mean "scope"?
}

func ExampleSet_Check() {
	set, err := rules.Parse([]byte(`{"configs": [
  {"name": "everyone", "idp": "https://idp.example/", "client_id": "app", "server_api": ["api"], "scope": "read", "expiration": 600},
  {"name": "admins", "idp": "https://idp.example/", "client_id": "app", "server_api": ["api"], "scope": "read write", "expiration": 600,
   "claims": [{"name": "role", "values": ["admin"]}]}
]}`))
	if err != nil {
		log.Fatal(err)
	}
	for _, w := range set.Check() {
		fmt.Printf("%s: %s\n", w.Rule, w.Text)
	}
	// Output:
	// admins: can never fit: everyone comes first and fits whatever this rule fits
}
