package exchange

// The error codes (RFC 6749 section 5.2, RFC 8693 section 2.2.2, RFC 8707
// section 2; the last two have their meaning from RFC 6749 section 4.1.2.1).
const (
	InvalidRequest         = "invalid_request"
	InvalidClient          = "invalid_client"
	InvalidTarget          = "invalid_target"
	InvalidScope           = "invalid_scope"
	UnsupportedGrantType   = "unsupported_grant_type"
	TemporarilyUnavailable = "temporarily_unavailable"
	ServerError            = "server_error"
)

// Error is an error answer. Err is the reason, for the audit alone: it is never sent.
type Error struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
	Err         error  `json:"-"`
}

// Error says what the asker may know: never Err.
func (e *Error) Error() string {
	if e.Description == "" {
		return e.Code
	}
	return e.Code + ": " + e.Description
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

func refuse(code, description string) error {
	return &Error{Code: code, Description: description}
}
