package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// endpoint is a token endpoint that gives one answer, over HTTPS.
func endpoint(t *testing.T, status int, kind, body string) *Client {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return &Client{URL: s.URL + "/token", HTTP: s.Client()}
}

const goodAnswer = `{"access_token":"a.b.c","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"bearer","expires_in":60,"scope":"a","later":"ignored"}`

var request = &Request{SubjectToken: "e30.e30.c2ln", Audience: []string{"api"}}

func TestClientSendsTheForm(t *testing.T) {
	var got *Request
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		got, _ = ParseRequest(r.PostForm)
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		fmt.Fprint(w, goodAnswer)
	}))
	defer s.Close()
	answer, err := (&Client{URL: s.URL, HTTP: s.Client()}).Exchange(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if answer.AccessToken != "a.b.c" || answer.ExpiresIn != 60 || answer.Scope != "a" {
		t.Errorf("got %+v", answer)
	}
	if got == nil || got.SubjectToken != request.SubjectToken || got.SubjectTokenType != TypeIDToken {
		t.Errorf("the broker got %+v", got)
	}
}

func TestClientHandsOverARefusal(t *testing.T) {
	c := endpoint(t, 400, "application/json", `{"error":"invalid_target","error_description":"no such audience"}`)
	_, err := c.Exchange(t.Context(), request)
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Code != InvalidTarget || refusal.Description != "no such audience" {
		t.Errorf("got %v, want the refusal", err)
	}
}

func TestClientDistrustsAnswers(t *testing.T) {
	long, _ := json.Marshal(map[string]string{"access_token": strings.Repeat("a", maxAnswer)})
	for name, c := range map[string]struct {
		status     int
		kind, body string
		says       string
	}{
		"HTML":                     {200, "text/html", "<html>", "want application/json"},
		"an error page":            {502, "text/html", "<html>", "502"},
		"an error without a code":  {400, "application/json", `{}`, "without an OAuth error"},
		"an error of no JSON":      {400, "application/json", `no`, "without an OAuth error"},
		"too long an answer":       {200, "application/json", string(long), "longer than"},
		"no JSON":                  {200, "application/json", `{{`, "not the JSON object"},
		"a token twice":            {200, "application/json", strings.Replace(goodAnswer, "{", `{"access_token":"x",`, 1), "not the JSON object"},
		"no token":                 {200, "application/json", `{}`, "access_token"},
		"a token for the terminal": {200, "application/json", strings.Replace(goodAnswer, "a.b.c", `a\u001b[2Jb`, 1), "access_token: got characters"},
		"another kind of token":    {200, "application/json", strings.Replace(goodAnswer, ":access_token", ":refresh_token", 1), "issued_token_type"},
		"a token for DPoP":         {200, "application/json", strings.Replace(goodAnswer, "bearer", "DPoP", 1), "token_type"},
		"a negative lifetime":      {200, "application/json", strings.Replace(goodAnswer, "60", "-1", 1), "expires_in"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := endpoint(t, c.status, c.kind, c.body).Exchange(t.Context(), request)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want … %s", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), request.SubjectToken) {
				t.Error("the error has the token in it")
			}
		})
	}
}

func TestClientFollowsNoRedirect(t *testing.T) {
	asked := false
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	s := httptest.NewTLSServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer s.Close()
	if _, err := (&Client{URL: s.URL, HTTP: s.Client()}).Exchange(t.Context(), request); err == nil || asked {
		t.Errorf("got %v, asked the other server: %v", err, asked)
	}
}

func TestClientSendsNothingInTheClear(t *testing.T) {
	for _, url := range []string{"http://broker.example.com/token", "http://10.0.0.1/token", "broker.example.com", "", "ftp://x/", "https://user@x/", "https://x/#f"} {
		if _, err := (&Client{URL: url}).Exchange(t.Context(), request); err == nil || !strings.Contains(err.Error(), "https") {
			t.Errorf("%q: got %v, want to be told of https", url, err)
		}
	}
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, goodAnswer)
	}))
	defer plain.Close()
	if _, err := (&Client{URL: plain.URL, HTTP: plain.Client()}).Exchange(t.Context(), request); err != nil {
		t.Errorf("http on loopback: %v", err)
	}
}

func TestClientStopsWithItsContext(t *testing.T) {
	held := make(chan struct{})
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-held }))
	defer s.Close()
	defer close(held)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&Client{URL: s.URL, HTTP: s.Client()}).Exchange(ctx, request); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context canceled", err)
	}
}

// An empty audience or scope in a form is none, which asks for all that there is: such a request is not sent.
func TestClientNeverAsksForMoreThanWasMeant(t *testing.T) {
	asked := false
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer s.Close()
	c := &Client{URL: s.URL, HTTP: s.Client()}
	for code, r := range map[string]*Request{
		InvalidTarget:  {SubjectToken: "a.b.c", Audience: []string{""}},
		InvalidScope:   {SubjectToken: "a.b.c", Scope: []string{""}},
		InvalidRequest: {},
	} {
		_, err := c.Exchange(t.Context(), r)
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Code != code || asked {
			t.Errorf("%+v: got %v, want %s", r, err, code)
		}
	}
	_, err := c.Exchange(t.Context(), &Request{SubjectToken: "a.b.c", Resource: []string{"https://api.example.com", ""}})
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Code != InvalidTarget || asked {
		t.Errorf("an empty resource: got %v, want %s", err, InvalidTarget)
	}
}
