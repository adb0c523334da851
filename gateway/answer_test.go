package gateway_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

// TestAnswers holds every reason in both profiles: status, challenge, Retry-After, and the notary's body.
func TestAnswers(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	strict := decider(t, iss, nil)
	notary := decider(t, iss, func(c *gateway.Config) { c.Profile = gateway.Notary })
	scope := ctb.Scope("read write")
	two := ctb.Requirement{Name: "scope", Values: []any{"read", "write"}, Type: ctb.ScopeList}
	role := ctb.Claim("role", "x")
	const (
		unauthorized = "Unauthorized request from prover: "
		badToken     = unauthorized + "Invalid JWT token"
		badHeader    = unauthorized + "Invalid Authorization header: expected 'Bearer <token>'"
		apiKey       = `ApiKey realm="gateway"`
		invalid      = `Bearer error="invalid_token"`
		insufficient = `Bearer error="insufficient_scope"`
	)
	type refusal = access.Refusal
	for _, tt := range []struct {
		refusal          refusal
		status           int
		challenge, retry string
		notaryStatus     int
		body             string
	}{
		{refusal{Reason: access.MissingCredential, Mode: access.JWT}, 401, "Bearer", "", 401, unauthorized + "Missing JWT token"},
		{refusal{Reason: access.MissingCredential, Mode: access.APIKey}, 401, apiKey, "", 401, unauthorized + "Missing API key"},
		{refusal{Reason: access.UnknownAPIKey, Mode: access.APIKey}, 401, apiKey, "", 401, unauthorized + "Invalid API key"},
		{refusal{Reason: access.SeveralCredentials, Mode: access.APIKey}, 400, apiKey, "", 401, unauthorized + "Invalid API key"},
		{refusal{Reason: access.Denied, Mode: access.APIKey}, 403, "", "", 401, unauthorized + "Invalid API key"},
		{refusal{Reason: access.NoRule, Mode: access.APIKey}, 403, "", "", 401, unauthorized + "Invalid API key"},
		{refusal{Reason: access.MalformedCredential, Mode: access.JWT}, 400, "Bearer", "", 401, badHeader},
		{refusal{Reason: access.SeveralCredentials, Mode: access.JWT}, 400, "Bearer", "", 401, badHeader},
		{refusal{Reason: access.InvalidToken, Mode: access.JWT, Fault: ctb.Expired}, 401, invalid, "", 401, badToken},
		{refusal{Reason: access.MissingClaim, Mode: access.JWT, Requirement: &role}, 403, insufficient, "", 401, badToken},
		{refusal{Reason: access.UnexpectedType, Mode: access.JWT, Requirement: &role}, 403, insufficient, "", 401, badToken},
		{refusal{Reason: access.UnexpectedValue, Mode: access.JWT, Requirement: &two}, 403, insufficient + `, scope="read write"`, "", 401, badToken},
		{refusal{Reason: access.UnexpectedValue, Mode: access.JWT, Requirement: &scope}, 403, insufficient, "", 401, badToken}, // "read write" is not one scope
		{refusal{Reason: access.Denied, Mode: access.JWT}, 403, "", "", 401, badToken},
		{refusal{Reason: access.NoRule, Mode: access.JWT}, 403, insufficient, "", 401, badToken},
		{refusal{Reason: access.NoRoute, Public: "p"}, 403, "", "", 403, "p"},
		{refusal{Reason: access.KeysUnavailable, Mode: access.JWT, Public: "p"}, 503, "", "5", 503, "p"},
		{refusal{Reason: access.KeysUnavailable, RetryAfter: 1500 * time.Millisecond}, 503, "", "5", 503, "Service Unavailable"},
		{refusal{Reason: access.RateLimited, RetryAfter: 1500 * time.Millisecond, Public: "p"}, 429, "", "2", 429, "p"},
		{refusal{Reason: access.TooManyAtOnce, Public: "p"}, 429, "", "1", 429, "p"},
		{refusal{Reason: access.TooManySessions, RetryAfter: 5 * time.Second, Public: "p"}, 429, "", "5", 429, "p"},
		{refusal{Reason: access.Busy, RetryAfter: 5 * time.Second, Public: "p"}, 503, "", "5", 503, ""},
		{refusal{Reason: access.UnknownSession, Public: "Session id x does not exist"}, 400, "", "", 400, "Invalid request from prover: Session id x does not exist"},
		{refusal{Reason: access.OtherIdentity, Public: "p"}, 400, "", "", 400, "Invalid request from prover: p"},
		{refusal{Reason: access.BadSessionQuery, Public: "p"}, 400, "", "", 400, "Invalid request from prover: p"},
		{refusal{Reason: access.BadRequest, Public: "p"}, 400, "", "", 400, "p"},
		{refusal{Reason: access.BadMethod, Public: "p"}, 405, "", "", 405, "p"},
		{refusal{Reason: "of a later day"}, 403, "", "", 403, "Forbidden"},
	} {
		tt.refusal.Err = errors.New("10.1.2.3: of the inside")
		r := httptest.NewRequest("GET", "/", nil)
		status, h, body := strict.Answer(r, &tt.refusal)
		if status != tt.status || h.Get("WWW-Authenticate") != tt.challenge || h.Get("Retry-After") != tt.retry {
			t.Errorf("strict, %s: got %d, %q, retry %q, want %d, %q, %q", tt.refusal.Reason, status, h.Get("WWW-Authenticate"), h.Get("Retry-After"), tt.status, tt.challenge, tt.retry)
		}
		var problem struct {
			Type, Title, Detail, Error string
			Status                     int
			Description                string `json:"error_description"`
		}
		if err := json.Unmarshal(body, &problem); err != nil || h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("strict, %s: got %q, %v", tt.refusal.Reason, body, err)
		}
		if problem.Type != "about:blank" || problem.Title != http.StatusText(status) || problem.Status != status || problem.Error == "" ||
			problem.Detail == "" || problem.Detail != problem.Description {
			t.Errorf("strict, %s: got %s", tt.refusal.Reason, body)
		}

		status, h, body = notary.Answer(r, &tt.refusal)
		if status != tt.notaryStatus || string(body) != tt.body || h.Get("Retry-After") != tt.retry || h.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("notary, %s: got %d %q, retry %q, %q, want %d %q", tt.refusal.Reason, status, body, h.Get("Retry-After"), h.Get("Content-Type"), tt.notaryStatus, tt.body)
		}
		if (h.Get("WWW-Authenticate") != "") != (status == 401) {
			t.Errorf("notary, %s: got the challenge %q with %d", tt.refusal.Reason, h.Get("WWW-Authenticate"), status)
		}
		if h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Expose-Headers") != "*" {
			t.Errorf("notary, %s: got no CORS headers", tt.refusal.Reason)
		}
		if h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: may be cached", tt.refusal.Reason)
		}
	}
}

// TestOtherSchemes: who comes with another scheme is told ours (401); who makes a mistake is told that (400).
func TestOtherSchemes(t *testing.T) {
	g := decider(t, ctbtest.NewIssuer(t), nil)
	for _, tt := range []struct {
		authorization []string
		reason        access.Reason
		want          int
	}{
		{[]string{"Basic dTpw"}, access.MalformedCredential, 401},
		{[]string{"Basic dTpw"}, access.SeveralCredentials, 400}, // two tokens elsewhere
		{[]string{"Basic dTpw", "Basic dTpw"}, access.MalformedCredential, 400},
		{[]string{"bearer "}, access.MalformedCredential, 400},
		{nil, access.MalformedCredential, 400}, // a token elsewhere
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Authorization"] = tt.authorization
		if status, _, _ := g.Answer(r, &access.Refusal{Reason: tt.reason, Mode: access.JWT}); status != tt.want {
			t.Errorf("%q, %s: got %d, want %d", tt.authorization, tt.reason, status, tt.want)
		}
	}
}

// TestNotaryRefusals asks over HTTP what the notary server was asked.
func TestNotaryRefusals(t *testing.T) {
	g := newRig(t, setup{requirements: []ctb.Requirement{ctb.Claim("sub", "alice")}, change: func(c *gateway.Config) { c.Profile = gateway.Notary }})
	for _, tt := range []struct{ what, header, body string }{
		{"nothing", "", "Missing JWT token"},
		{"another scheme", "Basic dTpw", "Invalid Authorization header: expected 'Bearer <token>'"},
		{"no token", "Bearer", "Invalid Authorization header: expected 'Bearer <token>'"},
		{"no JWT", "Bearer x", "Invalid JWT token"},
		{"another sub", "Bearer " + g.issuer.Token(ctbtest.Claims{"sub": "mallory"}), "Invalid JWT token"},
	} {
		header := http.Header{}
		if tt.header != "" {
			header.Set("Authorization", tt.header)
		}
		res, body := g.do("GET", "/info", "", nil, header)
		if want := "Unauthorized request from prover: " + tt.body; res.StatusCode != 401 || body != want {
			t.Errorf("%s: got %d %q, want 401 %q", tt.what, res.StatusCode, body, want)
		}
	}
	if res, body := g.do("GET", "/info", g.issuer.Token(ctbtest.Claims{"sub": "alice"}), nil, nil); res.StatusCode != 200 {
		t.Errorf("got %d %q, want 200", res.StatusCode, body)
	}
	g.upstream.Close()
	if res, body := g.do("GET", "/info", g.issuer.Token(ctbtest.Claims{"sub": "alice"}), nil, nil); res.StatusCode != 502 || res.Header.Get("Access-Control-Allow-Origin") != "*" || body == "" {
		t.Errorf("the upstream is down: got %d %q, want 502 that a script may read", res.StatusCode, body)
	}
}
