package ctbtest

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/internal/devidp"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// IdPConfig describes an identity provider. The zero value has the one client
// [ClientID] and the one user [Subject].
type IdPConfig struct {
	Clients   []Client
	Users     []User
	Algorithm string           // of its keys; empty means ES256, which is quick to make
	Now       func() time.Time // nil means time.Now
}

// Client is a public client (one without a secret) of an identity provider.
type Client struct {
	ID           string
	RedirectURIs []string // compared exactly, but for the port of a loopback address
}

// User is a user of an identity provider.
type User struct {
	Name          string // what login_hint calls the user
	Subject       string // "sub"; empty means Name
	Email         string // "email", left out if empty
	EmailVerified bool   // "email_verified"
	Claims        Claims // further claims of the user's id tokens
}

// IdP is a running OpenID Connect identity provider: discovery, keys, and the
// authorization code flow with PKCE over HTTPS on a loopback address.
type IdP struct {
	// URL is its address and the "iss" of its id tokens.
	URL string

	tb       testing.TB
	server   *httptest.Server
	provider *devidp.Provider
	client   string // the first one's ID
	user     string // the first one's name
}

// redirectURI is where the login flow ends. Nothing listens there.
const redirectURI = "http://127.0.0.1/callback"

// NewIdP starts an identity provider. A nil config is the zero one.
func NewIdP(tb testing.TB, c *IdPConfig) *IdP {
	tb.Helper()
	if c == nil {
		c = new(IdPConfig)
	}
	conf := devidp.Config{Algorithm: c.Algorithm, Now: c.Now}
	if conf.Algorithm == "" {
		conf.Algorithm = jose.ES256
	}
	for _, client := range c.Clients {
		conf.Clients = append(conf.Clients, devidp.Client(client))
	}
	for _, user := range c.Users {
		conf.Users = append(conf.Users, devidp.User(user))
	}
	if len(conf.Clients) == 0 {
		conf.Clients = []devidp.Client{{ID: ClientID, RedirectURIs: []string{redirectURI}}}
	}
	if len(conf.Users) == 0 {
		conf.Users = []devidp.User{{Name: Subject, Email: Subject + "@example.com", EmailVerified: true}}
	}
	i := &IdP{tb: tb, client: conf.Clients[0].ID, user: conf.Users[0].Name}
	i.server = startTLS(tb, func(url string) http.Handler {
		i.URL, conf.Issuer = url, url
		provider, err := devidp.New(conf)
		if err != nil {
			tb.Fatalf("ctbtest: %v", err)
		}
		i.provider = provider
		return provider
	})
	return i
}

// startTLS serves a handler that has to know its own URL.
func startTLS(tb testing.TB, handler func(url string) http.Handler) *httptest.Server {
	tb.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.Config.Handler = handler("https://" + server.Listener.Addr().String())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // clients that give up are no news to a test
	server.StartTLS()
	tb.Cleanup(func() {
		server.CloseClientConnections() // a client that was kept waiting keeps no test waiting
		server.Close()
	})
	return server
}

// Client returns an HTTP client that trusts the provider's certificate, and no other.
func (i *IdP) Client() *http.Client { return i.server.Client() }

// Token returns an id token of the first user for the first client, with changes.
func (i *IdP) Token(changes Claims) string {
	i.tb.Helper()
	token, err := i.provider.IDToken(i.user, i.client, changes)
	if err != nil {
		i.tb.Fatalf("ctbtest: %v", err)
	}
	return token
}

// TokenFor returns an id token of a user, by name, for the first client.
func (i *IdP) TokenFor(user string) string {
	i.tb.Helper()
	token, err := i.provider.IDToken(user, i.client, nil)
	if err != nil {
		i.tb.Fatalf("ctbtest: %v", err)
	}
	return token
}

// Sign signs a header and a payload as they are, with the provider's present
// key, to make tokens that must be refused.
func (i *IdP) Sign(header, payload string) string {
	i.tb.Helper()
	token, err := i.provider.Sign([]byte(header), []byte(payload))
	if err != nil {
		i.tb.Fatalf("ctbtest: %v", err)
	}
	return token
}

// Header returns the JOSE header of the provider's id tokens, as a start for Sign.
func (i *IdP) Header() string { return string(i.provider.Key().Header("JWT")) }

// Login logs the user in by the authorization code flow with PKCE, as an
// application would, and returns the id token. Nobody clicks: the request says
// prompt=none and login_hint (OpenID Connect Core 1.0 section 3.1.2.1).
func (i *IdP) Login(user string) string {
	i.tb.Helper()
	verifier, state, nonce := rand.Text()+rand.Text(), rand.Text(), rand.Text()
	code := i.authorize(url.Values{
		"response_type": {"code"}, "client_id": {i.client}, "redirect_uri": {redirectURI},
		"scope": {"openid profile email"}, "state": {state}, "nonce": {nonce},
		"code_challenge": {devidp.Challenge(verifier)}, "code_challenge_method": {"S256"},
		"prompt": {"none"}, "login_hint": {user},
	})
	res, err := i.Client().PostForm(i.provider.URL(devidp.TokenPath), url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "client_id": {i.client},
		"redirect_uri": {redirectURI}, "code_verifier": {verifier},
	})
	if err != nil {
		i.tb.Fatalf("ctbtest: login: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	var answer struct {
		IDToken string `json:"id_token"`
	}
	if err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		i.tb.Fatalf("ctbtest: login: the token endpoint answers %s: %s (%v)", res.Status, body, err)
	}
	return answer.IDToken
}

// authorize asks for a code, and judges the redirect that brings it.
func (i *IdP) authorize(q url.Values) string {
	i.tb.Helper()
	client := *i.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Get(i.provider.URL(devidp.AuthorizePath) + "?" + q.Encode())
	if err != nil {
		i.tb.Fatalf("ctbtest: login: %v", err)
	}
	res.Body.Close()
	to, err := res.Location()
	if err != nil {
		i.tb.Fatalf("ctbtest: login: the authorization endpoint answers %s, want a redirect", res.Status)
	}
	answer := to.Query()
	if answer.Get("error") != "" || answer.Get("state") != q.Get("state") || answer.Get("iss") != i.URL {
		i.tb.Fatalf("ctbtest: login: the authorization endpoint answers %v", answer)
	}
	return answer.Get("code")
}

// RotateKey makes the provider sign with a fresh key from now on. The old one
// stays published.
func (i *IdP) RotateKey() {
	i.tb.Helper()
	if _, err := i.provider.RotateKey(); err != nil {
		i.tb.Fatalf("ctbtest: %v", err)
	}
}

// SetJWKS publishes these bytes in place of the keys, whatever they are; nil
// publishes the keys again.
func (i *IdP) SetJWKS(raw []byte) { i.provider.SetJWKS(raw) }

// JWKS returns what the provider publishes.
func (i *IdP) JWKS() []byte {
	i.tb.Helper()
	set, err := i.provider.JWKS()
	if err != nil {
		i.tb.Fatalf("ctbtest: %v", err)
	}
	return set
}
