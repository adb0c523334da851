package gateway

import (
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// newProxy returns the proxy behind the decision. Hop-by-hop headers, flushing
// of streams, trailers of answers and upgraded connections are httputil's.
func (g *Gateway) newProxy() *httputil.ReverseProxy {
	errorLog := log.New(io.Discard, "", 0)
	if g.config.Logger != nil {
		errorLog = slog.NewLogLogger(g.config.Logger.Handler(), slog.LevelWarn)
	}
	transport := g.config.Transport
	if transport == nil {
		transport = NewTransport()
	}
	return &httputil.ReverseProxy{
		Rewrite:        g.rewrite,
		ModifyResponse: g.answered,
		Transport:      transport,
		BufferPool:     &g.buffers,
		ErrorLog:       errorLog,
		ErrorHandler:   g.upstreamFailed,
	}
}

// rewrite makes of a client's request the one that the upstream gets. httputil has
// taken away what is hop-by-hop, also what "Connection" names, so what is set here stays.
func (g *Gateway) rewrite(r *httputil.ProxyRequest) {
	x := exchangeOf(r.In.Context())
	out := r.Out
	// The query has no meaning to the gateway but where a credential stands in it: else the upstream gets it byte for byte.
	out.URL.RawQuery = r.In.URL.RawQuery
	r.SetURL(g.config.Upstream)
	out.Trailer = nil // of requests they are dropped: RFC 9110 section 6.5.1 lets them, and headers could hide there
	stripUpgrade(out.Header)
	g.stripPretending(out.Header)
	if g.config.ForwardToken {
		// Set anew, for "Connection: Authorization" may have taken it away.
		if values, ok := r.In.Header["Authorization"]; ok {
			out.Header["Authorization"] = values
		}
	}
	out.URL.RawQuery = x.decision.rewrite(out.Header, out.URL.RawQuery)
	g.setForwarded(out.Header, r.In)
	out.Header["X-Request-Id"] = x.id[:]
}

// answered looks at the head of an upstream's answer. What it says of CORS gives way to the gateway's.
func (g *Gateway) answered(res *http.Response) error {
	if g.cors != nil {
		for _, name := range corsHeaders {
			delete(res.Header, name)
		}
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return nil
	}
	if res.Request == nil {
		return errors.New("the transport does not tell which request it has upgraded")
	}
	if asked := res.Request.Header.Get("Upgrade"); asked == "" || !strings.EqualFold(asked, res.Header.Get("Upgrade")) {
		return errors.New("the upstream has switched protocols unasked") // httputil says so as well, but keeps the connection open
	}
	x := exchangeOf(res.Request.Context())
	x.stamp(res.Header) // for the proxy writes this one past the exchange's WriteHeader
	if s, ok := g.config.Credentials.(access.Subprotocol); ok && len(res.Header["Sec-Websocket-Protocol"]) == 0 {
		if word := s.Subprotocol(x.in.Header); word != "" {
			res.Header["Sec-Websocket-Protocol"] = []string{word}
		}
	}
	return nil
}

// stripUpgrade leaves only the protocols in which a connection is one request's.
// An upstream that switched to h2c (RFC 7540 section 3.2) would take further
// requests from it, past every check. httputil has reduced what the client
// asked for to one field, and refuses an upstream that switches unasked.
func stripUpgrade(h http.Header) {
	delete(h, "Http2-Settings")
	if _, ok := h["Upgrade"]; !ok || upgrades(h.Get("Upgrade")) {
		return
	}
	delete(h, "Upgrade")
	delete(h, "Connection")
}

func upgrades(protocol string) bool {
	return strings.EqualFold(protocol, "websocket") || strings.EqualFold(protocol, "tcp")
}

// asksForUpgrade tells whether a request will reach the upstream as one that upgrades its connection.
func asksForUpgrade(r *http.Request) bool {
	if r.Method != http.MethodGet || !upgrades(r.Header.Get("Upgrade")) {
		return false
	}
	for _, line := range r.Header["Connection"] {
		for option := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(option), "Upgrade") {
				return true
			}
		}
	}
	return false
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

// upstreamFailed answers for an upstream that did not. The reason is for the log alone.
func (g *Gateway) upstreamFailed(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r.Context())
	x.err = err
	if x.status == http.StatusSwitchingProtocols {
		return // the connection is no longer HTTP's
	}
	var timeout net.Error
	v := verdict{http.StatusBadGateway, "upstream_unavailable", "the service behind this gateway cannot be reached", "", 0, "", ""}
	switch {
	case hasGone(r, err):
		// 499 is what nginx logs then. Who ended only his half of the connection reads on: without
		// an answer of ours net/http would tell him 200.
		x.gone = true
	case errors.As(err, &timeout) && timeout.Timeout():
		v.status, v.code, v.public = http.StatusGatewayTimeout, "upstream_timeout", "the service behind this gateway did not answer in time"
	}
	g.write(w, v)
}
