package ctb

import "errors"

// Fault says, in one word, what is wrong with a token: for metrics, and for who explains a refusal.
type Fault string

// The faults, in the order in which they are looked for.
const (
	Malformed     Fault = "malformed" // its form, or its claims
	WrongType     Fault = "type"
	WrongIssuer   Fault = "issuer"
	WrongAudience Fault = "audience"
	Expired       Fault = "expired"
	NotYetValid   Fault = "not_yet_valid"
	UnknownKey    Fault = "unknown_key"
	BadSignature  Fault = "signature"
)

// FaultOf returns what is wrong with the token that an error of Verify is
// about; empty if it is not the token's fault.
func FaultOf(err error) Fault {
	var token *tokenError
	if errors.As(err, &token) {
		return token.fault
	}
	return ""
}

// PublicOf returns what the client may know of an error of Verify: what is
// wrong with its token, without the details, which are for the log; empty if
// it is not the token's fault.
func PublicOf(err error) string {
	var token *tokenError
	if errors.As(err, &token) {
		return token.public
	}
	return ""
}

// tokenError is the token's fault: what the client may know, and the details for the log.
type tokenError struct {
	fault  Fault
	public string
	detail error
}

func (e *tokenError) Error() string {
	if e.detail == nil {
		return "invalid token: " + e.public
	}
	return "invalid token: " + e.public + ": " + e.detail.Error()
}

func (e *tokenError) Unwrap() error { return ErrInvalidToken }
