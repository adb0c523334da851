// Package fetch gets small documents over HTTP from places that are not
// trusted: every request has a timeout and a size bound, redirects stay on
// https, and every answer must be a 200 of the expected kind. Files are read
// with a bound too. It neither caches nor retries; package refetch says when to ask again.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Timeout bounds one request, from dialling to the last byte.
const Timeout = 10 * time.Second

const maxRedirects = 3

// Document is one answer.
type Document struct {
	Body   []byte
	Header http.Header
	MaxAge time.Duration // what Cache-Control allows, 0 if it says nothing
}

// JSON gets a JSON document of at most max bytes. A nil client means
// Client(nil); of any client the redirects are checked here. An answer that is
// not 200, is too large, or is a web page is an error that names the URL
// without its query.
func JSON(ctx context.Context, c *http.Client, target string, max int64) (*Document, error) {
	if c == nil {
		c = Client(nil)
	}
	c = guarded(c)
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: not a URL", Redact(target))
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	resp, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", Redact(target), cause(err))
	}
	defer resp.Body.Close()
	doc, err := read(resp, max)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", Redact(target), err)
	}
	return doc, nil
}

func read(resp *http.Response, max int64) (*Document, error) {
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("got status %d, want 200", resp.StatusCode)
	}
	if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t == "text/html" {
		return nil, errors.New("got a web page (text/html), want JSON")
	}
	// The bound holds behind any decompression that the transport does.
	body, err := io.ReadAll(io.LimitReader(resp.Body, max+1))
	if err != nil {
		return nil, fmt.Errorf("answer broke off after %d bytes: %w", len(body), cause(err))
	}
	if int64(len(body)) > max {
		return nil, fmt.Errorf("answer has more than %d bytes", max)
	}
	return &Document{Body: body, Header: resp.Header, MaxAge: maxAge(resp.Header)}, nil
}

// maxAge reads Cache-Control (RFC 9111 section 5.2.2.1).
func maxAge(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(h.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
			return time.Duration(seconds) * time.Second
		}
	}
	return 0
}

// Client returns an HTTP client that trusts the given roots (nil means the
// system's) and bounds every step by [Timeout].
func Client(roots *x509.CertPool) *http.Client {
	return ClientTLS(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
}

// ClientTLS is Client with another way to know the servers.
func ClientTLS(c *tls.Config) *http.Client {
	return &http.Client{
		Timeout: Timeout,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSClientConfig:        c,
			TLSHandshakeTimeout:    5 * time.Second,
			ResponseHeaderTimeout:  Timeout,
			MaxResponseHeaderBytes: 64 << 10,
			IdleConnTimeout:        90 * time.Second,
			MaxIdleConns:           10,
			ForceAttemptHTTP2:      true,
		},
	}
}

// guarded returns the client with our rules for redirects before its own.
func guarded(c *http.Client) *http.Client {
	own, copied := c.CheckRedirect, *c
	copied.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if err := checkRedirect(req, via); err != nil || own == nil {
			return err
		}
		return own(req, via)
	}
	return &copied
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" || !Private(req.URL) {
		return fmt.Errorf("redirect from %s to %s", via[0].URL.Scheme, req.URL.Scheme)
	}
	return nil
}

// cause takes the URL, which may carry a query, out of an error of net/http.
func cause(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Redact leaves scheme, host and path of a URL: credentials and queries may be secret.
func Redact(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return "(an unreadable URL)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
