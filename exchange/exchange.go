// Package exchange holds the words of OAuth 2.0 Token Exchange (RFC 8693) for
// both ends: the request and its form, the answer, the errors, and a client.
//
// It owns syntax and bounds. It does not know tokens, rules or keys: a token is
// an opaque string here, and whether an audience may be had is not asked.
//
// Deliberately absent: delegation (actor tokens), client authentication, and
// sender-constrained tokens. A request that asks for one of them is refused,
// because an answer that silently leaves it out would be worth less than asked for.
package exchange

// GrantType is the grant type of a token exchange (RFC 8693 section 2.1).
const GrantType = "urn:ietf:params:oauth:grant-type:token-exchange"

// The token types (RFC 8693 section 3) that have a meaning here.
const (
	TypeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
	TypeIDToken     = "urn:ietf:params:oauth:token-type:id_token"
	TypeJWT         = "urn:ietf:params:oauth:token-type:jwt"
)

// Bounds of a request. A longer one is refused, never cut.
const (
	MaxToken      = 16 << 10 // bytes of a subject token
	MaxTargets    = 32       // audiences and resources together
	MaxTarget     = 2048     // bytes of one audience or resource
	MaxScope      = 4096     // bytes of the scope parameter
	MaxScopes     = 128      // values in it
	MaxClientID   = 1024     // bytes
	maxParameters = 64       // names in a form, those without meaning included
)

// Request is a token exchange request (RFC 8693 section 2.1).
type Request struct {
	SubjectToken       string   // required
	SubjectTokenType   string   // TypeIDToken or TypeJWT; empty means TypeIDToken when sent
	RequestedTokenType string   // empty, TypeAccessToken or TypeJWT
	Audience           []string // logical names of the services that the token is for
	Resource           []string // their absolute URIs (RFC 8707)
	Scope              []string
	// ClientID is how a public client names itself (RFC 6749 section 3.2.1).
	// It proves nothing; a broker refuses it unless the subject token was issued to that client.
	ClientID string
}

// Response is a successful answer (RFC 8693 section 2.2.1).
type Response struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"` // seconds
	Scope           string `json:"scope,omitempty"`
}
