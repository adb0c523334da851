package gateway

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

// Profile says in which form requests are refused.
type Profile string

// The profiles.
const (
	Strict Profile = "strict" // RFC 6750 challenges, 403 for insufficient claims, RFC 9457 problem details
	Notary Profile = "notary" // statuses and bodies of the TLSNotary notary server
)

// verdict is what a refusal means in HTTP, before a profile puts it into words.
type verdict struct {
	status    int
	code      string // of RFC 6750 section 3.1 where it has one
	public    string
	challenge string        // WWW-Authenticate; empty: none
	retry     time.Duration // Retry-After; 0: none
	mode      access.Mode
	reason    access.Reason // empty: it is the upstream that failed
}

// Answer returns what r's client is told of a refusal, in the form of the
// profile: this is the one place where a refusal becomes HTTP.
func (g *Gateway) Answer(r *http.Request, refusal *access.Refusal) (status int, header http.Header, body []byte) {
	v := verdictOf(r, refusal)
	header = http.Header{}
	g.allowOrigin(header, r)
	return g.render(&v, header), header, v.body(g.config.Profile)
}

// Refuse writes the answer to a refusal.
func (g *Gateway) Refuse(w http.ResponseWriter, r *http.Request, refusal *access.Refusal) {
	g.allowOrigin(w.Header(), r)
	g.write(w, verdictOf(r, refusal))
}

// write writes what was decided. Nothing of the inside is in it.
func (g *Gateway) write(w http.ResponseWriter, v verdict) {
	status := g.render(&v, w.Header())
	body := v.body(g.config.Profile) // which render has worded
	w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone needs no answer
}

// render puts the verdict into the headers, and returns the status.
func (g *Gateway) render(v *verdict, h http.Header) int {
	if g.config.Profile == Notary {
		v.asNotary()
		h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	} else {
		h["Content-Type"] = []string{"application/problem+json"}
	}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	if v.challenge != "" {
		h["Www-Authenticate"] = []string{v.challenge}
	}
	if v.retry > 0 {
		h["Retry-After"] = []string{seconds(v.retry)}
	}
	if v.status == http.StatusMethodNotAllowed {
		h["Allow"] = []string{"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"} // RFC 9110 section 15.5.6; others may do as well
	}
	return v.status
}

// seconds are whole and at least one: 0 would invite at once.
func seconds(d time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(d.Seconds()))))
}

func (v *verdict) body(p Profile) []byte {
	if p == Notary {
		return []byte(v.public)
	}
	body, _ := json.Marshal(struct { // strings and a number always marshal
		Type        string `json:"type"` // RFC 9457 section 3.1
		Title       string `json:"title"`
		Status      int    `json:"status"`
		Detail      string `json:"detail"`
		Code        string `json:"error"` // as in bodies beside RFC 6750
		Description string `json:"error_description"`
	}{"about:blank", http.StatusText(v.status), v.status, v.public, v.code, v.public})
	return append(body, '\n')
}

// retryLater is for what passes with time, where nobody knows when.
const retryLater = 5 * time.Second

// verdictOf is profile strict's table.
func verdictOf(r *http.Request, refusal *access.Refusal) verdict {
	v := verdict{public: refusal.Public, mode: refusal.Mode, reason: refusal.Reason, retry: refusal.RetryAfter}
	switch refusal.Reason {
	case access.MissingCredential:
		v.status, v.code, v.challenge = http.StatusUnauthorized, "unauthorized", challengeOf(refusal.Mode)
	case access.UnknownAPIKey:
		v.status, v.code, v.challenge = http.StatusUnauthorized, "invalid_api_key", challengeOf(refusal.Mode)
	case access.InvalidToken:
		v.status, v.code, v.challenge = http.StatusUnauthorized, "invalid_token", `Bearer error="invalid_token"`
	case access.MalformedCredential, access.SeveralCredentials:
		v.status, v.code, v.challenge = http.StatusBadRequest, "invalid_request", challengeOf(refusal.Mode)
		if refusal.Reason == access.MalformedCredential && hasOtherScheme(r.Header) {
			v.status, v.code = http.StatusUnauthorized, "unauthorized"
		}
	case access.MissingClaim, access.UnexpectedType, access.UnexpectedValue:
		v.status, v.code, v.challenge = http.StatusForbidden, "insufficient_scope", insufficientScope(refusal)
	case access.NoRule:
		v.status, v.code = http.StatusForbidden, "insufficient_scope"
		if refusal.Mode != access.APIKey {
			v.challenge = insufficientScope(refusal)
		}
	case access.RateLimited, access.TooManyAtOnce, access.TooManySessions:
		v.status, v.code, v.retry = http.StatusTooManyRequests, "too_many_requests", max(v.retry, time.Second)
	case access.Busy:
		v.status, v.code, v.retry = http.StatusServiceUnavailable, "busy", max(v.retry, retryLater)
	case access.UnknownSession, access.OtherIdentity, access.BadSessionQuery:
		v.status, v.code = http.StatusBadRequest, "invalid_session"
	case access.BadRequest:
		v.status, v.code = http.StatusBadRequest, "invalid_request"
	case access.BadMethod:
		v.status, v.code = http.StatusMethodNotAllowed, "method_not_allowed"
	case access.KeysUnavailable:
		v.status, v.code, v.retry = http.StatusServiceUnavailable, "temporarily_unavailable", max(v.retry, retryLater)
	default: // Denied, NoRoute, and what nobody knows
		v.status, v.code = http.StatusForbidden, "access_denied"
	}
	if v.public == "" {
		v.public = http.StatusText(v.status)
	}
	return v
}

// hasOtherScheme tells whether a client tries to authenticate in a way that is not
// ours: it is told ours (RFC 6750 section 3.1), for it made no mistake in that.
func hasOtherScheme(h http.Header) bool {
	values := h["Authorization"]
	if len(values) != 1 {
		return false
	}
	scheme, _, _ := strings.Cut(values[0], " ")
	return !strings.EqualFold(scheme, "Bearer")
}

// challengeOf asks for a credential (RFC 9110 section 11.6.1). For API keys no scheme is registered.
func challengeOf(mode access.Mode) string {
	if mode == access.APIKey {
		return `ApiKey realm="gateway"`
	}
	return "Bearer"
}

// insufficientScope is the challenge to a token that is good, but not enough.
func insufficientScope(refusal *access.Refusal) string {
	var missed ctb.RequirementError
	if refusal.Requirement != nil {
		missed.Requirement = *refusal.Requirement
	}
	return missed.Challenge()
}
