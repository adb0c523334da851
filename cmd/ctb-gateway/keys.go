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
// but fetching nothing yet.
func openKeys(j *jwtConfig) (liveKeys, error) {
	var files []string
	var load func() (ctb.KeySet, error)
	switch {
	case j.PublicKeyPEM != "":
		files, load = []string{j.PublicKeyPEM}, func() (ctb.KeySet, error) { return pemKey(j.PublicKeyPEM, j.Algorithm) }
	case j.JWKSFile != "":
		files, load = []string{j.JWKSFile}, func() (ctb.KeySet, error) { return jwksFile(j.JWKSFile) }
	case j.JWKSURL != "":
		files, load = []string{j.CAs}, func() (ctb.KeySet, error) {
			client, err := client(j.CAs)
			return ctb.NewRemoteKeys(j.JWKSURL, client), err
		}
	default:
		files, load = []string{j.Broker.Policy, j.Broker.Collateral, j.CAs}, func() (ctb.KeySet, error) { return attestedKeys(j) }
	}
	l, err := newLive("keys", files, load)
	return liveKeys{l}, err
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
func attestedKeys(j *jwtConfig) (ctb.KeySet, error) {
	policy, platforms, err := evidence.Load(j.Broker.Policy, j.Broker.Collateral)
	if err != nil {
		return nil, err
	}
	conf := attest.Config{URL: j.Broker.URL, Policy: policy, Platforms: platforms}
	if j.attestedTLS() {
		conf.Client, err = attestedClient(conf)
	} else {
		conf.Client, err = client(j.CAs)
	}
	if err != nil {
		return nil, err
	}
	return attest.NewKeySet(conf)
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
