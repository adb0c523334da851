// Package jose is the small profile of JSON Web Signature that the broker
// issues and the verifier accepts: the compact form of RFC 7515 with the
// algorithms of [Algorithms], and JSON Web Key sets (RFC 7517) of public keys.
//
// It owns syntax and signatures. It does not know claims, issuers or time, and
// never chooses a key: whoever calls [Message.Verify] names the algorithm and
// the key, so that a token cannot choose either.
//
// Deliberately absent: HMAC, "none", encryption, the JSON serialisations,
// detached and unencoded payloads (RFC 7797), and every "crit" extension.
package jose

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// The algorithms, by their names in RFC 7518 section 3.1 and RFC 8037 section 3.1.
const (
	RS256 = "RS256"
	RS384 = "RS384"
	RS512 = "RS512"
	PS256 = "PS256"
	PS384 = "PS384"
	PS512 = "PS512"
	ES256 = "ES256"
	ES384 = "ES384"
	EdDSA = "EdDSA"
)

// MaxSize is the longest compact serialisation that Parse reads, in bytes.
const MaxSize = 16 << 10

// Header holds the header parameters that have a meaning here. Others are
// ignored, as RFC 7515 section 4 asks, but for "crit" and "b64", which are refused.
type Header struct {
	Algorithm string // "alg"
	KeyID     string // "kid", empty if absent
	Type      string // "typ", as written, empty if absent
}

// Message is a parsed compact JWS whose signature has not been checked.
type Message struct {
	Header    Header
	Payload   []byte // decoded
	Signature []byte // decoded
	signed    []byte // the signing input (RFC 7515 section 5.2, step 8), as received
}

// Parse splits and decodes a compact JWS strictly: three parts, base64url
// without padding, line breaks or stray bits, and a header that is one JSON
// object of unique names.
func Parse(compact string) (*Message, error) {
	if len(compact) > MaxSize {
		return nil, fmt.Errorf("token has %d bytes, at most %d are read", len(compact), MaxSize)
	}
	text := []byte(compact)
	header, rest, ok := bytes.Cut(text, dot)
	payload, signature, ok2 := bytes.Cut(rest, dot)
	if !ok || !ok2 || bytes.Contains(signature, dot) {
		return nil, fmt.Errorf("token has %d parts, want header.payload.signature", bytes.Count(text, dot)+1)
	}
	if len(signature) == 0 {
		return nil, errors.New("token has no signature")
	}

	// One buffer for all three: they live as long as each other.
	buf := make([]byte, 0, len(text)*3/4)
	buf, h, err := appendBase64(buf, header)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	buf, p, err := appendBase64(buf, payload)
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	_, sig, err := appendBase64(buf, signature)
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	m := &Message{Payload: p, Signature: sig, signed: text[:len(header)+1+len(payload)]}
	if m.Header, err = parseHeader(h); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return m, nil
}

var dot = []byte{'.'}

func parseHeader(data []byte) (Header, error) {
	var h Header
	var hasAlgorithm bool
	err := EachMember(data, func(name []byte, value jsontext.Value) (err error) {
		switch string(name) {
		case "alg":
			hasAlgorithm = true
			h.Algorithm, err = StringValue(name, value)
		case "kid":
			h.KeyID, err = StringValue(name, value)
		case "typ":
			h.Type, err = StringValue(name, value)
		case "crit":
			err = errors.New("crit is not supported: no extension is understood here (RFC 7515 section 4.1.11)")
		case "b64":
			err = errors.New("b64 is not supported (RFC 7797 section 7 forbids it in a JWT)")
		}
		return err
	})
	if err == nil && !hasAlgorithm {
		err = errors.New("alg is missing")
	}
	return h, err
}

// appendBase64 decodes s behind dst and returns the longer dst and the decoded part of it.
func appendBase64(dst, s []byte) (all, part []byte, err error) {
	// The decoder skips line breaks, which RFC 7515 section 2 does not allow.
	if i := bytes.IndexAny(s, "\r\n"); i >= 0 {
		return nil, nil, fmt.Errorf("line break at byte %d of base64url", i)
	}
	all, err = base64url.AppendDecode(dst, s)
	if err != nil {
		var at base64.CorruptInputError
		if errors.As(err, &at) {
			return nil, nil, fmt.Errorf("not base64url at byte %d (RFC 7515 section 2: no padding, no stray bits)", int64(at))
		}
		return nil, nil, err
	}
	return all, all[len(dst):len(all):len(all)], nil
}

// Strict refuses unused trailing bits that are not zero: each value has one spelling.
var base64url = base64.RawURLEncoding.Strict()
