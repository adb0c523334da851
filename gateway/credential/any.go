package credential

import (
	"cmp"
	"errors"
	"net/http"
	"slices"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// Any accepts what one of its authenticators accepts: tokens and API keys side by side, while clients
// move from one to the other.
//
// A request may show several, each where its authenticator looks for it: the first
// that is good counts, in the order of Any, for what its holder may do as well. What is bad beside it
// does no harm, for its client could have left it out; nothing of either reaches the upstream.
//
// Where none is good, the refusal is the most telling one, whatever the order: see [access.Reason]. So keys
// that cannot be had are no client's fault, and a raw API key in Authorization
// is an unknown key, not a malformed token.
type Any []access.Authenticator

// telling are the reasons of refusals, the most telling first; one that is not in the list comes before all.
var telling = []access.Reason{
	access.SeveralCredentials,  // nobody can tell what was meant
	access.KeysUnavailable,     // it may be good
	access.InvalidToken,        // it was meant to be a token
	access.UnknownAPIKey,       // it may have been meant for another authenticator
	access.MalformedCredential, // certainly
	access.MissingCredential,
}

// Authenticate implements access.Authenticator.
func (a Any) Authenticate(r *http.Request) (*access.Identity, error) {
	var refused error
	for _, one := range a {
		who, err := one.Authenticate(r)
		if err == nil {
			return who, nil
		}
		refused = moreTelling(refused, err)
	}
	return nil, cmp.Or(refused, error(refuseToken(access.MissingCredential, "no credential is accepted")))
}

// moreTelling returns the more telling one of two errors, the first if they are alike.
func moreTelling(first, second error) error {
	if first == nil || rank(second) < rank(first) {
		return second
	}
	return first
}

func rank(err error) int {
	var refusal *access.Refusal
	if !errors.As(err, &refusal) {
		return -1
	}
	return slices.Index(telling, refusal.Reason)
}

// Strip implements access.Authenticator.
func (a Any) Strip(header http.Header, rawQuery string) string {
	for _, one := range a {
		rawQuery = one.Strip(header, rawQuery)
	}
	return rawQuery
}

// Still implements access.Authenticator.
func (a Any) Still(r *http.Request, who *access.Identity) error {
	var refused error
	for _, one := range a {
		err := one.Still(r, who)
		if err == nil {
			return nil
		}
		refused = moreTelling(refused, err)
	}
	return cmp.Or(refused, error(refuseToken(access.MissingCredential, "no credential is accepted")))
}

// Subprotocol implements access.Subprotocol.
func (a Any) Subprotocol(header http.Header) string {
	for _, one := range a {
		if s, ok := one.(access.Subprotocol); ok {
			if word := s.Subprotocol(header); word != "" {
				return word
			}
		}
	}
	return ""
}
