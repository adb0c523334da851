package extauthz_test

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/credential"
)

// documented are tokens and verdicts of Envoy Gateway's documentation and tests.
type documented struct {
	Tokens map[string]map[string]any
	Cases  []struct {
		Path, Token string
		Status      int
	}
}

func readDocumented(t *testing.T) (d documented) {
	t.Helper()
	text, err := os.ReadFile("testdata/envoy-gateway.json")
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// documentedRoutes are the documented policies, one to one: deploy/gateway-envoy-gateway.example.yaml has the same.
func documentedRoutes() []gateway.Route {
	scopes := []ctb.Requirement{ctb.Scope("read"), ctb.Scope("add"), ctb.Scope("modify")}
	claims := []ctb.Requirement{
		ctb.Claim("user.name", "John Doe"),
		{Name: "user.roles", Values: []any{"admin"}, Type: ctb.StringArray},
	}
	both := append(append([]ctb.Requirement{}, scopes...), claims...)
	allow := func(path string, requirements []ctb.Requirement) gateway.Route {
		return gateway.Route{Path: path, Rules: []gateway.Rule{{Claims: requirements}}}
	}
	return []gateway.Route{allow("/claim-test", claims), allow("/scope-test", scopes), allow("/combined-test", both), allow("/*", both)}
}

// TestEnvoyGatewaysExamples: the documented policies, in our words, give the documented verdicts.
func TestEnvoyGatewaysExamples(t *testing.T) {
	d := readDocumented(t)
	issuer := ctbtest.NewIssuer(t)
	issuer.URL = "https://foo.bar.com"
	verifier, err := ctb.NewVerifier(ctb.Config{Issuer: issuer.URL, AnyAudience: true, Type: ctb.IDToken, Keys: issuer.Keys()})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := credential.NewTokens([]credential.Issuer{{Name: issuer.URL, Verifier: verifier}})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(c *gateway.Config) { c.Credentials, c.Routes = tokens, documentedRoutes() })
	for _, tt := range d.Cases {
		var headers []string
		if tt.Token != "" {
			headers = []string{"Authorization: Bearer " + sign(t, issuer, d.Tokens[tt.Token], true)}
		}
		if got := status(r.check(raw("GET", tt.Path, headers...))); got != tt.Status {
			t.Errorf("%s by %q: got %d, want %d", tt.Path, tt.Token, got, tt.Status)
		}
	}
	// The one difference: a token that never expires is none to us.
	forever := "Authorization: Bearer " + sign(t, issuer, d.Tokens["John Doe"], false)
	if got := status(r.check(raw("GET", "/", forever))); got != 401 {
		t.Errorf("without exp: got %d, want 401", got)
	}
}

// sign makes the documented token, by a key that we have; and it may expire, as theirs do not.
func sign(t *testing.T, issuer *ctbtest.Issuer, claims map[string]any, expires bool) string {
	t.Helper()
	if claims == nil {
		t.Fatal("there is no such token")
	}
	changed := map[string]any{"exp": time.Now().Add(time.Minute).Unix()}
	if !expires {
		delete(changed, "exp")
	}
	for name, value := range claims {
		changed[name] = value
	}
	payload, err := json.Marshal(changed)
	if err != nil {
		t.Fatal(err)
	}
	return issuer.Sign(`{"typ":"JWT","alg":"ES256","kid":"`+issuer.Keys()[0].ID+`"}`, string(payload))
}
