package nitrotest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha512"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// keyring derives every key from one seed, so that a deployment that keeps its seed keeps its root.
type keyring struct {
	seed []byte
	keys map[string]*ecdsa.PrivateKey // by whose they are
}

// stranger is whose key belongs to nobody in the chain; faults sign with it.
const stranger = "stranger"

func newKeyring(seed []byte) (*keyring, error) {
	k := &keyring{seed, map[string]*ecdsa.PrivateKey{}}
	for _, whose := range append([]string{stranger}, ranks...) {
		key, err := k.derive(elliptic.P384(), whose)
		if err != nil {
			return nil, err
		}
		k.keys[whose] = key
	}
	return k, nil
}

// size is how many bytes a scalar of the curve has.
func size(curve elliptic.Curve) int { return (curve.Params().BitSize + 7) / 8 }

// derive expands the seed with HKDF-SHA-384 (RFC 5869) into a key. Few outputs are no scalar of the curve;
// then the next one is taken.
func (k *keyring) derive(curve elliptic.Curve, whose string) (*ecdsa.PrivateKey, error) {
	var err error
	for try := range 8 {
		var raw []byte
		if raw, err = hkdf.Key(sha512.New384, k.seed, nil, fmt.Sprintf("ctb nitrotest v1 key %d %s", try, whose), size(curve)); err != nil {
			return nil, err
		}
		if curve == elliptic.P521() {
			raw[0] &= 1 // P-521 has 521 bits
		}
		var key *ecdsa.PrivateKey
		if key, err = ecdsa.ParseRawPrivateKey(curve, raw); err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("derive the key of the %s: %w", whose, err)
}

// sign returns r ‖ s, big-endian, 48 bytes each, over the SHA-384 of data (RFC 9053 section 2.1). The signature is deterministic (RFC 6979), so that one seed and one instant make one document, byte for byte.
func sign(key *ecdsa.PrivateKey, data []byte) ([]byte, error) {
	digest := sha512.Sum384(data)
	der, err := key.Sign(nil, digest[:], crypto.SHA384)
	if err != nil {
		return nil, err
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, err
	}
	out := make([]byte, 96)
	sig.R.FillBytes(out[:48])
	sig.S.FillBytes(out[48:])
	return out, nil
}
