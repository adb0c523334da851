package main

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/confidential-token-broker/ctb/internal/roots"
)

// openKeys returns the keys that the configuration names, reading every file
// but fetching nothing yet. Errors have the place of the key that names the file.
func openKeys(c *config) (liveKeys, error) {
	j := c.Authorization.JWT
	var files []string
	var load func() (ctb.KeySet, error)
	switch {
	case j.PublicKeyPEM != "":
		files, load = []string{j.PublicKeyPEM}, func() (ctb.KeySet, error) {
			keys, err := pemKey(j.PublicKeyPEM, j.Algorithm)
			return keys, c.badFile("public_key_pem_path", err)
		}
	case j.JWKSFile != "":
		files, load = []string{j.JWKSFile}, func() (ctb.KeySet, error) {
			keys, err := jwksFile(j.JWKSFile)
			return keys, c.badFile("jwks_path", err)
		}
	case j.JWKSURL != "":
		files, load = []string{j.CAs}, func() (ctb.KeySet, error) {
			client, err := client(j.CAs)
			return ctb.NewRemoteKeys(j.JWKSURL, client), c.badFile("ca_path", err)
		}
	default:
		files = append(j.Broker.Collateral.Files(), j.Broker.Policy, j.CAs)
		load = func() (ctb.KeySet, error) { return c.attestedKeys() }
	}
	l, err := newLive("keys", files, load)
	return liveKeys{l}, err
}

// badFile puts the place of the key of authorization.jwt that names a file before what is wrong with the file.
func (c *config) badFile(key string, err error) error {
	if err == nil {
		return nil
	}
	return c.file.Fault("authorization.jwt."+key, "%w", err)
}

// pemKey is the notary server's kind: one key, whose algorithm follows from its type or is named.
func pemKey(path, algorithm string) (ctb.KeySet, error) {
	data, err := fetch.File(path, maxFile)
	if err != nil {
		return nil, err
	}
	key, err := ctb.ParsePEM(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if algorithm != "" {
		if err := jose.CheckKey(algorithm, key.Public); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		key.Algorithm = algorithm
	}
	return ctb.StaticKeys{key}, nil
}

func jwksFile(path string) (ctb.KeySet, error) {
	data, err := fetch.File(path, maxFile)
	if err != nil {
		return nil, err
	}
	keys, err := ctb.ParseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// attestedKeys are keys for which the hardware vouches, in a build and under
// rules that the policy accepts.
func (c *config) attestedKeys() (ctb.KeySet, error) {
	j := c.Authorization.JWT
	policy, root, err := evidence.LoadPolicy(j.Broker.Policy)
	if err != nil {
		return nil, c.badFile("broker.policy", err)
	}
	collateral, err := j.Broker.Collateral.Open(root)
	if err != nil {
		return nil, c.badFile("broker.collateral", err)
	}
	conf := attest.Config{URL: j.Broker.URL, Policy: policy, Platforms: evidence.Platforms(root, collateral.Source())}
	if j.attestedTLS() {
		conf.Client, err = attestedClient(conf)
	} else {
		conf.Client, err = client(j.CAs)
		err = c.badFile("ca_path", err)
	}
	if err != nil {
		return nil, err
	}
	keys, err := attest.NewKeySet(conf)
	return attested{keys, collateral}, err
}

// attestedTLS tells whether the broker's server is known by evidence.
func (j *jwtConfig) attestedTLS() bool {
	return j.Broker.TLS != publicTLS && j.CAs == "" && strings.HasPrefix(j.Broker.URL, "https:")
}

// attestedClient trusts the broker's TLS key by its evidence. That is always of
// the scheme dice, also where the policy names the original's scheme, which has no TLS keys.
func attestedClient(conf attest.Config) (*http.Client, error) {
	policy := *conf.Policy
	policy.Scheme = attest.DICE
	conf.Policy = &policy
	trust, err := attest.TLSConfig(conf)
	if err != nil {
		return nil, err
	}
	return fetch.ClientTLS(trust), nil
}

// client trusts the CAs of a PEM file and no other; without a file, the public
// ones that come with the program, since the host's are the host's.
func client(path string) (*http.Client, error) {
	if path == "" {
		return fetch.Client(roots.Bundled()), nil
	}
	data, err := fetch.File(path, maxFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: got no certificate, want PEM blocks of CERTIFICATE", path)
	}
	return fetch.Client(pool), nil
}
