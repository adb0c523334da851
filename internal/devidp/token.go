package devidp

import (
	"crypto/rand"
	"net/http"
)

// tokenAnswer is a successful answer (RFC 6749 section 5.1, OpenID Connect Core 1.0 section 3.1.3.3).
type tokenAnswer struct {
	AccessToken string `json:"access_token"` // opaque, and opens nothing: there is no UserInfo endpoint
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in"`
	IDToken     string `json:"id_token"`
}

// tokenError is an error answer (RFC 6749 section 5.2).
type tokenError struct {
	Code        string `json:"error"`
	Description string `json:"error_description"`
	status      int
}

// serveToken is the token endpoint.
func (p *Provider) serveToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store") // RFC 6749 section 5.1
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	answer, problem := p.redeem(r)
	if problem != nil {
		if problem.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="devidp"`)
		}
		writeJSON(w, problem.status, problem)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// redeem exchanges a code for an id token. The code is burned before anything
// about the request is judged, so that nobody can try twice.
func (p *Provider) redeem(r *http.Request) (*tokenAnswer, *tokenError) {
	bad := func(code, description string) (*tokenAnswer, *tokenError) {
		return nil, &tokenError{code, description, http.StatusBadRequest}
	}
	if err := r.ParseForm(); err != nil {
		return bad("invalid_request", "the body is no form")
	}
	for name, values := range r.PostForm {
		if len(values) > 1 {
			return bad("invalid_request", "a parameter is given more than once: "+name)
		}
	}
	form := r.PostForm
	if form.Get("grant_type") != "authorization_code" {
		return bad("unsupported_grant_type", "grant_type: want authorization_code")
	}
	now := p.now()
	p.mu.Lock()
	g, ok := p.codes.redeem(form.Get("code"), now)
	p.mu.Unlock()

	// A public client names itself in the form; some libraries use the
	// header, with an empty password (RFC 6749 section 2.3.1).
	id := form.Get("client_id")
	if name, secret, basic := r.BasicAuth(); basic && secret == "" && id == "" {
		id = name
	}
	if _, err := p.client(id); err != nil {
		return nil, &tokenError{"invalid_client", "client_id: no such client", http.StatusUnauthorized}
	}
	switch {
	case !ok:
		return bad("invalid_grant", "code: unknown, used or expired")
	case g.client != id:
		return bad("invalid_grant", "code: was given to another client")
	case g.redirectURI != form.Get("redirect_uri"):
		return bad("invalid_grant", "redirect_uri: differs from the authorization request's")
	case !g.proves(form.Get("code_verifier")):
		return bad("invalid_grant", "code_verifier: does not fit the code_challenge")
	}
	changes := Claims{}
	if g.nonce != "" {
		changes["nonce"] = g.nonce
	}
	idToken, err := p.SignClaims(p.claims(g.user, id, g.login, changes))
	if err != nil {
		return nil, &tokenError{"server_error", "the id token cannot be signed", http.StatusInternalServerError}
	}
	return &tokenAnswer{
		AccessToken: rand.Text(),
		TokenType:   "Bearer",
		ExpiresIn:   int64(p.lifetime.Seconds()),
		IDToken:     idToken,
	}, nil
}
