package ctbtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/exchange"
)

// exampleTB stands for the *testing.T that a test has and an example has not.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (e *exampleTB) Helper()                   {}
func (e *exampleTB) Cleanup(f func())          { e.cleanups = append(e.cleanups, f) }
func (e *exampleTB) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// end runs what a test runs by itself at its end.
func (e *exampleTB) end() {
	for i := len(e.cleanups) - 1; i >= 0; i-- {
		e.cleanups[i]()
	}
}

// reports is the handler under test.
var reports = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	token, _ := ctb.FromContext(r.Context())
	fmt.Fprintf(w, "the reports of %s", token.Subject)
})

// A handler that ctb protects, tested without network and evidence.
func ExampleNewIssuer() {
	t := new(exampleTB) // in a test: its *testing.T
	defer t.end()

	iss := ctbtest.NewIssuer(t)
	h := iss.Verifier().Protect(reports, ctb.Scope("read:reports"))

	for _, scope := range []string{"read:reports", "write:reports"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, iss.Request("GET", "/reports", ctbtest.Claims{"scope": scope}))
		fmt.Println(scope, w.Code)
	}
	// Output:
	// read:reports 200
	// write:reports 403
}

// The whole way of a token: a user logs in, the broker exchanges the id token,
// and a resource server checks the access token and the evidence for its key.
func ExampleNewBroker() {
	t := new(exampleTB) // in a test: its *testing.T
	defer t.end()

	broker := ctbtest.NewBroker(t, nil)
	server := httptest.NewServer(broker.Verifier().Protect(reports, ctb.Scope("read:reports")))
	defer server.Close()

	idToken := broker.IdP.Login("alice")
	req, _ := http.NewRequest("GET", server.URL, nil)
	req.Header.Set("Authorization", "Bearer "+broker.Exchange(idToken))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Println(res.StatusCode, string(body))
	// Output: 200 the reports of alice
}

// A client of the broker, tested with what it must expect: a refusal.
func ExampleBroker_TryExchange() {
	t := new(exampleTB) // in a test: its *testing.T
	defer t.end()

	broker := ctbtest.NewBroker(t, nil)
	_, err := broker.TryExchange(&exchange.Request{
		SubjectToken: broker.IdP.Token(nil),
		Scope:        []string{"admin"},
	})
	var refusal *exchange.Error
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Code)
	}
	// Output: invalid_scope
}

// What reads id tokens, tested with a provider that is down: the token is not at fault.
func ExampleIdP_Break() {
	t := new(exampleTB) // in a test: its *testing.T
	defer t.end()

	idp := ctbtest.NewIdP(t, nil)
	v, err := ctb.NewVerifier(ctb.Config{
		Issuer: idp.URL, Audience: ctbtest.ClientID, Type: ctb.IDToken,
		Keys: ctb.DiscoverKeys(idp.URL, idp.Client()),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	idp.Break(ctbtest.Down(), ctbtest.JWKS)
	_, err = v.Verify(context.Background(), idp.Token(nil))
	fmt.Println("keys can be had:", err == nil)

	idp.Repair()
	// Output: keys can be had: false
}
