package config

import (
	"errors"
	"path/filepath"

	"github.com/confidential-token-broker/ctb/cmd/internal/configfile"
	"github.com/confidential-token-broker/ctb/internal/fetch"
)

// Load reads a configuration file and the environment ("NAME=value" each), and
// checks both. Variables take the place of what the file says. Without a path there is the environment alone.
// Errors have file, line and column, or the variable's name.
func Load(path string, environ []string) (*Config, error) {
	if path == "" {
		return load(configfile.Empty(), environ)
	}
	text, err := fetch.File(path, configfile.MaxSize)
	if err != nil {
		return nil, err
	}
	return Parse(path, text, environ)
}

// Parse is Load for a text that is at hand. The path is for errors, and paths in the text are relative to its directory.
func Parse(path string, text []byte, environ []string) (*Config, error) {
	f, err := configfile.Parse(path, text)
	if err != nil {
		return nil, err
	}
	return load(f, environ)
}

// reader makes a Config of what is written.
type reader struct {
	file     *configfile.File
	variable []variable
	schema   schema
	config   *Config
}

func load(f *configfile.File, environ []string) (*Config, error) {
	r := reader{file: f, variable: variables(environ)}
	if f.Path == "" && len(r.variable) == 0 {
		return nil, errors.New("got no configuration: want a file, or variables of the environment such as CTB_GATEWAY_UPSTREAM")
	}
	set, err := override(f, r.variable)
	if err != nil {
		return nil, err
	}
	if err := f.Decode(&r.schema); err != nil {
		return nil, err
	}
	r.config = &Config{Path: f.Path, file: f, Variables: set, ForUpstream: f.Others()}
	// Who is let through comes before how: it is what must not be wrong.
	for _, step := range []func() error{
		r.profile, r.upstream, r.addresses, r.tls, r.proxies, r.authorization, r.sessions, r.limits, r.timeouts, r.logging,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	f.Resolve(r.config.paths()...)
	r.warn()
	return r.config, nil
}

// Fault is an error about the value of a key such as
// "authorization.jwt.public_key_pem_path", with its place in the file, or the
// variable's name. The key is in its newest spelling; the error has it as it is written.
func (c *Config) Fault(key, format string, args ...any) error {
	return c.file.Fault(key, format, args...)
}

// paths are all fields that are paths of files.
func (c *Config) paths() []*string {
	var paths []*string
	if c.TLS != nil {
		paths = append(paths, &c.TLS.Certificate, &c.TLS.Key)
	}
	if u := c.Upstream; u != nil {
		paths = append(paths, &u.CAs, &u.Certificate, &u.Key)
	}
	if c.Whitelist != nil {
		paths = append(paths, &c.Whitelist.Path)
	}
	for i := range c.Issuers {
		j := &c.Issuers[i]
		paths = append(paths, &j.PublicKeyPEM, &j.JWKSFile, &j.CAs)
		if j.Broker != nil {
			paths = append(paths, &j.Broker.Policy)
			paths = append(paths, j.Broker.Collateral.Paths()...)
		}
	}
	return paths
}

// Files are all files that the configuration names, beside itself, each once.
func (c *Config) Files() []string {
	var files []string
	seen := map[string]bool{"": true}
	add := func(path string) {
		if !seen[filepath.Clean(path)] && path != "" {
			seen[filepath.Clean(path)] = true
			files = append(files, path)
		}
	}
	if c.TLS != nil {
		add(c.TLS.Certificate)
		add(c.TLS.Key)
	}
	if u := c.Upstream; u != nil {
		add(u.CAs)
		add(u.Certificate)
		add(u.Key)
	}
	if c.Whitelist != nil {
		add(c.Whitelist.Path)
	}
	for _, j := range c.Issuers {
		add(j.PublicKeyPEM)
		add(j.JWKSFile)
		add(j.CAs)
		if j.Broker != nil {
			add(j.Broker.Policy)
			for _, f := range j.Broker.Collateral.Files() {
				add(f)
			}
		}
	}
	return files
}
