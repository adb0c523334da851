package broker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/exchange"
)

func TestExchangeOverHTTPS(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	id := p.token(t, noon)
	resp, text := f.post(t, "/token", formType, form(id, "audience", "https://api.example.com/a", "scope", "read").Encode())
	if resp.StatusCode != 200 || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("got %s %v: %s", resp.Status, resp.Header, text)
	}
	var answer exchange.Response
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatal(err)
	}
	raw := answer.AccessToken
	answer.AccessToken = ""
	if want := (exchange.Response{IssuedTokenType: exchange.TypeAccessToken, TokenType: "Bearer", ExpiresIn: 3600, Scope: "read"}); answer != want {
		t.Errorf("got %+v, want %+v", answer, want)
	}
	token := f.verify(t, raw)
	header, claims := parts(t, raw)
	key := f.ring.current.Load().key
	if want := fmt.Sprintf(`{"typ":"at+jwt","alg":"ES256","kid":%q}`, key.id); header != want {
		t.Errorf("header %s, want %s", header, want)
	}
	want := fmt.Sprintf(`{"iss":"https://broker.example.com","aud":["https://api.example.com/a"],"sub":"alice","client_id":"client",`+
		`"iat":%d,"exp":%d,"jti":%q,"scope":"read","idp":"https://idp.example.com/"}`, noon.Unix(), noon.Unix()+3600, token.ID)
	if claims != want {
		t.Errorf("claims %s, want %s", claims, want)
	}

	e := f.audit.last(t)
	sum := sha256.Sum256([]byte(raw))
	if e.Outcome != Issued || e.TokenSHA256 != hex.EncodeToString(sum[:]) || e.TokenID != token.ID || e.KeyID != key.id ||
		e.Subject != "alice" || e.IDP != p.name || e.Rule != "rule-0" || e.ClientID != "client" || !e.Time.Equal(noon) ||
		!strings.HasPrefix(e.Remote, "127.0.0.1:") || e.ID != resp.Header.Get("X-Request-Id") {
		t.Errorf("recorded %+v", e)
	}
	line, _ := json.Marshal(e)
	if strings.Contains(string(line), strings.Split(raw, ".")[2]) || strings.Contains(string(line), strings.Split(id, ".")[2]) {
		t.Error("the record holds a token's signature")
	}
}

func TestExchangeGivesAllThatTheRuleGives(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, func(c *Config) { c.Simulated = true }, p)
	token := f.verify(t, f.exchangeFor(t, p))
	if len(token.Audience) != 2 || strings.Join(token.Scope, " ") != "openid read write" {
		t.Errorf("got audience %q and scope %q", token.Audience, token.Scope)
	}
	if text, _ := token.Claim("simulated"); string(text) != "true" {
		t.Error("a token of simulated hardware does not say so")
	}
	for _, simulated := range []bool{true, false} {
		f := newFixture(t, func(c *Config) { c.Simulated = simulated }, p)
		if _, page := f.get(t, "/readyz"); strings.Contains(page, `"simulated":true`) != simulated {
			t.Errorf("simulated %v: the status page says %s", simulated, page)
		}
	}
}

func TestAudienceAndResourceAreBothTargets(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	r := &exchange.Request{SubjectToken: p.token(t, noon), Resource: []string{"https://api.example.com/b"}, ClientID: "client", RequestedTokenType: exchange.TypeJWT}
	answer, err := f.Exchange(t.Context(), r)
	if err != nil || answer.IssuedTokenType != exchange.TypeJWT {
		t.Fatalf("got %+v, %v", answer, err)
	}
	_, claims := parts(t, answer.AccessToken)
	if !strings.Contains(claims, `"aud":["https://api.example.com/b"]`) {
		t.Errorf("got %s", claims)
	}
	r.Audience = []string{"https://api.example.com/other"}
	if _, err := f.Exchange(t.Context(), r); codeOf(err) != exchange.InvalidTarget {
		t.Errorf("got %v, want %s", err, exchange.InvalidTarget)
	}
}

func codeOf(err error) string {
	var refusal *exchange.Error
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return fmt.Sprint(err)
}

func TestRulesCopyClaims(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	text := strings.Replace(string(ruleFile("", p)), `"client_id"`, `"token_claims":{"role":"org.role","groups":"groups","absent":"absent"},"client_id"`, 1)
	f := newFixture(t, func(c *Config) { c.Rules = parseRules(t, []byte(text)) })
	r, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: p.token(t, noon, map[string]any{
		"org": map[string]any{"role": "admin \"x\""}, "groups": []string{"a", "b"},
	})})
	if err != nil {
		t.Fatal(err)
	}
	_, claims := parts(t, r.AccessToken)
	if !strings.HasSuffix(claims, `"idp":"https://idp.example.com/","groups":["a","b"],"role":"admin \"x\""}`) {
		t.Errorf("got %s", claims)
	}
}

// reserved claims can't come from a rule, whatever package rules lets through.
func TestMintRefusesReservedClaims(t *testing.T) {
	for _, name := range []string{"iss", "Sub", "exp", "client_id", "cnf", "act", "azp", "simulated"} {
		c := claims{json: []byte("{")}
		if c.extra(map[string][]byte{name: []byte(`"x"`)}, false); c.err == nil {
			t.Errorf("%s was written", name)
		}
	}
	c := claims{json: []byte("{")}
	if c.extra(map[string][]byte{"x": []byte(`1,"iss":2`)}, false); c.err == nil {
		t.Error("what is not JSON was written")
	}
}

func TestNoRecordNoToken(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	f.audit.broken = errors.New("disk full")
	resp, text := f.post(t, "/token", formType, form(p.token(t, noon)).Encode())
	if resp.StatusCode != 503 || !strings.Contains(text, exchange.TemporarilyUnavailable) || strings.Contains(text, "access_token") || strings.Contains(text, "disk") {
		t.Errorf("got %s %s", resp.Status, text)
	}
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if _, text := f.get(t, "/readyz"); !strings.Contains(text, "degraded") || !strings.Contains(text, "record") {
		t.Errorf("readyz: %s", text)
	}
	f.audit.broken = nil
	f.exchangeFor(t, p)
	if _, text := f.get(t, "/readyz"); !strings.Contains(text, `"ready"`) {
		t.Errorf("readyz: %s", text)
	}
}

// What is too long for checkers is not given.
func TestTokenThatNobodyWouldReadIsNotGiven(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	text := strings.Replace(string(ruleFile("", p)), `"client_id"`, `"token_claims":{"big":"big"},"client_id"`, 1)
	f := newFixture(t, func(c *Config) { c.Rules = parseRules(t, []byte(text)) })
	_, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: p.token(t, noon, map[string]any{"big": strings.Repeat("x", 11_900)})})
	if codeOf(err) != exchange.ServerError || f.audit.last(t).Outcome != Failed {
		t.Errorf("got %v, %+v", err, f.audit.last(t))
	}
}

func TestKeyThatHasServedItsTimeSignsNothing(t *testing.T) {
	p := newIDP(t, "https://idp.example.com/", "ES256")
	f := newFixture(t, nil, p)
	f.clock.add(72*time.Hour + 3*time.Minute) // without Run, there is no other
	_, err := f.Exchange(t.Context(), &exchange.Request{SubjectToken: p.token(t, f.clock.now())})
	if codeOf(err) != exchange.TemporarilyUnavailable {
		t.Errorf("got %v", err)
	}
	if resp, text := f.get(t, "/readyz"); resp.StatusCode != 503 || !strings.Contains(text, "unready") {
		t.Errorf("readyz: %s %s", resp.Status, text)
	}
}
