package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/config"
	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/live"
	"github.com/confidential-token-broker/ctb/cmd/internal/evidence"
	"github.com/confidential-token-broker/ctb/cmd/internal/platforms"
	"github.com/confidential-token-broker/ctb/gateway/credential"
	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// maxFile bounds every file of keys or certificates, in bytes.
const maxFile = 1 << 20

// issuerKeys are the keys of one issuer, as they were read last. Keys that were read anew count
// as others to the verifier, so tokens of keys that are gone are refused at once.
type issuerKeys struct {
	name  string // for people: the issuer, or where the keys are from
	value *live.Value[*heldKeys]
}

// Key implements ctb.KeySet.
func (k issuerKeys) Key(ctx context.Context, kid string) (ctb.Key, error) {
	return k.value.Get().set.Key(ctx, kid)
}

// keySpec is all that decides which keys they are.
type keySpec struct {
	PublicKeyPEM, JWKSURL, JWKSFile, CAs string
	Broker                               config.Broker
	Algorithms                           []string
}

// openKeys returns the keys of an issuer, reading every file but fetching
// nothing yet. Errors have the place of the key that names the file.
func openKeys(c *config.Config, i config.Issuer, set, before *live.Set) (issuerKeys, error) {
	spec := keySpec{PublicKeyPEM: i.PublicKeyPEM, JWKSURL: i.JWKSURL, JWKSFile: i.JWKSFile, CAs: i.CAs, Algorithms: i.Algorithms}
	files := []string{i.PublicKeyPEM, i.JWKSFile, i.CAs}
	if i.Broker != nil {
		spec.Broker = *i.Broker
		files = append(append(files, i.Broker.Policy), i.Broker.Collateral.Files()...)
	}
	value, err := live.Take(set, before, whatKeys, fmt.Sprintf("%#v", spec), files, func() (*heldKeys, error) { return readKeys(c, i) })
	name := i.Name
	if name == "" {
		name = cmp.Or(i.PublicKeyPEM, i.JWKSFile, fetch.Redact(i.JWKSURL))
	}
	return issuerKeys{name, value}, err
}

func readKeys(c *config.Config, i config.Issuer) (*heldKeys, error) {
	held := new(heldKeys)
	var err error
	switch fault := faultOf(c, i); {
	case i.PublicKeyPEM != "":
		held.inFile, err = pemKey(i.PublicKeyPEM, i.Algorithms)
		held.set, err = held.inFile, fault("public_key_pem_path", err)
	case i.JWKSFile != "":
		held.inFile, err = jwksFile(i.JWKSFile)
		held.set, err = held.inFile, fault("jwks_path", err)
	case i.JWKSURL != "":
		var c *http.Client
		c, err = client(i.CAs)
		keys := ctb.NewRemoteKeys(i.JWKSURL, c)
		held.set, held.source, err = keys, keys, fault("ca_path", err)
	default:
		var keys *attest.KeySet
		keys, err = attestedKeys(held, i, fault)
		held.set, held.source = keys, keys
	}
	if err != nil || len(i.Algorithms) == 0 {
		return held, err
	}
	held.set, err = credential.Narrow(held.set, i.Algorithms...)
	return held, err
}

// faultOf puts the place of a key of the issuer before an error.
func faultOf(c *config.Config, i config.Issuer) func(key string, err error) error {
	return func(key string, err error) error {
		if err == nil {
			return nil
		}
		return c.Fault(i.Key+"."+key, "%w", err)
	}
}

// pemKey is the notary server's kind: one key, whose algorithm follows from its type or is
// the first of those that are named which is for such a key.
func pemKey(path string, algorithms []string) (ctb.StaticKeys, error) {
	data, err := fetch.File(path, maxFile)
	if err != nil {
		return nil, err
	}
	key, err := ctb.ParsePEM(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(algorithms) == 0 {
		return ctb.StaticKeys{key}, nil
	}
	for _, a := range algorithms {
		if err = jose.CheckKey(a, key.Public); err == nil {
			key.Algorithm = a
			return ctb.StaticKeys{key}, nil
		}
	}
	return nil, fmt.Errorf("%s: %w", path, err)
}

func jwksFile(path string) (ctb.StaticKeys, error) {
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
// rules that the policy accepts. Policy and collateral go into held.
func attestedKeys(held *heldKeys, i config.Issuer, fault func(string, error) error) (*attest.KeySet, error) {
	policy, root, err := evidence.LoadPolicy(i.Broker.Policy)
	if err != nil {
		return nil, fault("broker.policy", err)
	}
	collateral, err := i.Broker.Collateral.Open(root)
	if err != nil {
		return nil, fault("broker.collateral", err)
	}
	held.policy, held.collateral = policy, collateral
	conf := attest.Config{URL: i.Broker.URL, Policy: policy, Platforms: platforms.All(root, collateral)}
	if i.Broker.TLS == config.AttestedTLS {
		conf.Client, err = attestedClient(conf)
	} else {
		conf.Client, err = client(i.CAs)
		err = fault("ca_path", err)
	}
	if err != nil {
		return nil, err
	}
	return attest.NewKeySet(conf)
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
	pool, err := readCAs(path)
	if err != nil {
		return nil, err
	}
	return fetch.Client(pool), nil
}
