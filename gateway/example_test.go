package gateway_test

import (
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"os"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/credential"
)

// A gateway before a service that knows nothing of tokens.
func Example() {
	const issuer = "https://idp.example.com/"
	v, err := ctb.NewVerifier(ctb.Config{Issuer: issuer, Audience: "https://api.example.com", Keys: ctb.DiscoverKeys(issuer, nil)})
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := credential.NewTokens([]credential.Issuer{{Name: issuer, Verifier: v}})
	if err != nil {
		log.Fatal(err)
	}
	h, err := gateway.New(gateway.Config{
		Upstream:    &url.URL{Scheme: "http", Host: "127.0.0.1:3000"},
		Credentials: tokens,
		Routes: []gateway.Route{
			{Path: "/healthcheck", Open: true},
			{Path: "/reports/*", Methods: []string{"GET"}, Rules: []gateway.Rule{
				{Deny: true, Claims: []ctb.Requirement{ctb.Claim("sub", "mallory")}},
				{Claims: []ctb.Requirement{ctb.Scope("read:reports"), ctb.Claim("email_verified", true)}},
			}},
		},
		ClaimHeaders: []gateway.ClaimHeader{{Header: "X-User", Claim: []string{"sub"}}},
		Logger:       slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:9999", h))
}
