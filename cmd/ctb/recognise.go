package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// input is what carries evidence: evidence by itself, an attested certificate, a key
// set, or a broker's attestation document, which has its keys and their collateral.
type input struct {
	evidence    *attest.Evidence
	cert        *x509.Certificate
	jwks        []byte     // the text of the set
	keys        []jose.JWK // its keys, at least one
	attestation *attest.Attestation
}

// unreadableError says that what was read is no evidence, or of a form that nobody knows.
type unreadableError struct{ error }

func (e *unreadableError) Unwrap() error { return e.error }

// subject reads what carries evidence, and what its broker staples to it.
func (j *judge) subject(ctx context.Context, in reader, source string) (*input, error) {
	data, err := in.evidence(ctx, source)
	if err != nil {
		return nil, err
	}
	subject, err := recognise(data)
	if err != nil {
		return nil, &unreadableError{fmt.Errorf("%s: %w", source, err)}
	}
	if j.staple = subject.attestation; subject.keys != nil {
		j.staple = in.stapled(ctx, source)
	}
	return subject, nil
}

// set tells whether it is about any number of keys.
func (in *input) set() bool { return in.keys != nil || in.attestation != nil }

// recognise finds out by its content what data is.
func recognise(data []byte) (*input, error) {
	if e, err := rawEvidence(data); e != nil || err != nil {
		return whole(&input{evidence: e}, err)
	}
	switch trimmed := bytes.TrimSpace(data); {
	case len(trimmed) == 0:
		return nil, errors.New("got nothing, want evidence, a certificate or a key set")
	case trimmed[0] == '{':
		return recogniseJSON(trimmed)
	case bytes.HasPrefix(trimmed, []byte("-----BEGIN ")):
		return recognisePEM(trimmed)
	case isText(trimmed): // before DER, whose first byte is the digit 0
		return recogniseText(string(trimmed))
	case data[0] == 0x30: // a SEQUENCE
		return recogniseDER(data)
	}
	return nil, errUnknown
}

var errUnknown = errors.New("got neither evidence (a quote of Intel SGX or TDX, a report of AMD SEV-SNP, a document of an AWS Nitro Enclave; each raw, hex or base64), " +
	"nor a certificate (PEM or DER), nor a JSON Web Key set, nor a broker's attestation document")

// whole is the input, or nil if there is an error.
func whole(in *input, err error) (*input, error) {
	if err != nil {
		return nil, err
	}
	return in, nil
}

func isText(data []byte) bool {
	return !bytes.ContainsFunc(data, func(c rune) bool { return c > '~' || c < ' ' && c != '\t' && c != '\n' && c != '\r' })
}

func recogniseJSON(data []byte) (*input, error) {
	// Only the names of the members are asked here, to say what it may be
	// instead; the set itself is read strictly.
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	has := func(name string) bool { _, ok := members[name]; return ok }
	switch {
	case has("keys") && has("issuer"):
		a, err := attest.ParseAttestation(data)
		if err != nil {
			return nil, err
		}
		if len(a.Keys) == 0 {
			return nil, errors.New("the attestation document has no keys: a broker without evidence publishes none, and its /readyz says why")
		}
		return &input{attestation: a}, nil
	case has("keys"):
		set, err := jose.ParseSet(data)
		if err != nil {
			return nil, err
		}
		if len(set) == 0 {
			return nil, errors.New("the key set has no keys: a broker without evidence publishes none, and its /readyz says why")
		}
		return &input{jwks: data, keys: set}, nil
	case looksLikeCollateral(has):
		return nil, errors.New("this is collateral, which judges evidence: give it with --collateral; \"ctb collateral show\" shows it")
	case has("kty"):
		return nil, errors.New(`this is a single key, want a set: {"keys": […]}`)
	}
	return nil, errors.New(`got JSON without "keys", want a JSON Web Key set`)
}

// looksLikeCollateral tells by its members whether JSON is meant to be collateral, Intel's or AMD's.
func looksLikeCollateral(has func(string) bool) bool {
	return has("tcb_info") || has("tcbInfo") || has("leaf") || has("crl") || has("ca") && has("root")
}

func recognisePEM(data []byte) (*input, error) {
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, errors.New("got PEM that is damaged, want a certificate")
	}
	if block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("got PEM of %q, want a CERTIFICATE", block.Type)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("got PEM with more behind the first certificate, want that of the key alone")
	}
	return recogniseDER(block.Bytes)
}

func recogniseDER(der []byte) (*input, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("looks like a certificate, but: %w", err)
	}
	return &input{cert: cert}, nil
}

// recogniseText reads hex or base64 of a quote or a certificate.
func recogniseText(text string) (*input, error) {
	if strings.Count(text, ".") == 2 && strings.HasPrefix(text, "ey") {
		return nil, errors.New(`this is a token, which carries no evidence: see "ctb verify", and inspect the key set of its issuer`)
	}
	dense := strings.Join(strings.Fields(text), "")
	candidates := [][]byte{}
	if raw, err := hex.DecodeString(strings.TrimPrefix(dense, "0x")); err == nil {
		candidates = append(candidates, raw)
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if raw, err := e.DecodeString(dense); err == nil {
			candidates = append(candidates, raw)
		}
	}
	for _, raw := range candidates {
		if e, err := rawEvidence(raw); e != nil || err != nil {
			return whole(&input{evidence: e}, err)
		}
		if len(raw) > 0 && raw[0] == 0x30 {
			return recogniseDER(raw)
		}
	}
	return nil, errUnknown
}
