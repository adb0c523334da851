package broker

import (
	"context"
	"errors"
	"net/http"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/rules"
)

var (
	errClient = errors.New("client_id is not the client of the id token")
	errRecord = errors.New("the audit could not record it")
)

// answer is what the asker of a refused exchange gets to know. The
// descriptions say what would be right, and nothing of the rules: who is not
// named in them learns no name from them. There is one exception: while an identity provider is
// down, who guesses its "iss" gets 503 where others get 400. To tell askers that they
// may try again is worth more than to hide that.
type answer struct {
	cause          error
	code           string
	status         int // RFC 6749 section 5.2: 400, but for our own faults
	originalStatus int // of the compatibility profile
	description    string
}

const notAccepted = "subject_token was not accepted: it must be a current id token, signed by an identity provider and issued to a client that the rules of this broker name"

// answers is the one place where errors become answers. The first whose cause fits is given.
var answers = []answer{
	{errSubject, exchange.InvalidRequest, 400, 400, "subject_token must be a compact JWT (RFC 7519) with an issuer"},
	{errUnknownIssuer, exchange.InvalidRequest, 400, 401, notAccepted},
	{ctb.ErrInvalidToken, exchange.InvalidRequest, 400, 401, notAccepted},
	{rules.ErrNoRule, exchange.InvalidRequest, 400, 403, notAccepted},
	{rules.ErrAudience, exchange.InvalidTarget, 400, 403, "a token for this audience or resource is not given on this subject_token"},
	{rules.ErrScope, exchange.InvalidScope, 400, 403, "this scope is not given on this subject_token"},
	{errClient, exchange.InvalidRequest, 400, 403, "client_id must be the client that subject_token was issued to, or be left out"},
	{context.Canceled, exchange.TemporarilyUnavailable, 503, 503, "the exchange was given up"},
	{errIssuerKeys, exchange.TemporarilyUnavailable, 503, 503, "the keys of the identity provider cannot be had now; try again later"},
	{errNoKey, exchange.TemporarilyUnavailable, 503, 503, "no signing key may be used now; try again later"},
	{errRecord, exchange.TemporarilyUnavailable, 503, 503, "the exchange could not be recorded; try again later"},
}

// unexpected is the answer to every other error.
var unexpected = answer{nil, exchange.ServerError, http.StatusInternalServerError, http.StatusInternalServerError, "the broker failed; its log knows more"}

// refusalOf turns the reason of a refusal into its answer.
func refusalOf(err error) *exchange.Error {
	var refusal *exchange.Error
	if errors.As(err, &refusal) { // of the request's form
		return refusal
	}
	a := answerTo(err)
	return &exchange.Error{Code: a.code, Description: a.description, Err: err}
}

func answerTo(err error) answer {
	for _, a := range answers {
		if errors.Is(err, a.cause) {
			return a
		}
	}
	return unexpected
}

// status is the HTTP status of a refusal.
func status(refusal *exchange.Error, p profile) int {
	switch {
	case refusal.Code == exchange.InvalidClient:
		return http.StatusUnauthorized
	case refusal.Err == nil:
		return http.StatusBadRequest
	case p == original:
		return answerTo(refusal.Err).originalStatus
	}
	return answerTo(refusal.Err).status
}
