package ctb

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/confidential-token-broker/ctb/internal/jose"
)

// UnverifiedIssuer reads "iss" out of a token that nobody has verified. It
// serves to choose among verifiers of one issuer each, and never to decide:
// the one that is chosen insists on its issuer and has no other's keys. The
// error wraps ErrInvalidToken.
func UnverifiedIssuer(raw string) (string, error) {
	if len(raw) > jose.MaxSize {
		return "", noIssuer(Malformed, "it is longer than 16 KiB")
	}
	_, rest, _ := strings.Cut(raw, ".")
	encoded, _, ok := strings.Cut(rest, ".")
	if !ok {
		return "", noIssuer(Malformed, "it is no compact JWT, want header.payload.signature")
	}
	payload, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return "", noIssuer(Malformed, "its payload is not base64url")
	}
	value, ok := jose.Member(payload, "iss") // whether another follows, the verifier will see
	if !ok {
		return "", noIssuer(WrongIssuer, "it has no iss")
	}
	name, err := jose.StringValue([]byte("iss"), value)
	if err != nil {
		return "", noIssuer(Malformed, err.Error())
	}
	return name, nil
}

func noIssuer(fault Fault, detail string) error {
	return &tokenError{fault, "the token names no issuer", errors.New(detail)}
}
