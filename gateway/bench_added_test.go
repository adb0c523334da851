//go:build unix

package gateway_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
)

// BenchmarkAdded is what the gateway adds to a request: BenchmarkGateway without
// connections, whose noise hides it. The difference to "bare" is the gateway's own work.
func BenchmarkAdded(b *testing.B) {
	target := &url.URL{Scheme: "http", Host: "upstream"}
	transport := transportFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: 5,
			Header: http.Header{"Content-Type": {"text/plain"}, "Content-Length": {"5"}}, Body: io.NopCloser(strings.NewReader("hello")),
		}, nil
	})
	iss := ctbtest.NewIssuer(b)
	h, err := gateway.New(gateway.Config{
		Upstream: target, Transport: transport, Credentials: tokens(b, iss.Verifier()),
		Requirements: []ctb.Requirement{ctb.Scope("read:reports")}, Logger: slog.New(slog.NewJSONHandler(io.Discard, nil)),
	})
	if err != nil {
		b.Fatal(err)
	}
	bare := &httputil.ReverseProxy{
		Transport: transport, BufferPool: new(pool),
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
	}
	token := "Bearer " + iss.Token(ctbtest.Claims{"scope": "read:reports"})
	for _, bb := range []struct {
		name string
		h    http.Handler
	}{{"bare", bare}, {"jwt-logged", h}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest("GET", "http://127.0.0.1:8080/reports/7", nil)
				r.Header.Set("Authorization", token)
				r.Header.Set("User-Agent", "wrk")
				w := httptest.NewRecorder()
				bb.h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatalf("got %d", w.Code)
				}
			}
		})
	}
}
