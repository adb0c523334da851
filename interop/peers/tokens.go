package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb/internal/jose"
)

// issuer signs tokens with one fresh key.
type issuer struct {
	algorithm string
	key       crypto.Signer
}

// newIssuer makes a key of the kind that most issuers have: RSA of 2048 bits, or P-256.
func newIssuer(algorithm string) (*issuer, error) {
	var key crypto.Signer
	var err error
	switch algorithm {
	case jose.RS256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		err = fmt.Errorf("algorithm: got %q, want RS256 or ES256", algorithm)
	}
	return &issuer{algorithm, key}, err
}

// claims are those of user n, good until an instant.
func claims(n int, role string, until time.Time) []byte {
	text, err := json.Marshal(map[string]any{
		"iss": "https://issuer.example.com/", "aud": "https://api.example.com", "sub": fmt.Sprintf("user-%06d", n),
		"jti": fmt.Sprintf("%032x", n), "role": role, "iat": until.Add(-time.Hour).Unix(), "exp": until.Unix(),
	})
	if err != nil {
		panic(err) // strings and numbers can be written
	}
	return text
}

// token signs a claims set.
func (i *issuer) token(claims []byte) (string, error) {
	return jose.Sign(jose.Header{Algorithm: i.algorithm, Type: "JWT"}, claims, i.key)
}

// tokens signs one for each of n users, good for an hour, on all processors.
func (i *issuer) tokens(n int) ([]string, error) {
	all, errs := make([]string, n), make([]error, runtime.NumCPU())
	until := time.Now().Add(time.Hour)
	var wait sync.WaitGroup
	for worker := range errs {
		wait.Go(func() {
			for at := worker; at < n && errs[worker] == nil; at += len(errs) {
				all[at], errs[worker] = i.token(claims(at, "reader", until))
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// publicPEM is the key that the peers verify with.
func (i *issuer) publicPEM() ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(i.key.Public())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// unsigned is a token of the algorithm "none".
func unsigned(claims []byte) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(claims) + "."
}

// writeTokens writes a file for cycle.lua: a token a line.
func writeTokens(dir, name string, tokens []string) (string, error) {
	var text bytes.Buffer
	for _, t := range tokens {
		text.WriteString(t + "\n")
	}
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, text.Bytes(), 0o600)
}
