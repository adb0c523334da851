package main

import (
	"net/url"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/cmd/internal/configfile"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// config is the configuration file. deploy/gateway.example.yaml explains each key.
type config struct {
	Listen        string        `yaml:"listen"`
	TLS           *tlsFiles     `yaml:"tls"`
	Upstream      string        `yaml:"upstream"`
	ForwardToken  bool          `yaml:"forward_token"`
	Authorization authorization `yaml:"authorization"`
	Limits        limits        `yaml:"limits"`

	file     *configfile.File
	upstream *url.URL // parsed
}

type tlsFiles struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

type limits struct {
	Connections int `yaml:"connections"`
}

type authorization struct {
	Enabled *bool      `yaml:"enabled"`
	JWT     *jwtConfig `yaml:"jwt"`
}

// jwtConfig says which tokens are good enough. Exactly one of the first four says whose.
type jwtConfig struct {
	PublicKeyPEM string  `yaml:"public_key_pem_path"`
	JWKSURL      string  `yaml:"jwks_url"`
	JWKSFile     string  `yaml:"jwks_path"`
	Broker       *broker `yaml:"broker"`

	CAs       string            `yaml:"ca_path"`   // with jwks_url or broker
	Algorithm string            `yaml:"algorithm"` // with public_key_pem_path
	Issuer    string            `yaml:"issuer"`
	Audience  string            `yaml:"audience"`
	Type      string            `yaml:"type"`
	Claims    []ctb.Requirement `yaml:"claims"`
	Scopes    []string          `yaml:"scopes"`
}

// broker is an attested token broker.
type broker struct {
	URL        string          `yaml:"url"`
	Policy     string          `yaml:"policy"`
	Collateral evidence.Source `yaml:"collateral"`
	TLS        string          `yaml:"tls"` // attestedTLS or publicTLS; ca_path is a third kind
}

// How the server at a broker's URL is known.
const (
	attestedTLS = "attested" // by evidence that its TLS key lives in the broker; the default
	publicTLS   = "public"   // by a public CA, for a broker behind somebody else's TLS
)

const (
	maxFile            = 1 << 20 // bytes, of every key file
	defaultListen      = "127.0.0.1:9999"
	defaultConnections = 4096
)

// loadConfig reads and checks a configuration. Errors have file, line and column.
func loadConfig(path string) (*config, error) {
	c := new(config)
	file, err := configfile.Read(path, c)
	if err != nil {
		return nil, err
	}
	c.file = file
	if c.Listen == "" {
		c.Listen = defaultListen
	}
	if c.Limits.Connections == 0 {
		c.Limits.Connections = defaultConnections
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	c.resolvePaths()
	return c, nil
}

func (c *config) resolvePaths() {
	jwt := c.Authorization.JWT
	c.file.Resolve(&jwt.PublicKeyPEM, &jwt.JWKSFile, &jwt.CAs)
	if jwt.Broker != nil {
		c.file.Resolve(&jwt.Broker.Policy)
		c.file.Resolve(jwt.Broker.Collateral.Paths()...)
	}
	if c.TLS != nil {
		c.file.Resolve(&c.TLS.Certificate, &c.TLS.Key)
	}
}

// requirements returns what a token must have beside issuer and audience.
func (j *jwtConfig) requirements() []ctb.Requirement {
	var reqs []ctb.Requirement
	for _, s := range j.Scopes {
		reqs = append(reqs, ctb.Scope(s))
	}
	return append(reqs, j.Claims...)
}
