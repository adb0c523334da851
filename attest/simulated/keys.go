package simulated

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// A keyName names one of the platform's P-256 keys.
type keyName string

const (
	rootKey        keyName = "root CA"
	platformCAKey  keyName = "PCK platform CA"
	processorCAKey keyName = "PCK processor CA"
	tcbSignerKey   keyName = "TCB signing"
	qeSignerKey    keyName = "TCB signing of the QE identity" // where it has a signer of its own
	pckKey         keyName = "PCK"
	attestationKey keyName = "attestation"
	strangerKey    keyName = "stranger" // belongs to nobody in the chain; faults sign with it
)

// keyring derives everything secret or unique from one seed, so that a
// deployment that keeps its seed keeps its root.
type keyring struct {
	seed []byte
	keys map[keyName]*ecdsa.PrivateKey
}

func newKeyring(seed []byte) (*keyring, error) {
	k := &keyring{seed: seed, keys: make(map[keyName]*ecdsa.PrivateKey)}
	for _, n := range []keyName{rootKey, platformCAKey, processorCAKey, tcbSignerKey, qeSignerKey, pckKey, attestationKey, strangerKey} {
		key, err := k.derive(n)
		if err != nil {
			return nil, err
		}
		k.keys[n] = key
	}
	return k, nil
}

func (k *keyring) get(n keyName) *ecdsa.PrivateKey { return k.keys[n] }

// derive expands the seed with HKDF-SHA-256 (RFC 5869). One in 2³² outputs is no
// scalar of P-256; then the next one is taken.
func (k *keyring) derive(n keyName) (*ecdsa.PrivateKey, error) {
	var err error
	for try := range 8 {
		var raw []byte
		if raw, err = k.bytes(fmt.Sprintf("key %d %s", try, n), 32); err != nil {
			return nil, err
		}
		var key *ecdsa.PrivateKey
		if key, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), raw); err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("derive the %s key: %w", n, err)
}

// bytes derives n bytes for a purpose.
func (k *keyring) bytes(purpose string, n int) ([]byte, error) {
	return hkdf.Key(sha256.New, k.seed, nil, "ctb simulated v1 "+purpose, n)
}

// read fills b with the bytes of a purpose.
func (k *keyring) read(purpose string, b []byte) error {
	out, err := k.bytes(purpose, len(b))
	copy(b, out)
	return err
}

// signRaw returns the 64 bytes r ‖ s, big-endian, over the SHA-256 of data. The
// signature is deterministic (RFC 6979), so that one seed and one instant make
// one platform, byte for byte.
func signRaw(key *ecdsa.PrivateKey, data []byte) ([]byte, error) {
	digest := sha256.Sum256(data)
	der, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, err
	}
	out := make([]byte, 64)
	sig.R.FillBytes(out[:32])
	sig.S.FillBytes(out[32:])
	return out, nil
}

// rawPublic returns the 64 bytes x ‖ y, big-endian.
func rawPublic(key *ecdsa.PrivateKey) ([]byte, error) {
	b, err := key.PublicKey.Bytes() // SEC 1, uncompressed: 4 ‖ x ‖ y
	if err != nil {
		return nil, err
	}
	return b[1:], nil
}
