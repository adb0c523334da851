package devidp

import (
	_ "embed"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

//go:embed login.html
var loginHTML string

var loginPage = template.Must(template.New("login").Parse(loginHTML))

// maxForm bounds the body of a POST, in bytes.
const maxForm = 64 << 10

// serveAuthorize is the authorization endpoint. A GET shows the login page,
// whose form comes back as a POST with the same query. A GET with prompt=none
// and login_hint=NAME logs that user in at once, for use without a browser.
func (p *Provider) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	client, redirect, problem := p.redirectTarget(q)
	if problem != "" {
		// Never redirect to a place that is not the client's (RFC 6749 section 4.1.2.1).
		http.Error(w, problem, http.StatusBadRequest)
		return
	}
	answer := func(values url.Values) {
		values.Set("iss", p.issuer) // RFC 9207
		if state := q.Get("state"); state != "" {
			values.Set("state", state)
		}
		redirectWith(w, r, redirect, values)
	}
	refuse := func(code, description string) {
		answer(url.Values{"error": {code}, "error_description": {description}})
	}
	if code, description := checkAuthorize(q); code != "" {
		refuse(code, description)
		return
	}
	name, ok := p.login(w, r, client.ID)
	if !ok {
		return
	}
	user, err := p.user(name)
	if err != nil {
		refuse("login_required", "login_hint: "+err.Error())
		return
	}
	now := p.now()
	p.mu.Lock()
	code, ok := p.codes.issue(grant{
		client: client.ID, redirectURI: redirect, challenge: q.Get("code_challenge"), nonce: q.Get("nonce"),
		user: user, login: now, expires: now.Add(codeLifetime),
	})
	p.mu.Unlock()
	if !ok {
		refuse("temporarily_unavailable", "too many codes wait to be redeemed")
		return
	}
	answer(url.Values{"code": {code}})
}

// login finds out the user's name, or shows the page that asks for it.
func (p *Provider) login(w http.ResponseWriter, r *http.Request, client string) (name string, ok bool) {
	q := r.URL.Query()
	if r.Method == http.MethodGet && q.Get("prompt") == "none" {
		return q.Get("login_hint"), true
	}
	problem := ""
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		name = r.PostFormValue("user")
		if _, err := p.user(name); err == nil {
			return name, true
		}
		problem = "There is no such user."
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	if problem != "" {
		w.WriteHeader(http.StatusBadRequest)
	}
	loginPage.Execute(w, map[string]any{ // an error here means that the client has gone
		"Action": p.URL(AuthorizePath) + "?" + r.URL.RawQuery,
		"Client": client, "Issuer": p.issuer, "Users": p.users, "Hint": q.Get("login_hint"), "Problem": problem,
	})
	return "", false
}

// redirectTarget finds the client and where its user may be sent.
func (p *Provider) redirectTarget(q url.Values) (client *Client, redirect, problem string) {
	client, err := p.client(q.Get("client_id"))
	if err != nil {
		return nil, "", err.Error()
	}
	redirect = q.Get("redirect_uri")
	if !slices.ContainsFunc(client.RedirectURIs, func(registered string) bool { return sameRedirect(registered, redirect) }) {
		return nil, "", "redirect_uri: is not one of the client's"
	}
	return client, redirect, ""
}

// sameRedirect compares exactly, but for the port of a loopback address (RFC 8252 section 7.3).
func sameRedirect(registered, asked string) bool {
	if registered == asked {
		return asked != ""
	}
	a, errA := url.Parse(registered)
	b, errB := url.Parse(asked)
	if errA != nil || errB != nil || a.Scheme != "http" || b.User != nil {
		return false
	}
	ip := net.ParseIP(a.Hostname())
	if ip == nil || !ip.IsLoopback() || a.Hostname() != b.Hostname() {
		return false
	}
	a.Host, b.Host = "", ""
	return a.String() == b.String()
}

// checkAuthorize judges the parameters beside client and redirect; an empty code means good.
func checkAuthorize(q url.Values) (code, description string) {
	for name, values := range q {
		if len(values) > 1 { // RFC 6749 section 3.1
			return "invalid_request", "a parameter is given more than once: " + name
		}
	}
	switch {
	case q.Get("response_type") != "code":
		return "unsupported_response_type", "response_type: want code"
	case !slices.Contains(strings.Fields(q.Get("scope")), "openid"):
		return "invalid_scope", "scope: want openid among it"
	case q.Get("code_challenge_method") != "S256":
		return "invalid_request", "code_challenge_method: want S256"
	case len(q.Get("code_challenge")) != 43:
		return "invalid_request", "code_challenge: want 43 characters of base64url"
	}
	return "", ""
}

// redirectWith adds the values to the query of the redirect URI.
func redirectWith(w http.ResponseWriter, r *http.Request, redirect string, values url.Values) {
	u, err := url.Parse(redirect)
	if err != nil {
		http.Error(w, "redirect_uri: is not a URL", http.StatusBadRequest)
		return
	}
	q := u.Query()
	for name, v := range values {
		q[name] = v
	}
	u.RawQuery = q.Encode()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, u.String(), http.StatusSeeOther)
}
