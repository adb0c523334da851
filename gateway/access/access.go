// Package access is the vocabulary of the gateway: who asks, and why a request
// is turned away.
//
// The packages of the gateway (credentials, sessions, limits, the proxy, the
// services beside other proxies) share these words and do not know each other.
// It owns no decision.
package access

import (
	"net/http"
	"time"

	"github.com/confidential-token-broker/ctb"
)

// Mode is the kind of credential that a request showed.
type Mode string

// The modes.
const (
	None    Mode = "none"    // no credential: none is asked for, or none was shown
	JWT     Mode = "jwt"     // a bearer token
	APIKey  Mode = "api_key" // a key of the whitelist
	Session Mode = "session" // the id of a session that was handed out for one of the others
)

// Identity is whose credential was accepted. It is shared: do not modify it.
type Identity struct {
	Mode Mode
	// ID is the same for all credentials of the same holder, and another for
	// everyone else's: for limits, and for the bond of a session. It has at most
	// 64 bytes, holds no secret, and is not for people's eyes.
	ID string
	// Name is the API key's "Name" in the whitelist; empty for tokens.
	Name string
	// Token is nil for API keys.
	Token *ctb.Token
}

// Authenticator finds out who asks.
type Authenticator interface {
	// Authenticate returns who shows a good credential. The error is a
	// *Refusal. A request that shows none is refused with MissingCredential.
	Authenticate(r *http.Request) (*Identity, error)
	// Strip takes the credentials away from a request that goes on to the upstream: from
	// header and from the raw query, which it returns. It takes away whatever
	// stands where a credential may stand, good or not.
	Strip(header http.Header, rawQuery string) (strippedQuery string)
	// Still tells whether an identity that was accepted earlier is still good, but
	// for the expiry of its token: its key is neither retired nor taken from the whitelist.
	Still(*http.Request, *Identity) error
}

// Subprotocol is an Authenticator whose credential may stand among the subprotocols of a
// WebSocket: "Sec-WebSocket-Protocol: bearer, <token>".
type Subprotocol interface {
	// Subprotocol returns the word that a client's list of subprotocols has before the
	// token, as it is spelt there; empty if it has none. Where the upstream, which sees
	// neither, chooses no subprotocol, the 101 must name this one: browsers give
	// up a connection that has none of those that they offered (RFC 6455 section 4.1).
	Subprotocol(header http.Header) string
}

// Reason says, in one of a few words, why a request was turned away: for
// metrics and logs.
type Reason string

// The reasons.
const (
	Allowed Reason = "allowed"

	// The request shows no usable credential.
	MissingCredential   Reason = "missing_credential"
	MalformedCredential Reason = "malformed_credential" // an Authorization header of another scheme or form
	SeveralCredentials  Reason = "several_credentials"  // in two places, or twice in one (RFC 6750 section 2)

	// The credential is bad.
	UnknownAPIKey Reason = "unknown_api_key"
	InvalidToken  Reason = "invalid_token" // Fault says more
	// The keys cannot be had or trusted: nobody's fault who asks.
	KeysUnavailable Reason = "keys_unavailable"

	// The credential is good, but not enough.
	MissingClaim    Reason = "missing_claim"
	UnexpectedType  Reason = "unexpected_type"
	UnexpectedValue Reason = "unexpected_value"
	Denied          Reason = "denied"   // a rule that denies holds
	NoRule          Reason = "no_rule"  // no rule of the route holds
	NoRoute         Reason = "no_route" // routes are given, and none fits

	// Too much.
	RateLimited     Reason = "rate_limited"      // requests of this identity in a second
	TooManyAtOnce   Reason = "too_many_at_once"  // requests of this identity at the same time
	TooManySessions Reason = "too_many_sessions" // of this identity, or of all
	Busy            Reason = "busy"              // the concurrency limit of all

	// The session.
	UnknownSession  Reason = "unknown_session" // or used, or expired
	OtherIdentity   Reason = "other_identity"  // the session is somebody else's
	BadSessionQuery Reason = "bad_session_request"

	// The request should not be passed on, whoever asks.
	BadRequest Reason = "bad_request"
	BadMethod  Reason = "bad_method"
)

// Refusal is why a request was turned away. One place, the gateway's profile, makes an answer of it.
type Refusal struct {
	Reason Reason
	Mode   Mode      // the credential at fault; None if there was none
	Fault  ctb.Fault // of InvalidToken
	// Public is what the client may know: no secret, nothing of the inside.
	Public string
	// Err is what the log gets in its place; nil: Public. It holds no token and no key.
	Err error
	// Fingerprint is the beginning of the SHA-256 of a token that was refused, to find it in another log, in
	// hex; empty if there was none. API keys have none: the hash of a short key tells the key.
	Fingerprint string
	// Requirement is what the token misses; nil if it misses nothing.
	Requirement *ctb.Requirement
	RetryAfter  time.Duration // of what passes with time; 0: unknown
}

// Error returns the reason for the log.
func (r *Refusal) Error() string {
	if r.Err != nil {
		return r.Err.Error()
	}
	return r.Public
}

// Unwrap returns Err.
func (r *Refusal) Unwrap() error { return r.Err }
