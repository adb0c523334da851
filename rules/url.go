package rules

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/confidential-token-broker/ctb/internal/fetch"
)

func (p *parser) issuer(text *string, at []any) string {
	if text == nil {
		p.fault(`the key is missing: want the issuer, the exact "iss" of its id tokens`, at...)
		return ""
	}
	u, err := parseURL(*text)
	// OpenID Connect Core 1.0, section 2: "iss" has no query and no fragment.
	if err == nil && (u.RawQuery != "" || u.ForceQuery) {
		err = errors.New("an issuer has no query: remove what begins with ?")
	}
	if err != nil {
		p.fault(err.Error(), at...)
	}
	return *text
}

func (p *parser) endpoint(text *string, at []any) string {
	if text == nil {
		return ""
	}
	if *text == "" {
		p.fault("the string is empty: want the URL of the JWKS, or leave the key out for OpenID Connect Discovery", at...)
		return ""
	}
	if _, err := parseURL(*text); err != nil {
		p.fault(err.Error(), at...)
	}
	return *text
}

// parseURL accepts https, and http where nobody can listen in: to this machine itself.
// The errors do not repeat the URL, in which credentials may stand.
func parseURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("the string is empty: want an https URL")
	}
	if len(text) > maxURL {
		return nil, fmt.Errorf("got %d bytes, want at most %d", len(text), maxURL)
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' || c == '\\' {
			return nil, errors.New("a URL holds printable ASCII alone: want spaces and other characters percent-encoded, and the host in punycode")
		}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("not a URL: want https://host/path")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("want a URL that begins with https://")
	case u.Hostname() == "":
		return nil, errors.New("the URL names no host: want https://host/path")
	case u.User != nil:
		return nil, errors.New("the URL holds credentials: remove what stands before the @")
	case u.Fragment != "" || text[len(text)-1] == '#':
		return nil, errors.New("the URL has a fragment: remove what begins with #")
	case !fetch.Private(u):
		return nil, errors.New("plain http is for loopback hosts in development alone (localhost, 127.0.0.1, [::1]): want https://")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return nil, errors.New("the port is not one of 1 to 65535")
		}
	}
	return u, nil
}
