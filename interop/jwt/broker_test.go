package jwt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/broker"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/rules"
)

const client = "interop-client"

// unrecorded is an audit that forgets.
type unrecorded struct{}

func (unrecorded) Record(context.Context, *broker.Event) error { return nil }

// startBroker serves a broker over HTTPS that trusts the one identity provider whose keys are idp's.
func startBroker(t *testing.T, idp keySource, algorithm string, original bool) (server *httptest.Server) {
	t.Helper()
	file := must(json.Marshal(map[string]any{"configs": []map[string]any{{
		"idp": issuerOfIDTokens, "jwk_endpoint": idp.url, "client_id": client,
		"server_api": []string{audience}, "scope": "read:reports", "expiration": 600,
	}}}))(t)
	var b *broker.Broker
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.ServeHTTP(w, r) }))
	b = must(broker.New(t.Context(), broker.Config{
		Issuer:    "https://" + server.Listener.Addr().String(),
		Rules:     must(rules.Parse(file))(t),
		Quoter:    must(simulated.New(simulated.Config{}))(t),
		Audit:     unrecorded{},
		Client:    idp.client,
		Algorithm: algorithm,
		Original:  original,
	}))(t)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

const issuerOfIDTokens = "https://idp.example.com/"

func idClaims() map[string]any {
	now := time.Now().Unix()
	return map[string]any{"iss": issuerOfIDTokens, "aud": client, "sub": subject, "iat": now, "exp": now + 600}
}

// swap exchanges an id token at the broker.
func swap(ctx context.Context, server *httptest.Server, idToken string) (string, error) {
	c := exchange.Client{URL: server.URL + "/token", HTTP: server.Client()}
	answer, err := c.Exchange(ctx, &exchange.Request{SubjectToken: idToken, SubjectTokenType: exchange.TypeIDToken})
	if err != nil {
		return "", err
	}
	return answer.AccessToken, nil
}

// TestTheirIDTokensAreExchanged lets each stranger sign id tokens in every
// algorithm, and the others verify what the broker makes of them.
func TestTheirIDTokensAreExchanged(t *testing.T) {
	for _, s := range signers {
		for _, algorithm := range algorithms {
			t.Run(s.name+"/"+algorithm, func(t *testing.T) {
				key := newKey(t, algorithm)
				idp := serveKeys(t, s.jwks(t, algorithm, key.Public()))
				server := startBroker(t, idp, "ES256", false)
				idToken := s.sign(t, algorithm, key, idClaims())

				raw, err := swap(t.Context(), server, idToken)
				if err != nil {
					t.Fatalf("refuses its id token: %v", err)
				}
				keys := keySource{server.URL + "/.well-known/jwks.json", server.Client()}
				if got, err := verifyWithGoJose(t.Context(), keys, expectation{"ES256", server.URL, audience}, raw); err != nil || got != subject {
					t.Errorf("the access token: got subject %q and error %v, want %q", got, err, subject)
				}
				for _, fault := range faults {
					_, err := swap(t.Context(), server, fault.spoil(t, idToken))
					var refusal *exchange.Error
					if !errors.As(err, &refusal) || refusal.Code != exchange.InvalidRequest {
						t.Errorf("an id token with %s: got %v, want %s", fault.name, err, exchange.InvalidRequest)
					}
				}
			})
		}
	}
}

// TestBrokerTokensVerifyElsewhere signs access tokens in every algorithm that
// the broker offers; the strangers fetch its keys over HTTPS.
func TestBrokerTokensVerifyElsewhere(t *testing.T) {
	key := newKey(t, "ES256")
	idp := serveKeys(t, jwksOfGoJose(t, "ES256", key.Public()))
	idToken := signWithGoJose(t, "ES256", key, idClaims())
	for _, algorithm := range []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"} {
		t.Run(algorithm, func(t *testing.T) {
			server := startBroker(t, idp, algorithm, false)
			raw := must(swap(t.Context(), server, idToken))(t)
			keys := keySource{server.URL + "/.well-known/jwks.json", server.Client()}
			wantVerdicts(t, keys, expectation{algorithm, server.URL, audience}, subject, raw)
			discover(t, server, raw)
		})
	}
}

// discover verifies raw with go-oidc, which is told the issuer and nothing else.
func discover(t *testing.T, server *httptest.Server, raw string) {
	t.Helper()
	ctx := oidc.ClientContext(t.Context(), server.Client())
	provider, err := oidc.NewProvider(ctx, server.URL)
	if err != nil {
		t.Fatalf("go-oidc: discovery: %v", err)
	}
	if got, want := provider.Endpoint().TokenURL, server.URL+"/token"; got != want {
		t.Errorf("go-oidc: discovery: got token endpoint %q, want %q", got, want)
	}
	// The verifier takes the algorithms from the metadata.
	v := provider.Verifier(&oidc.Config{ClientID: audience})
	token, err := v.Verify(ctx, raw)
	if err != nil {
		t.Fatalf("go-oidc: refuses our token after discovery: %v", err)
	}
	if token.Subject != subject {
		t.Errorf("go-oidc: reads subject %q, want %q", token.Subject, subject)
	}
	for _, fault := range faults {
		if _, err := v.Verify(ctx, fault.spoil(t, raw)); err == nil {
			t.Errorf("go-oidc: accepts %s", fault.name)
		}
	}
}

// TestOriginalTokensVerifyElsewhere takes the token of the compatibility profile's own door.
func TestOriginalTokensVerifyElsewhere(t *testing.T) {
	key := newKey(t, "RS256")
	idp := serveKeys(t, jwksOfGoJose(t, "RS256", key.Public()))
	server := startBroker(t, idp, "", true)
	body := must(json.Marshal(map[string]string{"id_token": signWithGoJose(t, "RS256", key, idClaims())}))(t)
	res := must(server.Client().Post(server.URL+"/stsToken", "application/json", bytes.NewReader(body)))(t)
	defer res.Body.Close()
	var answer map[string]string
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("POST /stsToken: got %s and error %v, want 200 and JSON", res.Status, err)
	}
	keys := keySource{server.URL + "/.well-known/jwks.json", server.Client()}
	wantVerdicts(t, keys, expectation{"RS256", "enclave authorization", audience}, subject, answer["Access Token"])
}
