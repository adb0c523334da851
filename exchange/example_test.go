package exchange_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/confidential-token-broker/ctb/exchange"
)

func ExampleClient() {
	broker := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"e30.e30.c2ln","token_type":"Bearer","expires_in":3600,
			"issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}`)
	}))
	defer broker.Close()

	c := &exchange.Client{URL: broker.URL + "/token", HTTP: broker.Client()}
	answer, err := c.Exchange(context.Background(), &exchange.Request{
		SubjectToken: "the id token",
		Audience:     []string{"https://api.example.com"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(answer.TokenType, answer.ExpiresIn)
	// Output: Bearer 3600
}
