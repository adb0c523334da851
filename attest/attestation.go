package attest

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/confidential-token-broker/ctb/internal/jose"
)

// Attestation is what a broker serves below its issuer URL at
// /.well-known/attestation: its keys with their evidence and, stapled to
// them, the collateral by which the evidence can be verified without a way to
// the hardware's maker.
//
// Nothing in it is believed for being in it. The collateral is signed by the
// hardware's maker, and verified as collateral from anywhere is; a certificate
// is appraised as one of a key set is ([AppraiseCertificate]). The rest tells people what to expect.
type Attestation struct {
	Issuer      string        `json:"issuer"`                 // the broker's issuer URL
	RulesDigest string        `json:"rules_digest,omitempty"` // "sha256:" and 64 hex digits; empty if no rules are enforced
	Simulated   bool          `json:"simulated,omitempty"`    // the evidence is simulated hardware's
	Keys        []AttestedKey `json:"keys"`
	// Collateral has an object for each platform, by its name as in [Evidence]: for "dcap" a QuoteCollateralV3.
	Collateral map[string]stdjson.RawMessage `json:"collateral,omitempty"`
	// Fresh is there where the broker was asked with a nonce: evidence of now, over all its keys ([CheckFresh]).
	Fresh *Fresh `json:"fresh,omitempty"`
}

// AttestedKey is one key of an [Attestation].
type AttestedKey struct {
	KeyID        string   `json:"kid"`
	Use          string   `json:"use"` // what it is bound for: UseSignature, …
	Certificates [][]byte `json:"x5c"` // DER, base64 in JSON as in a JWK (RFC 7517 section 4.7); the attested one first
}

// MaxAttestation bounds the document: what is larger is not read. One of a few
// keys and the collateral of one platform has some 60 KB.
const MaxAttestation = 1 << 20 // bytes

const maxPlatforms = 16 // of the collateral in one document

// ParseAttestation reads the document, of at most [MaxAttestation] bytes. It
// checks the form: types, no name given twice, and that there are an issuer and
// keys (perhaps none). Members that it does not know are ignored, since later versions add some.
func ParseAttestation(data []byte) (*Attestation, error) {
	if len(data) > MaxAttestation {
		return nil, fmt.Errorf("attestation document: got %d bytes, want at most %d", len(data), MaxAttestation)
	}
	a := new(Attestation)
	if err := json.Unmarshal(data, a); err != nil {
		return nil, fmt.Errorf("attestation document: %w", jose.JSONError(err))
	}
	if err := a.check(); err != nil {
		return nil, fmt.Errorf("attestation document: %w", err)
	}
	return a, nil
}

func (a *Attestation) check() error {
	switch {
	case a.Issuer == "":
		return errors.New(`no "issuer"`)
	case a.Keys == nil:
		return errors.New(`no "keys"`)
	case len(a.Keys) > jose.MaxKeys:
		return fmt.Errorf("got %d keys, want at most %d", len(a.Keys), jose.MaxKeys)
	case len(a.Collateral) > maxPlatforms:
		return fmt.Errorf("got collateral of %d platforms, want at most %d", len(a.Collateral), maxPlatforms)
	}
	for i, k := range a.Keys {
		switch {
		case k.KeyID == "":
			return fmt.Errorf(`keys[%d]: no "kid"`, i)
		case k.Use == "":
			return fmt.Errorf(`keys[%d]: no "use"`, i)
		case len(k.Certificates) == 0 || slices.ContainsFunc(k.Certificates, func(der []byte) bool { return len(der) == 0 }):
			return fmt.Errorf(`keys[%d]: no certificate in "x5c"`, i)
		}
	}
	if a.Fresh != nil {
		if err := a.Fresh.check(); err != nil {
			return err
		}
	}
	for platform, c := range a.Collateral {
		if platform == "" || !bytes.HasPrefix(bytes.TrimLeft(c, " \t\r\n"), []byte("{")) {
			return fmt.Errorf("collateral of the platform %q: want an object", clipTo(platform, maxNamed))
		}
	}
	return nil
}

// Marshal returns the document as [ParseAttestation] reads it. The error tells what it lacks.
func (a *Attestation) Marshal() ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, fmt.Errorf("attestation document: %w", err)
	}
	text, err := json.Marshal(a, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("attestation document: %w", jose.JSONError(err))
	}
	if len(text) > MaxAttestation {
		return nil, fmt.Errorf("attestation document: got %d bytes, want at most %d", len(text), MaxAttestation)
	}
	return text, nil
}
