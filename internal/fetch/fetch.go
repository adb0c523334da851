// Package fetch gets small documents over HTTP from places that are not
// trusted: every request has a timeout and a size bound, redirects stay on
// https, and every answer must be a 200, of the expected kind if that is JSON. Files are read
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

// Request is a question to a server that is not trusted.
type Request struct {
	URL string
	// Header is sent along, to the host of the URL alone: a redirect to another host does not get
	// it. Its values may be secret and are in no error.
	Header http.Header
	Max    int64 // bytes of the answer's body, behind any decompression

	accept string // goes along with every redirect
}

// StatusError is an answer that is not a 200.
type StatusError struct {
	Code   int
	Header http.Header
}

func (e *StatusError) Error() string { return fmt.Sprintf("got status %d, want 200", e.Code) }

// Get gets a document of any kind. A nil client means Client(nil); of any
// client the redirects are checked here. An answer that is not 200 is a
// [StatusError]; every error names the URL without its query.
func Get(ctx context.Context, c *http.Client, r Request) (*Document, error) {
	return get(ctx, c, r, func(*http.Response) error { return nil })
}

// JSON gets a JSON document of at most max bytes, as Get does. A web page is an error.
func JSON(ctx context.Context, c *http.Client, target string, max int64) (*Document, error) {
	r := Request{URL: target, Max: max, accept: "application/json, application/jwk-set+json"}
	return get(ctx, c, r, func(resp *http.Response) error {
		if t, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); t == "text/html" {
			return errors.New("got a web page (text/html), want JSON")
		}
		return nil
	})
}

// get asks once. The function check looks at the answer before its body is read.
func get(ctx context.Context, c *http.Client, r Request, check func(*http.Response) error) (*Document, error) {
	if c == nil {
		c = Client(nil)
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: not a URL", Redact(r.URL))
	}
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values // by which a redirect takes it out
	}
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	resp, err := guarded(c, r.Header).Do(req)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", Redact(r.URL), cause(err))
	}
	defer resp.Body.Close()
	doc, err := read(resp, r.Max, check)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", Redact(r.URL), err)
	}
	return doc, nil
}

func read(resp *http.Response, max int64, check func(*http.Response) error) (*Document, error) {
	if resp.StatusCode != http.StatusOK {
		return nil, &StatusError{resp.StatusCode, resp.Header}
	}
	if err := check(resp); err != nil {
		return nil, err
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

// guarded returns the client with our rules for redirects before its own. The
// headers stay with the host that they are for: net/http would carry all but
// the well-known secret ones anywhere.
func guarded(c *http.Client, header http.Header) *http.Client {
	own, copied := c.CheckRedirect, *c
	copied.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		req.Header.Del("Referer") // has the query, which may be secret
		if req.URL.Host != via[0].URL.Host {
			for name := range header {
				req.Header.Del(name)
			}
		}
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
