package gateway

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"
)

// newProxy returns the proxy behind the authorization. Hop-by-hop headers,
// flushing of streams and upgraded connections are httputil's.
func newProxy(c Config) *httputil.ReverseProxy {
	errorLog := log.New(io.Discard, "", 0)
	if c.Logger != nil {
		errorLog = slog.NewLogLogger(c.Logger.Handler(), slog.LevelWarn)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			// The query has no meaning to the gateway, so the upstream gets it byte for byte.
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			r.SetURL(c.Upstream)
			stripForwarded(r.Out.Header)
			stripUpgrade(r.Out.Header)
			r.SetXForwarded()
			// Set anew, for "Connection: Authorization" may have taken it away.
			delete(r.Out.Header, "Authorization")
			if c.ForwardToken {
				r.Out.Header["Authorization"] = r.In.Header["Authorization"]
			}
		},
		Transport:    c.Transport,
		BufferPool:   new(buffers),
		ErrorLog:     errorLog,
		ErrorHandler: upstreamFailed,
	}
}

// stripUpgrade leaves only the protocols in which a connection is one request's.
// An upstream that switched to h2c (RFC 7540 section 3.2) would take further
// requests from it, past every check. httputil has reduced what the client
// asked for to one field, and refuses an upstream that switches unasked.
func stripUpgrade(h http.Header) {
	h.Del("HTTP2-Settings")
	switch strings.ToLower(h.Get("Upgrade")) {
	case "websocket", "tcp":
		return
	}
	h.Del("Upgrade")
	h.Del("Connection")
}

// NewTransport returns a transport for one upstream: HTTP/1.1 (for HTTP/2 has
// no upgraded connections), idle connections kept in numbers, every phase but
// the body timed, bodies passed on as they are compressed.
func NewTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  nil, // the environment is the host's, and the host is not asked
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  60 * time.Second,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConns:           0, // bounded by the next line: there is one host
		MaxIdleConnsPerHost:    512,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true,
	}
}

// stripForwarded takes away the headers by which a client could pretend to be
// forwarded by somebody, or to ask for another host or path than it does.
// httputil removes three of them; upstreams believe more, and those that read
// CGI variables take X_Forwarded_For and some X.Forwarded.For for X-Forwarded-For.
func stripForwarded(h http.Header) {
	for name := range h {
		folded := strings.ToLower(foldSeparators.Replace(name))
		if strings.HasPrefix(folded, "x-forwarded") || pretending[folded] {
			delete(h, name)
		}
	}
}

var foldSeparators = strings.NewReplacer("_", "-", ".", "-")

// pretending names what servers, frameworks and content delivery networks
// believe, beside X-Forwarded-*.
var pretending = map[string]bool{
	// The client's address.
	"forwarded":                true, // RFC 7239
	"x-real-ip":                true,
	"x-client-ip":              true,
	"x-cluster-client-ip":      true,
	"x-original-forwarded-for": true,
	"x-envoy-external-address": true,
	"true-client-ip":           true,
	"cf-connecting-ip":         true,
	"cf-connecting-ipv6":       true,
	"cf-pseudo-ipv4":           true,
	"fastly-client-ip":         true,
	"fly-client-ip":            true,
	"x-appengine-user-ip":      true,
	"x-azure-clientip":         true,
	"x-azure-socketip":         true,
	// Host and path.
	"x-host":          true,
	"x-original-host": true,
	"x-original-url":  true,
	"x-rewrite-url":   true,
	// HTTP_PROXY to a CGI program, which then sends its own requests there.
	"proxy": true,
}

// upstreamFailed answers for an upstream that did not. The reason is for the log alone.
func upstreamFailed(w http.ResponseWriter, r *http.Request, err error) {
	rec := recorderOf(r)
	rec.err = err
	var timeout net.Error
	switch {
	case r.Context().Err() != nil && errors.Is(err, context.Canceled):
		// The client has gone: nobody reads an answer. 499 is what nginx logs then.
		rec.status = statusClientGone
	case errors.As(err, &timeout) && timeout.Timeout():
		writeError(w, http.StatusGatewayTimeout, "upstream_timeout", "the service behind this gateway did not answer in time")
	default:
		writeError(w, http.StatusBadGateway, "upstream_unavailable", "the service behind this gateway cannot be reached")
	}
}

// refusePaths answers requests that no upstream should be asked to interpret:
// a path with "." or ".." segments, which might leave the upstream's base path
// after somebody resolves it (RFC 3986 section 5.2.4), and CONNECT, which asks
// for a proxy of another kind.
func refusePaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect:
			writeError(w, http.StatusMethodNotAllowed, "method_not_allowed", "this is not a forward proxy")
		case hasDotSegment(r.URL.Path):
			writeError(w, http.StatusBadRequest, "invalid_path", "the path has a segment of . or .., resolve it before sending")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// hasDotSegment looks at the decoded path, so %2e%2e and ..%2f are found as
// well, and takes a backslash for a slash, as some servers do.
func hasDotSegment(path string) bool {
	if !strings.Contains(path, ".") {
		return false
	}
	for segment := range strings.FieldsFuncSeq(path, func(c rune) bool { return c == '/' || c == '\\' }) {
		// What follows a semicolon is a parameter to some servers, so "..;x" is ".." to them.
		name, _, _ := strings.Cut(segment, ";")
		if name == "." || name == ".." {
			return true
		}
	}
	return false
}
