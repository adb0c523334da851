package ctb

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/confidential-token-broker/ctb/internal/jose"
)

// Key is a public key with its one algorithm.
type Key struct {
	ID        string           // kid; empty if the key has none
	Algorithm string           // RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA
	Public    crypto.PublicKey // *rsa.PublicKey (2048 to 8192 bits), *ecdsa.PublicKey (P-256, P-384) or ed25519.PublicKey
}

// same tells whether k is the key that a signature was verified with. Keys
// that were read anew count as others, which costs one verification.
func (k Key) same(verified Key) bool {
	if k.Algorithm != verified.Algorithm {
		return false
	}
	if ed, ok := verified.Public.(ed25519.PublicKey); ok {
		other, ok := k.Public.(ed25519.PublicKey)
		return ok && bytes.Equal(ed, other)
	}
	return k.Public == verified.Public // pointers, since the signature was verified
}

// equal tells whether k is the key that a signature was verified with, also if
// it was read anew since. No key is equal to one that is absent.
func (k Key) equal(verified Key) bool {
	public, ok := verified.Public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Algorithm == verified.Algorithm && public.Equal(k.Public)
}

// KeySet finds keys. It never sees a token. The verifier asks for every token,
// also for one that it has seen before, so Key should be fast for a known key.
type KeySet interface {
	// Key returns the key with this id; kid is empty if the token names none.
	// The error is ErrUnknownKey if there is no such key; any other means that
	// the keys can't be had or trusted.
	Key(ctx context.Context, kid string) (Key, error)
}

// StaticKeys is a fixed KeySet. Where it has one key alone, that key answers
// for tokens without a kid, and if it has no ID itself, for every kid.
type StaticKeys []Key

// Key implements KeySet.
func (s StaticKeys) Key(_ context.Context, kid string) (Key, error) {
	for _, k := range s {
		if k.ID == kid && kid != "" {
			return k, nil
		}
	}
	if len(s) == 1 && (kid == "" || s[0].ID == "") {
		return s[0], nil
	}
	return Key{}, ErrUnknownKey
}

// ParseKeys reads a JWK set (RFC 7517 section 5) of at most 1 MiB and 100
// keys. Keys that can't be used (of another type, for encryption, ambiguous)
// are left out; if none is left the error says why. An RSA key without "alg" is for RS256.
func ParseKeys(jwks []byte) (StaticKeys, error) {
	set, err := jose.ParseSet(jwks)
	if err != nil {
		return nil, err
	}
	return usable(set)
}

// usable returns the keys that can be used; the error says why there is none.
func usable(set []jose.JWK) (StaticKeys, error) {
	var keys StaticKeys
	var odd []error
	for _, k := range set {
		if k.Err != nil {
			odd = append(odd, fmt.Errorf("key %.40q: %w", k.KeyID, k.Err))
			continue
		}
		keys = append(keys, Key{ID: k.KeyID, Algorithm: k.Algorithm, Public: k.Key})
	}
	if len(keys) == 0 {
		return nil, errors.Join(append([]error{errors.New("JWK set has no usable key")}, odd...)...)
	}
	return keys, nil
}

// ParsePEM reads a public key from one PEM block: "PUBLIC KEY" (RFC 5280
// SubjectPublicKeyInfo), "RSA PUBLIC KEY" (PKCS #1) or "CERTIFICATE". The key's
// algorithm follows from its type: RS256, ES256, ES384 or EdDSA. Change
// Key.Algorithm if it is meant for another one.
func ParsePEM(data []byte) (Key, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return Key{}, errors.New("no PEM block found, want one that begins with -----BEGIN PUBLIC KEY-----")
	}
	if extra, _ := pem.Decode(rest); extra != nil {
		return Key{}, fmt.Errorf("PEM has a second block (%.40s), want one key alone", extra.Type)
	}
	public, err := parseBlock(block)
	if err != nil {
		return Key{}, err
	}
	algorithm, err := jose.DefaultAlgorithm(public)
	if err != nil {
		return Key{}, err
	}
	return Key{Algorithm: algorithm, Public: public}, jose.CheckKey(algorithm, public)
}

func parseBlock(block *pem.Block) (crypto.PublicKey, error) {
	switch block.Type {
	case "PUBLIC KEY":
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("PEM block PUBLIC KEY: %w", err)
		}
		return key, nil
	case "RSA PUBLIC KEY":
		key, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("PEM block RSA PUBLIC KEY: %w", err)
		}
		return key, nil
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("PEM block CERTIFICATE: %w", err)
		}
		return cert.PublicKey, nil
	}
	return nil, fmt.Errorf("PEM block is %.40q, want PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE", block.Type)
}
