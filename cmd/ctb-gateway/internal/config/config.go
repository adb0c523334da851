// Package config is what an administrator tells ctb-gateway: a file in the
// language of the TLSNotary notary server, of any of its generations, and
// variables of the environment.
//
// It owns which keys there are, what they mean and which values make sense, and
// says in words what would be enforced. It opens no file but the
// configuration itself: keys, whitelists and certificates are for who uses them.
package config

import (
	"log/slog"
	"net/netip"
	"net/url"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/cmd/internal/configfile"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/credential"
	"github.com/confidential-token-broker/ctb/gateway/limit"
	"github.com/confidential-token-broker/ctb/gateway/session"
)

// Config is a configuration that was read and found good, with every default
// filled in. All paths of files are absolute or relative to the working directory.
type Config struct {
	Path string // of the file; empty if there is the environment alone

	Listen   string    // address and port
	TLS      *TLS      // nil: plain HTTP
	Upstream *Upstream // nil: decisions for other proxies alone

	Profile       gateway.Profile
	ProfileReason string // why it is this one, in words

	ForwardToken   bool
	TrustedProxies []netip.Prefix
	CORS           *gateway.CORS   // nil: none but what the profile says
	Sessions       *session.Config // nil: off
	Connections    int             // of clients, at once
	PerIdentity    *limit.Config   // nil: no limits
	Timeouts       Timeouts

	Authorize, ExtAuthz, Admin string // addresses of the other listeners; empty: none

	LogLevel slog.Level

	Enabled      bool       // false: everything is let through
	Unsaid       bool       // it is so for want of a word about it
	Combine      bool       // tokens and API keys, either of which is enough
	Whitelist    *Whitelist // nil: no API keys
	Issuers      []Issuer   // none: no tokens
	TokenFrom    []credential.Place
	Requirements []ctb.Requirement // of every token: scopes, then claims
	Deny         []ctb.Requirement
	Routes       []gateway.Route // those of `open` come first
	ClaimHeaders []gateway.ClaimHeader

	Variables   []string // of the environment that were used, each with its key: "NS_PORT (port)"
	ForUpstream []string // keys that were accepted, and are the upstream's business
	sessionKeys []string // those of them that would bound sessions, which are off
	Warnings    []string // what is allowed but better not so

	file *configfile.File
}

// TLS names the files (PEM) of the gateway's own certificate.
type TLS struct{ Certificate, Key string }

// Upstream is where requests go that are let through.
type Upstream struct {
	URL *url.URL
	// CAs are certificates (PEM) that its server must be known by; empty: the public ones.
	CAs string
	// Certificate and Key (PEM) are what the gateway shows it; empty: nothing.
	Certificate, Key string
	ServerName       string // that its certificate must have; empty: the URL's host
}

// Timeouts bound what an upstream may take.
type Timeouts struct {
	Connect time.Duration // until it accepts a connection
	Answer  time.Duration // until its answer begins
	Idle    time.Duration // of an upgraded connection on which nothing moves
}

// Whitelist is a file of API keys.
type Whitelist struct {
	Path   string
	Header string // where a key stands
	Key    string // of the configuration, that names the file: for [Config.Fault]
}

// Issuer is one issuer whose tokens are good. One of PublicKeyPEM, JWKSURL, JWKSFile and Broker says by which keys.
type Issuer struct {
	Name       string   // the exact "iss"; empty: any
	Audience   string   // in "aud"; empty: any
	Type       string   // [ctb.AccessToken] or [ctb.IDToken]
	Algorithms []string // that are accepted; none: each key's own

	PublicKeyPEM string // a file
	JWKSURL      string
	JWKSFile     string
	Broker       *Broker
	CAs          string // certificates (PEM) that the server of JWKSURL or Broker must be known by; empty: the public ones

	Key string // of the configuration, that holds it: "authorization.jwt" or "authorization.jwt.issuers[1]", for [Config.Fault]
}

// Broker is an attested token broker.
type Broker struct {
	URL        string
	Policy     string // a file
	Collateral evidence.Source
	TLS        string // AttestedTLS, PublicTLS or PlainHTTP; with Issuer.CAs it is CustomTLS
}

// How the server at a broker's URL is known.
const (
	AttestedTLS = "attested" // by evidence that its TLS key lives in the broker
	PublicTLS   = "public"   // by a public CA, for a broker behind somebody else's TLS
	CustomTLS   = "ca_path"  // by the certificates in Issuer.CAs
	PlainHTTP   = "loopback" // by its loopback address, without TLS
)
