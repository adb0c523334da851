package devidp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/confidential-token-broker/ctb/internal/jose"
)

// Key is a signing key with its one algorithm.
type Key struct {
	ID        string // RFC 7638 thumbprint, unless you set another
	Algorithm string
	Private   crypto.Signer
}

// NewKey makes a key for an algorithm of package jose. RSA keys have 2048 bits.
func NewKey(algorithm string) (*Key, error) {
	private, err := jose.GenerateKey(algorithm, 2048)
	if err != nil {
		return nil, err
	}
	id, err := jose.Thumbprint(private.Public())
	if err != nil {
		return nil, err
	}
	return &Key{ID: id, Algorithm: algorithm, Private: private}, nil
}

// Sign returns a compact JWS of the two byte strings exactly as they are. They
// need not be JSON, and the header may say anything; the signature is always
// made by the key's own algorithm. This is how tokens that must be refused are
// made: package jose's Sign makes only good ones.
func (k *Key) Sign(header, payload []byte) (string, error) {
	b64 := base64.RawURLEncoding
	input := b64.EncodeToString(header) + "." + b64.EncodeToString(payload)
	signature, err := k.signature([]byte(input))
	if err != nil {
		return "", err
	}
	return input + "." + b64.EncodeToString(signature), nil
}

// signature is the signature of RFC 7518 section 3 or RFC 8037 section 3.1.
func (k *Key) signature(input []byte) ([]byte, error) {
	if private, ok := k.Private.(ed25519.PrivateKey); ok {
		return ed25519.Sign(private, input), nil
	}
	if len(k.Algorithm) != 5 {
		return nil, fmt.Errorf("key of type %T has no algorithm %q", k.Private, k.Algorithm)
	}
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[k.Algorithm[2:]]
	if !hash.Available() {
		return nil, fmt.Errorf("algorithm %q has no hash that is known here", k.Algorithm)
	}
	h := hash.New()
	h.Write(input)
	digest := h.Sum(nil)
	switch private := k.Private.(type) {
	case *rsa.PrivateKey:
		if k.Algorithm[:2] == "PS" {
			return rsa.SignPSS(rand.Reader, private, hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(nil, private, hash, digest)
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, private, digest)
		if err != nil {
			return nil, err
		}
		size := (private.Curve.Params().BitSize + 7) / 8
		signature := make([]byte, 2*size)
		r.FillBytes(signature[:size])
		s.FillBytes(signature[size:])
		return signature, nil
	}
	return nil, errors.New("key is of no type that can sign here")
}
