package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// attestationKeys reads a broker's attestation document in the place of its key set: the document, and
// the keys in it that sign tokens, as a key set. It returns nil for anything else. Nothing is believed
// here: the keys are judged by their certificates, as those of any key set.
func attestationKeys(data []byte) (*attest.Attestation, []byte, error) {
	in, err := recognise(bytes.TrimSpace(data))
	if err != nil || in.attestation == nil {
		return nil, nil, nil // whoever reads the key set says what is wrong with it
	}
	set := struct {
		Keys []json.RawMessage `json:"keys"`
	}{}
	for _, k := range in.attestation.Keys {
		if k.Use != attest.UseSignature {
			continue
		}
		key, err := jwkOf(k)
		if err != nil {
			return nil, nil, fmt.Errorf("the attestation document's key %.40q: %w", k.KeyID, err)
		}
		set.Keys = append(set.Keys, key)
	}
	if len(set.Keys) == 0 {
		return nil, nil, errors.New("the attestation document has no key that signs tokens")
	}
	keys, err := json.Marshal(set)
	return in.attestation, keys, err
}

// jwkOf is the key as its broker's key set has it. The document names no algorithm: it follows from the key.
func jwkOf(k attest.AttestedKey) (json.RawMessage, error) {
	cert, err := x509.ParseCertificate(k.Certificates[0])
	if err != nil {
		return nil, err
	}
	algorithm, err := jose.DefaultAlgorithm(cert.PublicKey)
	if err != nil {
		return nil, err
	}
	return jose.MarshalJWK(jose.JWK{KeyID: k.KeyID, Algorithm: algorithm, Key: cert.PublicKey, Certificate: k.Certificates})
}
