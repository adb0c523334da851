package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of a JWK set: an honest one has a handful of keys, and a key that
// carries evidence and its certificate chain is below 64 KiB.
const (
	MaxSetSize      = 1 << 20 // bytes
	MaxKeys         = 100
	maxCertificates = 10
)

// JWK is one public key of a set.
type JWK struct {
	KeyID       string
	Algorithm   string           // the one algorithm that this key verifies; never empty when Err is nil
	Key         crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
	Certificate [][]byte         // "x5c", DER, leaf first
	Err         error            // why this key can't be used; the other fields but KeyID are then unset
}

// ParseSet reads a JWK set (RFC 7517 section 5). A text that is no JSON object
// with a "keys" array is an error; a key that can't be used stays in the
// result with its Err, so that one odd key does not silence the others. Two
// different keys of one id are both marked: which was meant can't be told.
func ParseSet(data []byte) ([]JWK, error) {
	if len(data) > MaxSetSize {
		return nil, fmt.Errorf("JWK set has %d bytes, at most %d are read", len(data), MaxSetSize)
	}
	var set struct {
		Keys *[]jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("JWK set: %w", JSONError(err))
	}
	if set.Keys == nil {
		return nil, errors.New(`JWK set has no "keys" (RFC 7517 section 5)`)
	}
	if n := len(*set.Keys); n > MaxKeys {
		return nil, fmt.Errorf("JWK set has %d keys, at most %d are read", n, MaxKeys)
	}
	keys := make([]JWK, len(*set.Keys))
	for i, raw := range *set.Keys {
		keys[i] = parseJWK(raw)
	}
	refuseAmbiguous(keys)
	return keys, nil
}

func refuseAmbiguous(keys []JWK) {
	ambiguous := make([]bool, len(keys))
	for i, a := range keys {
		for j, b := range keys[:i] {
			if a.KeyID == b.KeyID && a.Err == nil && b.Err == nil && !sameKey(a, b) {
				ambiguous[i], ambiguous[j] = true, true
			}
		}
	}
	for i, is := range ambiguous {
		if is {
			keys[i] = JWK{KeyID: keys[i].KeyID, Err: errors.New("another key of the set has the same kid")}
		}
	}
}

type jwk struct {
	Type         string         `json:"kty"`
	Use          string         `json:"use"`
	Operations   []string       `json:"key_ops"`
	Algorithm    string         `json:"alg"`
	KeyID        string         `json:"kid"`
	N            string         `json:"n"`
	E            string         `json:"e"`
	Curve        string         `json:"crv"`
	X            string         `json:"x"`
	Y            string         `json:"y"`
	D            jsontext.Value `json:"d"`
	K            jsontext.Value `json:"k"`
	Certificates []string       `json:"x5c"`
}

func parseJWK(data []byte) JWK {
	var j jwk
	if err := json.Unmarshal(data, &j); err != nil {
		return JWK{Err: JSONError(err)}
	}
	k, err := j.read()
	if err != nil {
		return JWK{KeyID: j.KeyID, Err: err}
	}
	return k
}

func (j *jwk) read() (JWK, error) {
	switch {
	case j.D != nil || j.K != nil:
		return JWK{}, errors.New("it holds a private or symmetric key, which nobody should publish")
	case j.Use != "" && j.Use != "sig":
		return JWK{}, fmt.Errorf(`its "use" is %q, want "sig"`, printable(j.Use))
	case j.Operations != nil && !slices.Contains(j.Operations, "verify"):
		return JWK{}, errors.New(`its "key_ops" don't have "verify"`)
	}
	key, err := j.publicKey()
	if err != nil {
		return JWK{}, err
	}
	algorithm := j.Algorithm
	if algorithm == "" {
		if algorithm, err = DefaultAlgorithm(key); err != nil {
			return JWK{}, err
		}
	}
	if err := CheckKey(algorithm, key); err != nil {
		return JWK{}, err
	}
	chain, err := j.certificates()
	if err != nil {
		return JWK{}, err
	}
	return JWK{KeyID: j.KeyID, Algorithm: algorithm, Key: key, Certificate: chain}, nil
}

func (j *jwk) publicKey() (crypto.PublicKey, error) {
	switch {
	case j.Type == "RSA":
		return j.rsaKey()
	case j.Type == "EC" && j.Curve == "P-256":
		return j.ecKey(elliptic.P256())
	case j.Type == "EC" && j.Curve == "P-384":
		return j.ecKey(elliptic.P384())
	case j.Type == "OKP" && j.Curve == "Ed25519":
		x, err := decodeMember("x", j.X)
		if err != nil {
			return nil, err
		}
		if len(x) != ed25519.PublicKeySize {
			return nil, fmt.Errorf(`"x" has %d bytes, want %d`, len(x), ed25519.PublicKeySize)
		}
		return ed25519.PublicKey(x), nil
	}
	return nil, fmt.Errorf(`key type %q with curve %q is not supported, want RSA, EC with P-256 or P-384, or OKP with Ed25519`, printable(j.Type), printable(j.Curve))
}

func (j *jwk) rsaKey() (*rsa.PublicKey, error) {
	n, err := decodeMember("n", j.N)
	if err != nil {
		return nil, err
	}
	e, err := decodeMember("e", j.E)
	if err != nil {
		return nil, err
	}
	if len(e) > 4 || len(e) == 4 && e[0] > 0x7f {
		return nil, errors.New(`"e" is above 2^31-1`)
	}
	if len(n) > MaxRSABits/8+1 {
		return nil, fmt.Errorf(`"n" has %d bytes, want at most %d`, len(n), MaxRSABits/8)
	}
	exponent := binary.BigEndian.Uint32(append(make([]byte, 4-len(e)), e...))
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent)}, nil
}

func (j *jwk) ecKey(curve elliptic.Curve) (*ecdsa.PublicKey, error) {
	x, err := decodeMember("x", j.X)
	if err != nil {
		return nil, err
	}
	y, err := decodeMember("y", j.Y)
	if err != nil {
		return nil, err
	}
	// RFC 7518 section 6.2.1.2: each coordinate has the full size of the curve.
	if size := (curve.Params().BitSize + 7) / 8; len(x) != size || len(y) != size {
		return nil, fmt.Errorf("coordinates have %d and %d bytes, want %d each", len(x), len(y), size)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, fmt.Errorf("point is not on %s", j.Curve)
	}
	return key, nil
}

// certificates decodes x5c, which is standard base64 with padding (RFC 7517 section 4.7).
func (j *jwk) certificates() ([][]byte, error) {
	if len(j.Certificates) > maxCertificates {
		return nil, fmt.Errorf(`"x5c" has %d certificates, at most %d are read`, len(j.Certificates), maxCertificates)
	}
	var chain [][]byte
	for i, c := range j.Certificates {
		der, err := base64.StdEncoding.Strict().DecodeString(c)
		if err != nil || strings.ContainsAny(c, "\r\n") {
			return nil, fmt.Errorf(`"x5c"[%d] is not base64`, i)
		}
		chain = append(chain, der)
	}
	return chain, nil
}

func decodeMember(name, value string) ([]byte, error) {
	if value == "" {
		return nil, fmt.Errorf("%q is missing", name)
	}
	_, raw, err := appendBase64(nil, []byte(value))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	return raw, nil
}

func sameKey(a, b JWK) bool { return a.Algorithm == b.Algorithm && SameKey(a.Key, b.Key) }

// SameKey tells whether two public keys are the same.
func SameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// MarshalJWK returns the JWK of a public signature key with the members kty,
// use, the key's own, kid, x5c and alg, in this order.
func MarshalJWK(k JWK) ([]byte, error) {
	m, err := keyMembers(k.Key)
	if err != nil {
		return nil, err
	}
	chain := make([]string, len(k.Certificate))
	for i, c := range k.Certificate {
		chain[i] = base64.StdEncoding.EncodeToString(c)
	}
	return json.Marshal(struct {
		Type         string   `json:"kty"`
		Use          string   `json:"use"`
		Curve        string   `json:"crv,omitempty"`
		X            string   `json:"x,omitempty"`
		Y            string   `json:"y,omitempty"`
		N            string   `json:"n,omitempty"`
		E            string   `json:"e,omitempty"`
		KeyID        string   `json:"kid,omitempty"`
		Certificates []string `json:"x5c,omitempty"`
		Algorithm    string   `json:"alg"`
	}{m.Type, "sig", m.Curve, m.X, m.Y, m.N, m.E, k.KeyID, chain, k.Algorithm})
}

// members are the required members of a key, those that its thumbprint is taken
// over. The fields stand in lexicographic order, as RFC 7638 section 3 asks.
type members struct {
	Curve string `json:"crv,omitempty"`
	E     string `json:"e,omitempty"`
	Type  string `json:"kty"`
	N     string `json:"n,omitempty"`
	X     string `json:"x,omitempty"`
	Y     string `json:"y,omitempty"`
}

func keyMembers(key crypto.PublicKey) (members, error) {
	encode := base64url.EncodeToString
	switch k := key.(type) {
	case *rsa.PublicKey:
		return members{Type: "RSA", N: encode(k.N.Bytes()), E: encode(big.NewInt(int64(k.E)).Bytes())}, nil
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			return members{}, fmt.Errorf("EC key: %w", err)
		}
		size := len(point) / 2
		return members{Type: "EC", Curve: k.Curve.Params().Name, X: encode(point[1 : 1+size]), Y: encode(point[1+size:])}, nil
	case ed25519.PublicKey:
		return members{Type: "OKP", Curve: "Ed25519", X: encode(k)}, nil
	}
	return members{}, fmt.Errorf("a key of type %T has no JWK here", key)
}

// Thumbprint is the base64url SHA-256 thumbprint of a public key (RFC 7638, RFC 8037 appendix A.3).
func Thumbprint(key crypto.PublicKey) (string, error) {
	m, err := keyMembers(key)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return base64url.EncodeToString(sum[:]), nil
}
