package broker_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"os"

	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/broker"
	"github.com/confidential-token-broker/ctb/rules"
)

// A broker on simulated hardware, as a program of its own would embed it.
func Example() {
	set, err := rules.Parse([]byte(`{"configs": [{
		"idp": "https://idp.example.com/", "client_id": "reports",
		"server_api": ["https://api.example.com"], "scope": "read:reports", "expiration": 3600
	}]}`))
	if err != nil {
		log.Fatal(err)
	}
	hardware, err := simulated.New(simulated.Config{})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b, err := broker.New(ctx, broker.Config{
		Issuer:    "https://broker.example.com",
		Rules:     set,
		Quoter:    hardware,
		Audit:     broker.NewAuditLog(os.Stdout),
		Simulated: true,
	})
	if err != nil {
		log.Fatal(err)
	}

	server := httptest.NewTLSServer(b) // go b.Run(ctx) rotates its keys
	defer server.Close()
	resp, err := server.Client().Get(server.URL + "/.well-known/jwks.json")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, resp.Header.Get("Content-Type"), resp.Header.Get("Cache-Control"))
	// Output: 200 OK application/jwk-set+json public, max-age=60
}
