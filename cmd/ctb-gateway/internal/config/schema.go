package config

import (
	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
)

// schema is the configuration as it is written, in all its generations: older
// spellings of a key stand beside it, and keys that belong to the notary server
// alone are known, so that a misspelt one is not taken for one of them. See package configfile for the tags.
type schema struct {
	Listen string  `yaml:"listen"`
	Server *server `yaml:"server"` // to alpha.10
	Host   string  `yaml:"host"`   // from alpha.11
	Port   *int    `yaml:"port"`

	TLS            *tlsFiles `yaml:"tls"`
	Upstream       *upstream `yaml:"upstream"`
	Profile        string    `yaml:"profile"`
	ForwardToken   bool      `yaml:"forward_token"`
	TrustedProxies []string  `yaml:"trusted_proxies"`
	CORS           *cors     `yaml:"cors"`

	Concurrency  *int          `yaml:"concurrency"`
	Notarization *notarization `yaml:"notarization"`
	Sessions     *sessions     `yaml:"sessions"`
	Limits       limits        `yaml:"limits"`
	Timeouts     timeouts      `yaml:"timeouts"`

	Authorize *listener `yaml:"authorize"`
	ExtAuthz  *listener `yaml:"ext_authz"`
	Admin     *listener `yaml:"admin"`

	Logging       logging        `yaml:"logging" also:"log"`
	Authorization *authorization `yaml:"authorization" also:"auth"`

	HTMLInfo  any       `yaml:"html_info" for:"others"`
	NotaryKey notaryKey `yaml:"notary_key"`
	Plugin    plugin    `yaml:"plugin"`
}

type server struct {
	Host     string `yaml:"host"`
	Port     *int   `yaml:"port"`
	Name     any    `yaml:"name" for:"others"`
	HTMLInfo any    `yaml:"html_info" for:"others"`
}

type tlsFiles struct {
	Enabled     *bool  `yaml:"enabled"`
	Certificate string `yaml:"certificate" also:"certificate_path,certificate_pem_path" null:"absent"`
	Key         string `yaml:"key" also:"private_key_path,private_key_pem_path" null:"absent"`
}

type upstream struct {
	URL         string `yaml:"url" as:"text"`
	CAs         string `yaml:"ca_path"`
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	ServerName  string `yaml:"server_name"`
}

type cors struct {
	Origins []string `yaml:"origins"`
}

type notarization struct {
	MaxSent *uint64   `yaml:"max_sent_data"`
	MaxRecv *uint64   `yaml:"max_recv_data"`
	Timeout *duration `yaml:"timeout"`

	PrivateKey         any `yaml:"private_key_path" for:"others"`
	PublicKey          any `yaml:"public_key_path" for:"others"`
	SignatureAlgorithm any `yaml:"signature_algorithm" for:"others"`
	AllowExtensions    any `yaml:"allow_extensions" for:"others"`
	MaxTranscript      any `yaml:"max_transcript_size" for:"others"`
}

type notaryKey struct {
	PrivateKey any `yaml:"private_key_pem_path" for:"others"`
	PublicKey  any `yaml:"public_key_pem_path" for:"others"`
}

type plugin struct {
	Enabled any `yaml:"enabled" for:"others"`
	Path    any `yaml:"path" for:"others"`
}

type sessions struct {
	Enabled        *onOff    `yaml:"enabled" as:"text"`
	Issue          string    `yaml:"issue"`
	Create         string    `yaml:"create"`
	Use            string    `yaml:"use"`
	TTL            *duration `yaml:"ttl"`
	Max            *int      `yaml:"max"`
	MaxPerIdentity *int      `yaml:"max_per_identity"`
	MaxSentClaim   claimPath `yaml:"max_sent_claim"`
	MaxRecvClaim   claimPath `yaml:"max_recv_claim"`
}

type limits struct {
	Connections *int         `yaml:"connections"`
	PerIdentity *perIdentity `yaml:"per_identity"`
}

type perIdentity struct {
	PerSecond  *float64 `yaml:"requests_per_second"`
	Burst      *int     `yaml:"burst"`
	Concurrent *int     `yaml:"concurrent"`
	Identities *int     `yaml:"identities"`
}

type timeouts struct {
	Connect *duration `yaml:"connect"`
	Answer  *duration `yaml:"answer"`
	Idle    *duration `yaml:"idle"`
}

type listener struct {
	Listen string `yaml:"listen" as:"text"`
}

type logging struct {
	Level  string `yaml:"level"`
	Filter any    `yaml:"filter" for:"others"`
	Format any    `yaml:"format" for:"others"`
}

type authorization struct {
	Enabled      *bool        `yaml:"enabled"`
	Combine      string       `yaml:"combine"`
	Whitelist    *whitelist   `yaml:"whitelist" also:"whitelist_path,whitelist_csv_path" null:"absent"`
	APIKeyHeader string       `yaml:"api_key_header"`
	JWT          *jwt         `yaml:"jwt"`
	Open         []string     `yaml:"open"`
	Routes       []route      `yaml:"routes"`
	ClaimHeaders claimHeaders `yaml:"claim_headers"`
}

type whitelist struct {
	Path string `yaml:"path" as:"text"`
}

type jwt struct {
	issuer
	Issuers   []issuer          `yaml:"issuers"`
	TokenFrom []tokenPlace      `yaml:"token_from"`
	Claims    []ctb.Requirement `yaml:"claims"`
	Scopes    []string          `yaml:"scopes"`
	Deny      []ctb.Requirement `yaml:"deny"`
}

type issuer struct {
	PublicKeyPEM string  `yaml:"public_key_pem_path" also:"public_key_path"`
	JWKSURL      string  `yaml:"jwks_url"`
	JWKSFile     string  `yaml:"jwks_path"`
	Broker       *broker `yaml:"broker"`

	CAs        string    `yaml:"ca_path"` // with jwks_url or broker
	Algorithms oneOrMore `yaml:"algorithms" also:"algorithm"`
	Issuer     string    `yaml:"issuer"`
	Audience   string    `yaml:"audience"`
	Type       string    `yaml:"type"`
}

type broker struct {
	URL        string          `yaml:"url"`
	Policy     string          `yaml:"policy"`
	Collateral evidence.Source `yaml:"collateral" null:"absent"`
	TLS        string          `yaml:"tls"`
}

type tokenPlace struct {
	Place  string `yaml:"place" as:"text"`
	Header string `yaml:"header"`
	Cookie string `yaml:"cookie"`
	Query  string `yaml:"query"`
}

type route struct {
	Path    string   `yaml:"path"`
	Methods []string `yaml:"methods"`
	Name    string   `yaml:"name"`
	Access  string   `yaml:"access"`
	Rules   []rule   `yaml:"rules"`

	Claims  []ctb.Requirement `yaml:"claims"` // these three: short for one rule that allows
	Scopes  []string          `yaml:"scopes"`
	APIKeys []string          `yaml:"api_keys"`
}

type rule struct {
	Action  string            `yaml:"action"`
	Claims  []ctb.Requirement `yaml:"claims"`
	Scopes  []string          `yaml:"scopes"`
	APIKeys []string          `yaml:"api_keys"`
}

type claimHeader struct {
	Header string    `yaml:"header"`
	Claim  claimPath `yaml:"claim" also:"path"`
	APIKey string    `yaml:"api_key"`

	key string // of the configuration
}
