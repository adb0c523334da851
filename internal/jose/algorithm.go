package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// RSA moduli outside these bounds are refused: shorter ones are weak
// (RFC 7518 section 3.3), longer ones cost whoever verifies too much: minutes, for half a million bits, which no context ends.
const (
	minRSABits = 2048
	MaxRSABits = 8192
)

type family int

const (
	pkcs1 family = iota
	pss
	ec
	ed
)

type algorithm struct {
	family family
	hash   crypto.Hash // unset for ed
	curve  elliptic.Curve
}

func lookup(name string) (algorithm, error) {
	switch name {
	case RS256:
		return algorithm{family: pkcs1, hash: crypto.SHA256}, nil
	case RS384:
		return algorithm{family: pkcs1, hash: crypto.SHA384}, nil
	case RS512:
		return algorithm{family: pkcs1, hash: crypto.SHA512}, nil
	case PS256:
		return algorithm{family: pss, hash: crypto.SHA256}, nil
	case PS384:
		return algorithm{family: pss, hash: crypto.SHA384}, nil
	case PS512:
		return algorithm{family: pss, hash: crypto.SHA512}, nil
	case ES256:
		return algorithm{family: ec, hash: crypto.SHA256, curve: elliptic.P256()}, nil
	case ES384:
		return algorithm{family: ec, hash: crypto.SHA384, curve: elliptic.P384()}, nil
	case EdDSA:
		return algorithm{family: ed}, nil
	}
	return algorithm{}, fmt.Errorf("algorithm %q is not supported, want one of %s", printable(name), strings.Join(Algorithms(), ", "))
}

// Algorithms returns the names of all supported algorithms.
func Algorithms() []string {
	return []string{RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA}
}

// DefaultAlgorithm is the algorithm of a key that names none: RS256 for RSA,
// ES256 for P-256, ES384 for P-384, EdDSA for Ed25519.
func DefaultAlgorithm(key crypto.PublicKey) (string, error) {
	for _, name := range []string{RS256, ES256, ES384, EdDSA} {
		if a, _ := lookup(name); a.fits(key) {
			return name, nil
		}
	}
	return "", fmt.Errorf("a key of type %s signs with no supported algorithm", keyName(key))
}

// CheckKey tells whether the key may be used with the algorithm: the family
// and curve fit, and RSA has from 2048 to 8192 bits.
func CheckKey(name string, key crypto.PublicKey) error {
	a, err := lookup(name)
	if err != nil {
		return err
	}
	if !a.fits(key) {
		return fmt.Errorf("a key of type %s can't be used with %s", keyName(key), name)
	}
	if k, ok := key.(*rsa.PublicKey); ok {
		if bits := k.N.BitLen(); bits < minRSABits || bits > MaxRSABits {
			return fmt.Errorf("RSA key has %d bits, want %d to %d", bits, minRSABits, MaxRSABits)
		}
		if k.E < 3 || k.E%2 == 0 {
			return errors.New("RSA exponent is even or below 3")
		}
	}
	return nil
}

func (a algorithm) fits(key crypto.PublicKey) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return a.family == pkcs1 || a.family == pss
	case *ecdsa.PublicKey:
		return a.family == ec && k.Curve == a.curve
	case ed25519.PublicKey:
		return a.family == ed && len(k) == ed25519.PublicKeySize
	}
	return false
}

// GenerateKey makes a private key for the algorithm; rsaBits is the size where it is RSA's.
func GenerateKey(name string, rsaBits int) (crypto.Signer, error) {
	a, err := lookup(name)
	if err != nil {
		return nil, err
	}
	switch a.family {
	case pkcs1, pss:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case ec:
		return ecdsa.GenerateKey(a.curve, rand.Reader)
	default:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
}

func keyName(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return "RSA"
	case *ecdsa.PublicKey:
		return "EC " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", key)
}

// Verify checks the signature with the named algorithm and key. It fails if
// the header names another algorithm: a token does not choose (RFC 8725 section 3.1).
func (m *Message) Verify(name string, key crypto.PublicKey) error {
	if m.Header.Algorithm != name {
		return fmt.Errorf("token is signed with %q, its key is for %s alone", printable(m.Header.Algorithm), name)
	}
	if err := CheckKey(name, key); err != nil {
		return err
	}
	a, _ := lookup(name) // CheckKey knows it
	if !a.verify(key, m.signed, m.Signature) {
		return errors.New("signature is wrong")
	}
	return nil
}

func (a algorithm) verify(key crypto.PublicKey, signed, sig []byte) bool {
	switch a.family {
	case pkcs1:
		return rsa.VerifyPKCS1v15(key.(*rsa.PublicKey), a.hash, a.sum(signed), sig) == nil
	case pss:
		// RFC 7518 section 3.5: the salt is as long as the hash.
		return rsa.VerifyPSS(key.(*rsa.PublicKey), a.hash, a.sum(signed), sig, pssOptions) == nil
	case ec:
		size := (a.curve.Params().BitSize + 7) / 8
		if len(sig) != 2*size {
			return false
		}
		return ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), a.sum(signed), asn1ECDSA(sig))
	default:
		return ed25519.Verify(key.(ed25519.PublicKey), signed, sig)
	}
}

var pssOptions = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}

func (a algorithm) sum(data []byte) []byte {
	switch a.hash {
	case crypto.SHA256:
		sum := sha256.Sum256(data)
		return sum[:]
	case crypto.SHA384:
		sum := sha512.Sum384(data)
		return sum[:]
	default:
		sum := sha512.Sum512(data)
		return sum[:]
	}
}

// Sign returns the compact JWS of payload. The header has the members typ, alg
// and kid, in this order; an empty type or key id is left out.
func Sign(h Header, payload []byte, key crypto.Signer) (string, error) {
	if err := CheckKey(h.Algorithm, key.Public()); err != nil {
		return "", err
	}
	header, err := h.marshal()
	if err != nil {
		return "", err
	}
	a, _ := lookup(h.Algorithm)
	out := make([]byte, 0, base64url.EncodedLen(len(header))+base64url.EncodedLen(len(payload))+base64url.EncodedLen(a.signatureSize(key))+2)
	out = base64url.AppendEncode(out, header)
	out = append(out, '.')
	out = base64url.AppendEncode(out, payload)
	sig, err := a.sign(key, out)
	if err != nil {
		return "", fmt.Errorf("signing with %s: %w", h.Algorithm, err)
	}
	out = append(out, '.')
	out = base64url.AppendEncode(out, sig)
	return string(out), nil
}

func (a algorithm) signatureSize(key crypto.Signer) int {
	if k, ok := key.Public().(*rsa.PublicKey); ok {
		return k.Size()
	}
	if a.family == ec {
		return 2 * ((a.curve.Params().BitSize + 7) / 8)
	}
	return ed25519.SignatureSize
}

func (h Header) marshal() ([]byte, error) {
	out := append(make([]byte, 0, 128), '{')
	for _, m := range []struct{ name, value string }{{`"typ":`, h.Type}, {`"alg":`, h.Algorithm}, {`"kid":`, h.KeyID}} {
		if m.value == "" {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		var err error
		if out, err = jsontext.AppendQuote(append(out, m.name...), m.value); err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
	}
	return append(out, '}'), nil
}

func (a algorithm) sign(key crypto.Signer, signed []byte) ([]byte, error) {
	switch a.family {
	case pkcs1:
		return key.Sign(rand.Reader, a.sum(signed), a.hash)
	case pss:
		return key.Sign(rand.Reader, a.sum(signed), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: a.hash})
	case ec:
		der, err := key.Sign(rand.Reader, a.sum(signed), a.hash)
		if err != nil {
			return nil, err
		}
		return rawECDSA(der, (a.curve.Params().BitSize+7)/8)
	default:
		return key.Sign(rand.Reader, signed, crypto.Hash(0))
	}
}

// printable shortens what came from outside for an error message.
func printable(s string) string {
	const most = 32
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '.'
		}
		return r
	}, s)
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// Supported tells whether the algorithm is one of [Algorithms].
func Supported(name string) bool { return slices.Contains(Algorithms(), name) }
