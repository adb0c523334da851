package devidp

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/internal/jose"
)

var verifier = strings.Repeat("v", 43)

// server is a provider behind a real socket, with a clock.
type server struct {
	*Provider
	*http.Client
	now time.Time
}

func newServer(t *testing.T, c Config) *server {
	t.Helper()
	s := &server{now: time.Unix(1_700_000_000, 0)}
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.ServeHTTP(w, r) }))
	c.Issuer = "http://" + ts.Listener.Addr().String() + c.Issuer
	c.Now = func() time.Time { return s.now }
	if c.Algorithm == "" {
		c.Algorithm = jose.ES256
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	s.Provider = p
	ts.Start()
	t.Cleanup(ts.Close)
	jar, _ := cookiejar.New(nil)
	s.Client = &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

// authorize is a good authorization request, with changes; an empty value takes a parameter away.
func (s *server) authorize(changes url.Values) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {"dev-client"}, "redirect_uri": {"http://127.0.0.1:4711/callback"},
		"scope": {"openid email"}, "state": {"s1"}, "nonce": {"n1"}, "prompt": {"none"}, "login_hint": {"alice"},
		"code_challenge": {Challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	edit(q, changes)
	return s.URL(AuthorizePath) + "?" + q.Encode()
}

func edit(q, changes url.Values) {
	maps.Copy(q, changes)
	maps.DeleteFunc(q, func(_ string, v []string) bool { return len(v) == 1 && v[0] == "" })
}

// location sends a request and returns where it is redirected to.
func (s *server) location(t *testing.T, res *http.Response, err error) url.Values {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	u, err := res.Location()
	if err != nil {
		body, _ := io.ReadAll(res.Body)
		t.Fatalf("got status %d, want a redirect: %s", res.StatusCode, body)
	}
	if got, want := u.Host+u.Path, "127.0.0.1:4711/callback"; got != want {
		t.Errorf("redirected to %s, want %s", got, want)
	}
	return u.Query()
}

func (s *server) code(t *testing.T) string {
	t.Helper()
	res, err := s.Get(s.authorize(nil))
	q := s.location(t, res, err)
	if q.Get("code") == "" {
		t.Fatalf("got %v, want a code", q)
	}
	return q.Get("code")
}

// redeem sends a good token request for the code, with changes.
func (s *server) redeem(t *testing.T, code string, changes url.Values) (int, map[string]any) {
	t.Helper()
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "client_id": {"dev-client"},
		"redirect_uri": {"http://127.0.0.1:4711/callback"}, "code_verifier": {verifier},
	}
	edit(form, changes)
	res, err := s.PostForm(s.URL(TokenPath), form)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: got %q, want no-store", got)
	}
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer
}

// verify checks an id token with the published keys, and returns its claims.
func (s *server) verify(t *testing.T, token string) map[string]any {
	t.Helper()
	res, err := s.Get(s.URL(JWKSPath))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	set, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jose.ParseSet(set)
	if err != nil {
		t.Fatal(err)
	}
	m, err := jose.Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(keys, func(k jose.JWK) bool { return k.KeyID == m.Header.KeyID })
	if i < 0 {
		t.Fatalf("kid %q is not published in %s", m.Header.KeyID, set)
	}
	if err := m.Verify(keys[i].Algorithm, keys[i].Key); err != nil {
		t.Fatal(err)
	}
	if m.Header.Type != "JWT" {
		t.Errorf("typ: got %q, want JWT", m.Header.Type)
	}
	var claims map[string]any
	if err := json.Unmarshal(m.Payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestIssuerWithPath: the endpoints lie below the issuer, with or without a slash at its end.
func TestIssuerWithPath(t *testing.T) {
	for _, path := range []string{"", "/", "/tenant", "/tenant/"} {
		s := newServer(t, Config{Issuer: path})
		res, err := s.Get(strings.TrimSuffix(s.Issuer(), "/") + DiscoveryPath)
		if err != nil {
			t.Fatal(err)
		}
		var m metadata
		err = json.NewDecoder(res.Body).Decode(&m)
		res.Body.Close()
		if err != nil || m.Issuer != s.Issuer() || m.JWKSURI != s.URL(JWKSPath) {
			t.Errorf("issuer %q: got %+v, %v", path, m, err)
		}
		s.verify(t, mint(t, s.Provider))
	}
}

func mint(t *testing.T, p *Provider) string {
	t.Helper()
	token, err := p.IDToken("alice", "dev-client", nil)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestIDTokenChanges(t *testing.T) {
	s := newServer(t, Config{Lifetime: time.Minute})
	token, err := s.IDToken("alice", "app", Claims{"aud": []string{"app", "b"}, "azp": "app", "email": nil, "exp": "soon"})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(s.verify(t, token))
	want := `{"aud":["app","b"],"auth_time":1700000000,"azp":"app","email_verified":true,"exp":"soon","iat":1700000000,"iss":"` + s.Issuer() + `","sub":"alice"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := s.IDToken("mallory", "app", nil); err == nil {
		t.Error("got a token for an unknown user")
	}
}

func TestRotation(t *testing.T) {
	s := newServer(t, Config{})
	old := mint(t, s.Provider)
	oldKey := s.Key()
	newKey, err := s.RotateKey()
	if err != nil {
		t.Fatal(err)
	}
	if newKey.ID == oldKey.ID {
		t.Fatal("the key is the same after a rotation")
	}
	s.verify(t, old)
	s.verify(t, mint(t, s.Provider))

	s.RemoveKey(oldKey.ID)
	if set, _ := s.JWKS(); strings.Contains(string(set), oldKey.ID) {
		t.Errorf("the removed key is still in %s", set)
	}
	s.SetJWKS([]byte("garbage"))
	if set, _ := s.JWKS(); string(set) != "garbage" {
		t.Errorf("got %q, want what was set", set)
	}
	s.SetJWKS(nil)
	s.verify(t, mint(t, s.Provider))
}

// TestSignAnything: bytes go into the token as they are.
func TestSignAnything(t *testing.T) {
	s := newServer(t, Config{})
	token, err := s.Sign([]byte(`{"alg":"none"}`), []byte("not JSON"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "eyJhbGciOiJub25lIn0.bm90IEpTT04."; !strings.HasPrefix(token, want) {
		t.Errorf("got %s, want it to begin with %s", token, want)
	}
	bad := &Key{Algorithm: "HS256", Private: s.Key().Private}
	if _, err := bad.Sign(nil, nil); err != nil {
		t.Errorf("an ECDSA key named HS256 still signs by its hash: %v", err)
	}
	for _, algorithm := range []string{"", "none", "RS999"} {
		if _, err := (&Key{Algorithm: algorithm, Private: s.Key().Private}).Sign(nil, nil); err == nil {
			t.Errorf("algorithm %q: got a signature, want an error", algorithm)
		}
	}
}

func TestFaults(t *testing.T) {
	s := newServer(t, Config{})
	get := func() (*http.Response, string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // for a hang; it does not decide
		defer cancel()
		req, _ := http.NewRequestWithContext(ctx, "GET", s.URL(JWKSPath), nil)
		res, err := s.Do(req)
		if err != nil {
			return nil, "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return res, string(body), err
	}
	for _, tt := range []struct {
		name  string
		fault http.Handler
		good  func(res *http.Response, body string, err error) bool
	}{
		{"down", Down(), func(res *http.Response, _ string, err error) bool { return err == nil && res.StatusCode == 503 }},
		{"gone", Gone(), func(res *http.Response, _ string, err error) bool { return err != nil }},
		{"slow", Slow(time.Millisecond), func(res *http.Response, _ string, err error) bool { return err == nil && res.StatusCode == 503 }},
		{"huge", Huge(10 << 20), func(res *http.Response, body string, err error) bool { return err == nil && len(body) > 10<<20 }},
		{"html", HTML(), func(res *http.Response, body string, err error) bool {
			return err == nil && strings.HasPrefix(res.Header.Get("Content-Type"), "text/html")
		}},
		{"empty", EmptySet(), func(res *http.Response, body string, err error) bool { return err == nil && body == `{"keys":[]}` }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.Break(tt.fault, JWKSPath)
			if res, body, err := get(); !tt.good(res, body, err) {
				t.Errorf("got %v, %.80q, %v", res, body, err)
			}
			s.Repair()
			if res, _, err := get(); err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("after repair: got %v, %v", res, err)
			}
		})
	}
	if got := s.Hits(JWKSPath); got < 12 { // a client may repeat a request whose connection closed
		t.Errorf("hits: got %d, want at least 12", got)
	}
	s.Break(Down())
	if res, err := s.Get(s.URL(DiscoveryPath)); err != nil || res.StatusCode != 503 {
		t.Errorf("everything broken: got %v, %v", res, err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]Config{
		"no issuer":           {},
		"relative issuer":     {Issuer: "/idp"},
		"issuer with a query": {Issuer: "https://idp.example/?a=b"},
		"unknown algorithm":   {Issuer: "https://idp.example", Algorithm: "HS256"},
		"nameless user":       {Issuer: "https://idp.example", Algorithm: "ES256", Users: []User{{Email: "a@b"}}},
		"nameless client":     {Issuer: "https://idp.example", Algorithm: "ES256", Clients: []Client{{}}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: got a provider, want an error", name)
		}
	}
}
