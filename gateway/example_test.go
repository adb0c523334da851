package gateway_test

import (
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"os"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway"
)

// A gateway before a service that knows nothing of tokens.
func Example() {
	v, err := ctb.NewVerifier(ctb.Config{
		Issuer:    "https://idp.example.com/",
		Audience:  "https://api.example.com",
		Keys:      ctb.DiscoverKeys("https://idp.example.com/", nil),
		OnRefusal: gateway.NoteRefusal,
	})
	if err != nil {
		log.Fatal(err)
	}
	h, err := gateway.New(gateway.Config{
		Upstream:     &url.URL{Scheme: "http", Host: "127.0.0.1:3000"},
		Verifier:     v,
		Requirements: []ctb.Requirement{ctb.Scope("read:reports"), ctb.Claim("email_verified", true)},
		Logger:       slog.New(slog.NewJSONHandler(os.Stderr, nil)),
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:9999", h))
}
