// Package devidp is an OpenID Connect identity provider for development and
// tests: discovery, keys, the authorization code flow with PKCE, and id tokens
// of any shape. The demo and package ctbtest stand on it.
//
// It speaks the protocol in earnest (OpenID Connect Core 1.0 section 3.1, RFC
// 6749, RFC 7636, RFC 9207), so that clients written against it work against
// others. But it authenticates nobody: whoever reaches it may name a user and
// is that user. Nothing that matters may trust it.
//
// Deliberately absent: passwords, client secrets, refresh tokens, consent, the
// UserInfo endpoint, any flow but the code flow, and PKCE's "plain" method.
package devidp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config describes a provider. Only Issuer is required.
type Config struct {
	Issuer    string           // the URL at which the handler is reached, as tokens' "iss"
	Clients   []Client         // nil means one client, [DefaultClient]
	Users     []User           // nil means one user, [DefaultUser]
	Algorithm string           // of the first key; empty means RS256
	Lifetime  time.Duration    // of id tokens; zero means one hour
	Now       func() time.Time // nil means time.Now
}

// Client is a public client: it has no secret.
type Client struct {
	ID string
	// RedirectURIs are compared exactly, but for the port of a loopback
	// address, which may be any (RFC 8252 section 7.3).
	RedirectURIs []string
}

// User is somebody who can log in.
type User struct {
	Name          string // what the login page and login_hint call the user
	Subject       string // "sub"; empty means Name
	Email         string // "email", left out if empty
	EmailVerified bool   // "email_verified"
	Claims        Claims // further claims of the user's id tokens
}

// Claims is a claims set, or changes to one: a nil value takes a claim away.
type Claims = map[string]any

// What a Config without clients or users has.
var (
	DefaultClient = Client{ID: "dev-client", RedirectURIs: []string{"http://127.0.0.1/callback", "http://[::1]/callback"}}
	DefaultUser   = User{Name: "alice", Email: "alice@example.com", EmailVerified: true}
)

// Where the endpoints are, below the issuer.
const (
	DiscoveryPath = "/.well-known/openid-configuration"
	JWKSPath      = "/jwks.json"
	AuthorizePath = "/authorize"
	TokenPath     = "/token"
)

// Provider is the identity provider, an http.Handler. It is safe for concurrent use.
type Provider struct {
	issuer   string
	base     string // the issuer's path, without a slash at its end
	clients  []Client
	users    []User
	lifetime time.Duration
	now      func() time.Time
	mux      *http.ServeMux

	mu     sync.Mutex
	ring   ring
	codes  codes
	broken map[string]http.Handler // by path below the issuer; "" is every path
	hits   map[string]int          // likewise
}

// New makes a provider with a fresh key.
func New(c Config) (*Provider, error) {
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Scheme == "" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("issuer: got %q, want an absolute URL without query and fragment", c.Issuer)
	}
	if c.Clients == nil {
		c.Clients = []Client{DefaultClient}
	}
	if c.Users == nil {
		c.Users = []User{DefaultUser}
	}
	if c.Algorithm == "" {
		c.Algorithm = "RS256"
	}
	if c.Lifetime == 0 {
		c.Lifetime = time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	key, err := NewKey(c.Algorithm)
	if err != nil {
		return nil, err
	}
	p := &Provider{
		issuer:   c.Issuer,
		base:     strings.TrimSuffix(u.Path, "/"),
		clients:  slices.Clone(c.Clients),
		users:    slices.Clone(c.Users),
		lifetime: c.Lifetime,
		now:      c.Now,
		mux:      http.NewServeMux(),
		ring:     ring{signing: key, published: []*Key{key}},
		broken:   make(map[string]http.Handler),
		hits:     make(map[string]int),
	}
	if err := p.checkNames(); err != nil {
		return nil, err
	}
	p.mux.HandleFunc("GET "+DiscoveryPath, p.serveDiscovery)
	p.mux.HandleFunc("GET "+JWKSPath, p.serveJWKS)
	p.mux.HandleFunc("GET "+AuthorizePath, p.serveAuthorize)
	p.mux.HandleFunc("POST "+AuthorizePath, p.serveAuthorize)
	p.mux.HandleFunc("POST "+TokenPath, p.serveToken)
	return p, nil
}

// checkNames refuses clients and users that could never be reached.
func (p *Provider) checkNames() error {
	for i, c := range p.clients {
		if c.ID == "" {
			return fmt.Errorf("clients[%d]: has no ID", i)
		}
	}
	for i := range p.users {
		if p.users[i].Name == "" {
			return fmt.Errorf("users[%d]: has no name", i)
		}
		if p.users[i].Subject == "" {
			p.users[i].Subject = p.users[i].Name
		}
	}
	return nil
}

// Issuer returns the provider's URL.
func (p *Provider) Issuer() string { return p.issuer }

// URL returns the address of an endpoint, such as JWKSPath.
func (p *Provider) URL(path string) string { return strings.TrimSuffix(p.issuer, "/") + path }

// ServeHTTP implements http.Handler.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, p.base)
	if !ok {
		http.NotFound(w, r)
		return
	}
	p.mu.Lock()
	if len(p.hits) < 100 || p.hits[path] > 0 { // somebody else's paths don't fill the memory
		p.hits[path]++
	}
	h := p.broken[path]
	if h == nil {
		h = p.broken[""]
	}
	p.mu.Unlock()
	if h == nil {
		h = http.StripPrefix(p.base, p.mux)
	}
	h.ServeHTTP(w, r)
}

// user finds a user by name.
func (p *Provider) user(name string) (*User, error) {
	for i := range p.users {
		if p.users[i].Name == name {
			return &p.users[i], nil
		}
	}
	return nil, fmt.Errorf("no user is called %q", name)
}

// client finds a client by its ID.
func (p *Provider) client(id string) (*Client, error) {
	for i := range p.clients {
		if p.clients[i].ID == id {
			return &p.clients[i], nil
		}
	}
	return nil, errors.New("client_id: no such client")
}
