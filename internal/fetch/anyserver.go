package fetch

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
)

// AnyServer returns a client that knows servers by nothing, for documents that are signed by
// somebody else than who hands them out. It stays with the host that it is told, so that nobody on the way
// sends it to another, such as one of an inner network; and it tells no password to a proxy over TLS, which
// it would know by nothing either.
func AnyServer() *http.Client {
	c := ClientTLS(&tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true})
	if t, ok := c.Transport.(*http.Transport); ok {
		t.Proxy = withoutPassword(t.Proxy)
	}
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Host != via[0].URL.Host {
			return errors.New("redirect to another host")
		}
		return nil
	}
	return c
}

// withoutPassword refuses proxies over TLS that want a password.
func withoutPassword(proxies func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		proxy, err := proxies(r)
		if err == nil && proxy != nil && proxy.User != nil && proxy.Scheme == "https" {
			return nil, errors.New("a proxy over TLS with a password is not used for a server that is known by nothing")
		}
		return proxy, err
	}
}
