package gateway

import (
	"net/http"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// The beginnings of the notary server's answers.
const (
	unauthorizedProver = "Unauthorized request from prover: "
	invalidProver      = "Invalid request from prover: "
)

// asNotary makes of a verdict what the TLSNotary notary server (v0.1.0-alpha.12) answers. It knows
// 401 for all that is wrong with a credential, and does not say what. What it
// could not refuse has the statuses of profile strict. It has no
// challenges; ours stay, as RFC 9110 section 15.5.2 asks.
func (v *verdict) asNotary() {
	switch v.reason {
	case access.MissingCredential, access.MalformedCredential, access.SeveralCredentials,
		access.UnknownAPIKey, access.InvalidToken,
		access.MissingClaim, access.UnexpectedType, access.UnexpectedValue, access.Denied, access.NoRule:
		v.status, v.public = http.StatusUnauthorized, unauthorizedProver+v.notaryReason()
		if v.challenge == "" {
			v.challenge = challengeOf(v.mode)
		}
	case access.UnknownSession, access.OtherIdentity, access.BadSessionQuery:
		v.public = invalidProver + v.public
	case access.Busy:
		v.public = "" // the notary server says it by status and Retry-After alone
	}
}

func (v *verdict) notaryReason() string {
	if v.mode == access.APIKey {
		if v.reason == access.MissingCredential {
			return "Missing API key"
		}
		return "Invalid API key"
	}
	switch v.reason {
	case access.MissingCredential:
		return "Missing JWT token"
	case access.MalformedCredential, access.SeveralCredentials:
		return "Invalid Authorization header: expected 'Bearer <token>'"
	}
	return "Invalid JWT token"
}
