package ctb

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

type contextKey struct{}

// FromContext returns the token that Protect verified. Do not modify it.
func FromContext(ctx context.Context) (*Token, bool) {
	t, ok := ctx.Value(contextKey{}).(*Token)
	return t, ok
}

// Protect lets requests through to next that carry a valid bearer token (RFC
// 6750 section 2.1) which satisfies all of reqs; next finds the token with
// FromContext. Others get an answer with a JSON body and a challenge (RFC 6750
// section 3):
//
//   - 401 without a token, or with one that is at fault;
//   - 400 with more than one Authorization header, or a malformed one;
//   - 403 with a valid token that does not satisfy reqs;
//   - 503 if the key that the token names can't be had or trusted.
//
// Protect panics if a requirement is not well formed: see [Requirement.Validate].
func (v *Verifier) Protect(next http.Handler, reqs ...Requirement) http.Handler {
	for _, r := range reqs {
		if err := r.Validate(); err != nil {
			panic("ctb: " + err.Error())
		}
	}
	reqs = slices.Clone(reqs)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t, err := v.authorize(r, reqs)
		if err != nil {
			gone := r.Context().Err() != nil // the client, and its request is nobody's fault
			if v.config.OnRefusal != nil && !gone {
				v.config.OnRefusal(r, err)
			}
			refuse(w, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, t)))
	})
}

func (v *Verifier) authorize(r *http.Request, reqs []Requirement) (*Token, error) {
	raw, err := bearer(r.Header)
	if err != nil {
		return nil, err
	}
	t, err := v.Verify(r.Context(), raw)
	if err != nil {
		return nil, err
	}
	if err := t.Satisfies(reqs...); err != nil {
		return nil, err
	}
	return t, nil
}

// credentialsError says that a request has no usable bearer token.
type credentialsError struct {
	status int
	code   string
	reason string
}

// noCredentials and badCredentials are the two ways (RFC 6750 section 3.1).
func noCredentials(reason string) error {
	return &credentialsError{http.StatusUnauthorized, "unauthorized", reason}
}

func badCredentials(reason string) error {
	return &credentialsError{http.StatusBadRequest, "invalid_request", reason}
}

func (e *credentialsError) Error() string { return e.reason }

func (e *credentialsError) Unwrap() error { return ErrInvalidToken }

// bearer returns the one bearer token of a request (RFC 6750 section 2.1, RFC 9110 section 11.4).
func bearer(h http.Header) (string, error) {
	values := h["Authorization"]
	if len(values) == 0 {
		return "", noCredentials("the request has no Authorization header, want 'Bearer <token>'")
	}
	// Of two headers, this end and the next might each read another one.
	if len(values) > 1 {
		return "", badCredentials("the request has more than one Authorization header")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", noCredentials("the Authorization header has another scheme, want 'Bearer <token>'")
	}
	token = strings.Trim(token, " ")
	if token == "" || strings.ContainsAny(token, " ,\t") {
		return "", badCredentials("the Authorization header is malformed, want 'Bearer <token>'")
	}
	return token, nil
}

// refuse is the one place where an error becomes an answer.
func refuse(w http.ResponseWriter, err error) {
	var credentials *credentialsError
	var token *tokenError
	var requirement *RequirementError
	status, code, description, challenge := http.StatusServiceUnavailable, "temporarily_unavailable", "the token can't be checked now", ""
	switch {
	case errors.As(err, &credentials):
		status, code, description, challenge = credentials.status, credentials.code, credentials.reason, "Bearer"
	case errors.As(err, &token):
		status, code, description, challenge = http.StatusUnauthorized, "invalid_token", token.public, `Bearer error="invalid_token"`
	case errors.As(err, &requirement):
		status, code, description, challenge = http.StatusForbidden, "insufficient_scope", requirement.Error(), requirement.Challenge()
	}
	h := w.Header()
	if challenge != "" {
		h.Set("WWW-Authenticate", challenge)
	} else {
		h.Set("Retry-After", "5")
	}
	body, _ := json.Marshal(struct { // two strings always marshal
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}{code, description})
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
}

// Challenge is the WWW-Authenticate of the answer (RFC 6750 section 3.1); it names scopes where scopes are missing.
func (e *RequirementError) Challenge() string {
	const challenge = `Bearer error="insufficient_scope"`
	if e.Requirement.kind() != ScopeList {
		return challenge
	}
	var scopes []string
	for _, v := range e.Requirement.Values {
		s, _ := v.(string)
		if s == "" || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }) {
			return challenge // not a scope-token (RFC 6749 section 3.3), so not quotable here
		}
		scopes = append(scopes, s)
	}
	return fmt.Sprintf("%s, scope=%q", challenge, strings.Join(scopes, " "))
}
