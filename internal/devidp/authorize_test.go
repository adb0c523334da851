package devidp

import (
	"crypto/rand"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestCodeFlow(t *testing.T) {
	for _, algorithm := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"} {
		t.Run(algorithm, func(t *testing.T) {
			s := newServer(t, Config{Algorithm: algorithm, Users: []User{
				{Name: "alice", Subject: "google-oauth2|1", Email: "alice@example.com", EmailVerified: true, Claims: Claims{"org": map[string]any{"role": "admin"}}},
			}})
			status, answer := s.redeem(t, s.code(t), nil)
			if status != http.StatusOK {
				t.Fatalf("got %d %v, want 200", status, answer)
			}
			if answer["token_type"] != "Bearer" || answer["expires_in"] != 3600.0 || answer["access_token"] == "" {
				t.Errorf("got %v, want a Bearer token for 3600 s", answer)
			}
			got, _ := json.Marshal(s.verify(t, answer["id_token"].(string)))
			want := `{"aud":"dev-client","auth_time":1700000000,"email":"alice@example.com","email_verified":true,"exp":1700003600,` +
				`"iat":1700000000,"iss":"` + s.Issuer() + `","nonce":"n1","org":{"role":"admin"},"sub":"google-oauth2|1"}`
			if string(got) != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestBrowser logs in as a person does: by the page and its form.
func TestBrowser(t *testing.T) {
	s := newServer(t, Config{Users: []User{{Name: "alice"}, {Name: `bob <b>"`}}})
	res, err := s.Get(s.authorize(url.Values{"prompt": {""}, "state": {`"><script>`}}))
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != http.StatusOK || strings.Contains(string(page), "<script>") || strings.Contains(string(page), "<b>") {
		t.Fatalf("got %d and this page, want 200 and everything escaped:\n%s", res.StatusCode, page)
	}
	action := regexp.MustCompile(`action="([^"]*)"`).FindSubmatch(page)
	if action == nil {
		t.Fatalf("the page has no form:\n%s", page)
	}
	target := html.UnescapeString(string(action[1]))

	res, err = s.PostForm(target, url.Values{"user": {"mallory"}})
	if err != nil {
		t.Fatal(err)
	}
	page, _ = io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(string(page), "no such user") {
		t.Errorf("unknown user: got %d, want 400 and the page again:\n%s", res.StatusCode, page)
	}

	res, err = s.PostForm(target, url.Values{"user": {`bob <b>"`}})
	q := s.location(t, res, err)
	if q.Get("state") != `"><script>` || q.Get("iss") != s.Issuer() {
		t.Errorf("got %v, want the state and iss=%s", q, s.Issuer())
	}
	status, answer := s.redeem(t, q.Get("code"), nil)
	if status != http.StatusOK {
		t.Fatalf("got %d %v, want 200", status, answer)
	}
	if sub := s.verify(t, answer["id_token"].(string))["sub"]; sub != `bob <b>"` {
		t.Errorf("sub: got %v", sub)
	}
}

func TestAuthorizeRefuses(t *testing.T) {
	s := newServer(t, Config{})
	for _, tt := range []struct {
		name    string
		changes url.Values
		want    string // the error that is redirected, or "" for a page that is not
	}{
		{"unknown client", url.Values{"client_id": {"mallory"}}, ""},
		{"no client", url.Values{"client_id": {""}}, ""},
		{"no redirect", url.Values{"redirect_uri": {""}}, ""},
		{"redirect elsewhere", url.Values{"redirect_uri": {"https://mallory.example/callback"}}, ""},
		{"redirect to another path", url.Values{"redirect_uri": {"http://127.0.0.1:4711/callback/../x"}}, ""},
		{"redirect with a query of its own", url.Values{"redirect_uri": {"http://127.0.0.1:4711/callback?x"}}, ""},
		{"redirect to another loopback name", url.Values{"redirect_uri": {"http://localhost:4711/callback"}}, ""},
		{"redirect with a user", url.Values{"redirect_uri": {"http://127.0.0.1:80@mallory.example/callback"}}, ""},
		{"implicit flow", url.Values{"response_type": {"id_token"}}, "unsupported_response_type"},
		{"not OpenID Connect", url.Values{"scope": {"email"}}, "invalid_scope"},
		{"no PKCE", url.Values{"code_challenge": {""}, "code_challenge_method": {""}}, "invalid_request"},
		{"PKCE plain", url.Values{"code_challenge_method": {"plain"}}, "invalid_request"},
		{"short challenge", url.Values{"code_challenge": {"abc"}}, "invalid_request"},
		{"parameter twice", url.Values{"scope": {"openid", "openid"}}, "invalid_request"},
		{"unknown user", url.Values{"login_hint": {"mallory"}}, "login_required"},
		{"prompt=none without a user", url.Values{"login_hint": {""}}, "login_required"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, err := s.Get(s.authorize(tt.changes))
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if res.StatusCode != http.StatusBadRequest || res.Header.Get("Location") != "" {
					t.Errorf("got %d to %q, want 400 and no redirect", res.StatusCode, res.Header.Get("Location"))
				}
				return
			}
			q := s.location(t, res, err)
			if q.Get("error") != tt.want || q.Get("state") != "s1" || q.Has("code") {
				t.Errorf("got %v, want error=%s, the state and no code", q, tt.want)
			}
		})
	}
}

func TestTokenRefuses(t *testing.T) {
	s := newServer(t, Config{Clients: []Client{DefaultClient, {ID: "other", RedirectURIs: DefaultClient.RedirectURIs}}})
	for _, tt := range []struct {
		name    string
		changes url.Values
		want    string
	}{
		{"another grant", url.Values{"grant_type": {"password"}}, "unsupported_grant_type"},
		{"another client", url.Values{"client_id": {"other"}}, "invalid_grant"},
		{"unknown client", url.Values{"client_id": {"mallory"}}, "invalid_client"},
		{"unknown code", url.Values{"code": {"guess"}}, "invalid_grant"},
		{"another redirect", url.Values{"redirect_uri": {"http://127.0.0.1:4712/callback"}}, "invalid_grant"},
		{"another verifier", url.Values{"code_verifier": {strings.Repeat("w", 43)}}, "invalid_grant"},
		{"no verifier", url.Values{"code_verifier": {""}}, "invalid_grant"},
		{"parameter twice", url.Values{"code": {"a", "b"}}, "invalid_request"},
		{"oversize", url.Values{"x": {strings.Repeat("x", maxForm)}}, "invalid_request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code := s.code(t)
			status, answer := s.redeem(t, code, tt.changes)
			if status < 400 || answer["error"] != tt.want {
				t.Errorf("got %d %v, want %s", status, answer, tt.want)
			}
		})
	}
	t.Run("a code is good once", func(t *testing.T) {
		code := s.code(t)
		if status, answer := s.redeem(t, code, nil); status != http.StatusOK {
			t.Fatalf("got %d %v, want 200", status, answer)
		}
		if _, answer := s.redeem(t, code, nil); answer["error"] != "invalid_grant" {
			t.Errorf("got %v, want invalid_grant", answer)
		}
	})
	t.Run("a failed try burns the code", func(t *testing.T) {
		code := s.code(t)
		s.redeem(t, code, url.Values{"code_verifier": {strings.Repeat("w", 43)}})
		if _, answer := s.redeem(t, code, nil); answer["error"] != "invalid_grant" {
			t.Errorf("got %v, want invalid_grant", answer)
		}
	})
	t.Run("a code expires", func(t *testing.T) {
		code := s.code(t)
		s.now = s.now.Add(codeLifetime)
		if _, answer := s.redeem(t, code, nil); answer["error"] != "invalid_grant" {
			t.Errorf("got %v, want invalid_grant", answer)
		}
	})
}

func TestCodesAreBounded(t *testing.T) {
	var c codes
	start := time.Unix(1_700_000_000, 0)
	for range maxCodes {
		if _, ok := c.issue(grant{login: start, expires: start.Add(codeLifetime)}); !ok {
			t.Fatal("refused a code below the bound")
		}
	}
	if _, ok := c.issue(grant{login: start, expires: start.Add(codeLifetime)}); ok {
		t.Error("issued a code above the bound")
	}
	later := start.Add(codeLifetime)
	if _, ok := c.issue(grant{login: later, expires: later.Add(codeLifetime)}); !ok || len(c.byCode) != 1 {
		t.Errorf("got %d codes, want one: expired ones make room", len(c.byCode))
	}
}

// FuzzAuthorize: no request makes the endpoints panic, or redirects elsewhere.
func FuzzAuthorize(f *testing.F) {
	p, err := New(Config{Issuer: "https://idp.example", Algorithm: "EdDSA"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("client_id=dev-client&redirect_uri=http://127.0.0.1:1/callback&response_type=code&prompt=none&login_hint=alice")
	f.Add("client_id=dev-client&redirect_uri=http://127.0.0.1:1/callback&response_type=code&scope=openid&prompt=none&login_hint=alice&state=s&code_challenge_method=S256&code_challenge=" + Challenge(verifier))
	f.Add("client_id=dev-client&redirect_uri=http://127.0.0.1:80@mallory.example/callback")
	f.Add("redirect_uri=//mallory.example&client_id=%zz;a=b")
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{Method: "GET", URL: &url.URL{Path: AuthorizePath, RawQuery: query}, Header: http.Header{}}
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if to := w.Header().Get("Location"); to != "" {
			u, err := url.Parse(to)
			if err != nil || u.Hostname() != "127.0.0.1" && u.Hostname() != "::1" || u.User != nil {
				t.Errorf("%q redirects to %q", query, to)
			}
		}
	})
}

func TestChallenge(t *testing.T) { // RFC 7636 appendix B
	if got, want := Challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if (grant{challenge: Challenge(verifier)}).proves(rand.Text()) {
		t.Error("another verifier proves the challenge")
	}
}
