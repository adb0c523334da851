package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/confidential-token-broker/ctb/broker"
	"github.com/confidential-token-broker/ctb/cmd/internal/configfile"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/rules"
)

// config is the configuration file. deploy/broker.example.yaml explains each key.
type config struct {
	Issuer  string  `yaml:"issuer"`
	Listen  string  `yaml:"listen"`
	TEE     string  `yaml:"tee"`
	Signing signing `yaml:"signing" null:"absent"`
	Rules   string  `yaml:"rules"`
	State   string  `yaml:"state_dir"` // empty: what was signed before a restart can't be verified after it
	TLS     tlsKeys `yaml:"tls" null:"absent"`
	Audit   audit   `yaml:"audit" null:"absent"`
	Limits  limits  `yaml:"limits" null:"absent"`
	Admin   admin   `yaml:"admin" null:"absent"`

	Collateral evidence.Source `yaml:"collateral" null:"absent"`

	Compatibility  string         `yaml:"compatibility"`
	EncryptedRules encryptedRules `yaml:"rules_encrypted" null:"absent"`
	Simulated      simulatedTEE   `yaml:"simulated" null:"absent"`

	file *configfile.File
}

type signing struct {
	Algorithm   string   `yaml:"alg"`
	RotateEvery duration `yaml:"rotate_every"`
}

// tlsKeys are those by which clients know the broker: one that is made inside and attested, with these
// names, and beside it one of a public CA, or in its place one of a file.
type tlsKeys struct {
	Certificate string       `yaml:"certificate"`
	Key         string       `yaml:"key"`
	Names       []string     `yaml:"names"`
	ACME        *certificate `yaml:"acme" null:"absent"` // nil: no public CA is asked
}

type audit struct {
	File string `yaml:"file"` // empty: standard output
}

// admin is a listener for whoever starts and stops the broker.
type admin struct {
	Listen string `yaml:"listen"` // empty: there is none
}

type limits struct {
	Connections int      `yaml:"connections"`
	HeaderBytes int      `yaml:"header_bytes"`
	RequestTime duration `yaml:"request_time"`
}

// encryptedRules is the original broker's form of the rule file. Key and
// initial counter come as hexadecimal digits from a file or the environment,
// never from this file.
type encryptedRules struct {
	File    string `yaml:"file"`
	KeyFile string `yaml:"key_file"`
	KeyEnv  string `yaml:"key_env"`
	IVFile  string `yaml:"iv_file"`
	IVEnv   string `yaml:"iv_env"`
	ZeroKey bool   `yaml:"zero_key"`
}

// simulatedTEE is for the development build alone.
type simulatedTEE struct {
	Directory string `yaml:"directory"` // where root.pem and collateral.json are written
	SeedFile  string `yaml:"seed_file"`
}

// The bytes of a seed.
const (
	minSeed = 32
	maxSeed = 4096
)

// duration is written as Go writes it: 24h, 90s.
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("got %.40q, want a duration such as 24h or 90s", text)
	}
	*d = duration(v)
	return nil
}

const (
	defaultListen      = "127.0.0.1:8080"
	defaultConnections = 4096
	defaultHeaderBytes = 16 << 10
	defaultRequestTime = 15 * time.Second
	minHeaderBytes     = 4 << 10

	compatibilityOriginal = "original"
)

// loadConfig reads and checks a configuration. Errors have file, line and column.
func loadConfig(path string) (*config, error) {
	c := new(config)
	file, err := configfile.Read(path, c)
	if err != nil {
		return nil, err
	}
	c.file = file
	c.setDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	file.Resolve(&c.Rules, &c.State, &c.TLS.Certificate, &c.TLS.Key, &c.Audit.File,
		&c.EncryptedRules.File, &c.EncryptedRules.KeyFile, &c.EncryptedRules.IVFile,
		&c.Simulated.Directory, &c.Simulated.SeedFile)
	file.Resolve(c.Collateral.Paths()...)
	if c.TLS.ACME != nil {
		file.Resolve(&c.TLS.ACME.CA)
	}
	return c, nil
}

func (c *config) setDefaults() {
	setDefault(&c.Listen, defaultListen)
	setDefault(&c.TEE, "auto")
	setDefault(&c.Limits.Connections, defaultConnections)
	setDefault(&c.Limits.HeaderBytes, defaultHeaderBytes)
	setDefault(&c.Limits.RequestTime, duration(defaultRequestTime))
	if c.TLS.ACME != nil {
		setDefault(&c.TLS.ACME.Directory, acme.LetsEncryptURL)
	}
}

func setDefault[T comparable](v *T, to T) {
	if *v == *new(T) {
		*v = to
	}
}

// isAddress tells whether something can be listened at, as far as that can be seen.
func isAddress(at string) bool {
	_, port, err := net.SplitHostPort(at)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	return err == nil
}

// check finds what is wrong before anything is started. What package broker checks itself
// (issuer, algorithm, rotation) is left to it: see broker.Config.
func (c *config) check() error {
	if c.Issuer == "" {
		return c.file.Fault("issuer", "missing; want the https URL of this broker")
	}
	if !isAddress(c.Listen) {
		return c.file.Fault("listen", "got %q, want an address and a port such as 0.0.0.0:8443", c.Listen)
	}
	if c.Compatibility != "" && c.Compatibility != compatibilityOriginal {
		return c.file.Fault("compatibility", "got %q, want %s or nothing", c.Compatibility, compatibilityOriginal)
	}
	switch at := c.Admin.Listen; {
	case at == "":
	case !isAddress(at):
		return c.file.Fault("admin.listen", "got %q, want an address and a port such as 127.0.0.1:8081", at)
	case at == c.Listen && !strings.HasSuffix(at, ":0"): // of port 0 each is another
		return c.file.Fault("admin.listen", "%s is that of listen already; want another", at)
	}
	if err := c.checkTLS(); err != nil {
		return err
	}
	if n := c.Limits.Connections; n < 1 || n > 1_000_000 {
		return c.file.Fault("limits.connections", "got %d, want 1 to 1000000", n)
	}
	if n := c.Limits.HeaderBytes; n < minHeaderBytes || n > 1<<20 {
		return c.file.Fault("limits.header_bytes", "got %d, want 4096 to 1048576", n)
	}
	if t := time.Duration(c.Limits.RequestTime); t < time.Second || t > 5*time.Minute {
		return c.file.Fault("limits.request_time", "got %v, want 1s to 5m", t)
	}
	var fault *evidence.KeyError
	if err := c.Collateral.Validate(); errors.As(err, &fault) {
		return c.file.Fault("collateral."+fault.Key, "%w", fault.Err)
	}
	if err := c.checkTEE(); err != nil {
		return err
	}
	return c.checkRules()
}

// checkTLS finds what does not go together. What is in the files is not its question.
func (c *config) checkTLS() error {
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		return c.file.Fault("tls", "certificate and key belong together; without them a key is made inside")
	}
	if c.TLS.Key != "" && len(c.TLS.Names) > 0 {
		return c.file.Fault("tls.names", "names are of the key that is made inside; the certificate file has its own")
	}
	if c.TLS.ACME == nil {
		return nil
	}
	if c.TLS.Key != "" {
		return c.file.Fault("tls.acme", "there are certificate and key already; want one of the two")
	}
	if key, err := c.TLS.ACME.check(c.certified()); err != nil {
		return c.file.Fault(cmp.Or(key, "tls.acme"), "%w", err)
	}
	return nil
}

// checkBroker asks package broker, and says in which key of the file the fault is.
func (c *config) checkBroker(set *rules.Set) error {
	err := brokerConfig(c, set).Check()
	var fault *broker.ConfigError
	if !errors.As(err, &fault) {
		return err
	}
	keys := map[string]string{"Issuer": "issuer", "Algorithm": "signing.alg", "RotateEvery": "signing.rotate_every", "Names": "tls.names"}
	return c.file.Fault(keys[fault.Field], "%w", fault.Err)
}

func (c *config) checkRules() error {
	e := c.EncryptedRules
	switch {
	case e == encryptedRules{} && c.Rules == "":
		return c.file.Fault("rules", "missing; want the rule file")
	case e == encryptedRules{}:
		return nil
	case c.Rules != "":
		return c.file.Fault("rules_encrypted", "there are rules already; want one of the two")
	case c.Compatibility != compatibilityOriginal:
		return c.file.Fault("rules_encrypted", "the original's form needs compatibility: original")
	case e.File == "":
		return c.file.Fault("rules_encrypted", "file is missing; want the encrypted rule file")
	case (e.KeyFile == "") == (e.KeyEnv == ""):
		return c.file.Fault("rules_encrypted", "want one of key_file and key_env, with 32 hexadecimal digits in it")
	case (e.IVFile == "") == (e.IVEnv == ""):
		return c.file.Fault("rules_encrypted", "want one of iv_file and iv_env, with 32 hexadecimal digits in it")
	}
	return nil
}
