package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// guard is a peer with the policy of all, so that the tokens are tried without any program.
func guard(t *testing.T, i *issuer, change func(*ctb.Config), rules ...ctb.Requirement) string {
	public, err := i.publicPEM()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ctb.ParsePEM(public)
	if err != nil {
		t.Fatal(err)
	}
	c := ctb.Config{Keys: ctb.StaticKeys{key}, AnyIssuer: true, AnyAudience: true, Type: ctb.IDToken}
	change(&c)
	v, err := ctb.NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(v.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello\n") }), rules...))
	t.Cleanup(server.Close)
	return server.URL
}

func TestCheckPassesWhoVerifies(t *testing.T) {
	for _, algorithm := range []string{jose.RS256, jose.ES256} {
		i, bad := issuerWithBad(t, algorithm)
		url := guard(t, i, func(*ctb.Config) {}, ctb.Claim("role", "reader", "auditor"))
		tokens, err := i.tokens(3)
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range tokens {
			if err := answered(t.Context(), url, token); err != nil {
				t.Errorf("%s: %v", algorithm, err)
			}
		}
		if err := refuses(t.Context(), url, bad); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

func TestCheckFindsWhoDoesNot(t *testing.T) {
	i, bad := issuerWithBad(t, jose.ES256)
	open := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello\n") }))
	defer open.Close()
	missing := httptest.NewServer(http.NotFoundHandler())
	defer missing.Close()
	for _, c := range []struct{ name, url, want string }{
		{"who lets everything through", open.URL, "no token: got 200"},
		{"who answers something else", missing.URL, "no token: got 404"},
		{"who does not look at the claim", guard(t, i, func(*ctb.Config) {}), "a token of another role: got 200"},
	} {
		if err := refuses(t.Context(), c.url, bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", c.name, err, c.want)
		}
	}
	if err := answered(t.Context(), missing.URL, "x"); err == nil || !strings.Contains(err.Error(), "got 404") {
		t.Errorf("who answers nothing good: got %v, want 404 in it", err)
	}
}

func issuerWithBad(t *testing.T, algorithm string) (*issuer, []badToken) {
	i, err := newIssuer(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	bad, err := badTokens(i)
	if err != nil {
		t.Fatal(err)
	}
	return i, bad
}
