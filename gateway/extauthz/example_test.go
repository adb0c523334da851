package extauthz_test

import (
	"context"
	"log"
	"net"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/credential"
	"github.com/confidential-token-broker/ctb/gateway/extauthz"
)

// Envoy asks a gateway that has no upstream of its own.
func ExampleNewServer() {
	const issuer = "https://issuer.example"
	keys := ctb.NewRemoteKeys(issuer+"/jwks.json", nil)
	verifier, err := ctb.NewVerifier(ctb.Config{Issuer: issuer, Audience: "https://api.example.com", Keys: keys})
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := credential.NewTokens([]credential.Issuer{{Name: issuer, Verifier: verifier}})
	if err != nil {
		log.Fatal(err)
	}
	g, err := gateway.New(gateway.Config{
		Credentials: tokens,
		Routes: []gateway.Route{
			{Path: "/healthz", Open: true},
			{Path: "/reports/*", Rules: []gateway.Rule{{Claims: []ctb.Requirement{ctb.Scope("read:reports")}}}},
		},
		ClaimHeaders: []gateway.ClaimHeader{{Header: "X-User", Claim: []string{"sub"}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	server, err := extauthz.NewServer(extauthz.Config{Decider: g})
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(l)
	defer server.Shutdown(context.Background())
	// Output:
}
