package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/internal/httptoken"
)

// Authorize returns the endpoint that another proxy asks before it forwards a
// request: nginx's auth_request, the forward_auth of Caddy and Traefik. It answers 200, with the
// headers that tell the upstream who asks and X-Request-Id, or with the refusal.
//
// The question has the original request's headers, and in
//
//   - X-Original-URI or X-Original-URL, and X-Original-Method (nginx), or
//   - X-Forwarded-Uri and X-Forwarded-Method (Caddy, Traefik)
//
// what it asks for. If a part is missing, or given twice and differently, the
// request is refused: nobody knows then what would be forwarded. The proxy must
// set both parts itself, for it passes on what a client sends under their names; and it must
// take the credentials and the client's own claim headers out of the request that it forwards.
//
// A preflight is let through to whoever answers it, where the gateway would answer it as a proxy.
//
// nginx passes 401 and 403 on to its client, and answers 500 to whatever else is not 2xx: it
// lets nothing through then either.
func (g *Gateway) Authorize() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{ResponseWriter: w, g: g, start: time.Now(), in: r, id: [1]string{g.requestID(r)}}
		defer func() { x.decision.Done(); x.log(x.in) }()
		original, err := originalOf(r)
		if err == nil && g.redirects(original.Header) {
			err = errors.New("a header asks for another path or method, which nobody here can take away")
		}
		if err != nil {
			x.decision.Route = nowhere
			x.refusal = badRequest(err.Error())
			x.observe(r)
			g.Refuse(x, r, x.refusal)
			return
		}
		x.in = original
		if x.decide(original, false) != nil {
			g.Refuse(x, original, x.refusal)
			return
		}
		for name, values := range x.decision.Headers() {
			x.Header()[name] = values
		}
		x.WriteHeader(http.StatusOK)
	})
}

// The headers that say what another proxy was asked for.
var (
	originalMethods = []string{"X-Original-Method", "X-Forwarded-Method"}
	originalTargets = []string{"X-Original-Uri", "X-Original-Url", "X-Forwarded-Uri"}
)

// originalOf returns the request that another proxy asks about. It has no body.
func originalOf(r *http.Request) (*http.Request, error) {
	var method, target, host string
	for _, name := range originalMethods {
		value, err := one(r.Header, name)
		if err == nil {
			method, err = agree(method, value, name)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, name := range originalTargets {
		value, err := one(r.Header, name)
		if err == nil && name == "X-Original-Url" && value != "" {
			host, value, err = splitURL(value)
		}
		if err == nil {
			target, err = agree(target, value, name)
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case !httptoken.Valid(method):
		return nil, fmt.Errorf("the original method is missing or malformed, want it in %s", strings.Join(originalMethods, " or "))
	case !strings.HasPrefix(target, "/"), strings.Contains(target, " "): // a space ends it for some (RFC 9112 section 3.2)
		return nil, fmt.Errorf("the original path is missing or malformed, want it in %s", strings.Join(originalTargets, " or "))
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, errors.New("the original path is malformed")
	}
	return asked(r, method, u, host), nil
}

// asked puts the original request together.
func asked(r *http.Request, method string, u *url.URL, host string) *http.Request {
	original := r.Clone(r.Context())
	original.Method, original.URL, original.RequestURI = method, u, u.RequestURI()
	original.Body, original.ContentLength, original.TransferEncoding = http.NoBody, 0, nil
	for _, name := range append(append([]string{"X-Forwarded-Host"}, originalMethods...), originalTargets...) {
		if name == "X-Forwarded-Host" && host == "" {
			host = single(r.Header, name)
		}
		delete(original.Header, name)
	}
	if host != "" {
		original.Host = host
	}
	return original
}

// one returns the value of a header; empty if it is not there.
func one(h http.Header, name string) (string, error) {
	values, ok := h[name]
	if !ok {
		return "", nil
	}
	if len(values) != 1 || values[0] == "" {
		return "", fmt.Errorf("%s is empty, or there more than once", name)
	}
	return values[0], nil
}

// agree returns what two headers say, of which one may say nothing.
func agree(said, more, name string) (string, error) {
	if said != "" && more != "" && said != more {
		return "", fmt.Errorf("%s contradicts another header", name)
	}
	if said == "" {
		return more, nil
	}
	return said, nil
}

// splitURL splits an absolute URL without changing a byte of its path and query.
func splitURL(s string) (host, target string, err error) {
	u, err := url.ParseRequestURI(s)
	if err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
		// No user information, no scheme in capitals, and a host that means what it says: the rest is the target.
		if target, ok := strings.CutPrefix(s, u.Scheme+"://"+u.Host); ok && strings.HasPrefix(target, "/") {
			return u.Host, target, nil
		}
	}
	return "", "", errors.New("X-Original-URL is not a URL of http or https with a host and a path")
}
