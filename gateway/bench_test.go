//go:build unix

package gateway_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/limit"
)

// BenchmarkGateway compares the gateway with a bare httputil.ReverseProxy over
// the same kind of transport and buffers: keep-alive connections, in parallel, a
// small answer. Load generator, proxy and upstream share the machine and the process;
// cpu-µs/op is the processor time of all of them, which neighbours disturb less
// than the time on the clock.
//
//	go test -bench Gateway -count 6 ./gateway
func BenchmarkGateway(b *testing.B) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	defer upstream.Close()
	target, err := url.Parse(upstream.URL)
	if err != nil {
		b.Fatal(err)
	}
	iss := ctbtest.NewIssuer(b)
	guarded := func(l *slog.Logger) http.Handler {
		h, err := gateway.New(gateway.Config{
			Upstream: target, Credentials: tokens(b, iss.Verifier()), Requirements: []ctb.Requirement{ctb.Scope("read:reports")}, Logger: l,
		})
		if err != nil {
			b.Fatal(err)
		}
		return h
	}
	routed := func() http.Handler {
		limits, err := limit.New(limit.Config{PerSecond: 1e9, Concurrent: 1e6})
		if err != nil {
			b.Fatal(err)
		}
		h, err := gateway.New(gateway.Config{
			Upstream: target, Credentials: tokens(b, iss.Verifier()), Limits: limits,
			Routes: []gateway.Route{
				{Path: "/healthcheck", Open: true}, {Path: "/admin/*", Rules: []gateway.Rule{{Claims: []ctb.Requirement{ctb.Scope("admin")}}}},
				{Path: "/*", Rules: []gateway.Rule{{Claims: []ctb.Requirement{ctb.Scope("read:reports")}}}},
			},
			ClaimHeaders: []gateway.ClaimHeader{{Header: "X-User", Claim: []string{"sub"}}},
		})
		if err != nil {
			b.Fatal(err)
		}
		return h
	}
	bare := &httputil.ReverseProxy{
		Transport:  gateway.NewTransport(),
		BufferPool: new(pool),
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(target); r.SetXForwarded() },
	}
	for _, bb := range []struct {
		name string
		h    http.Handler
	}{
		{"bare", bare},
		{"jwt", guarded(nil)},
		{"jwt-routed", routed()}, // with rules, limits and a claim header
		{"jwt-logged", guarded(slog.New(slog.NewJSONHandler(io.Discard, nil)))},
	} {
		b.Run(bb.name, func(b *testing.B) {
			server := httptest.NewServer(bb.h)
			defer server.Close()
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
			token := "Bearer " + iss.Token(ctbtest.Claims{"scope": "read:reports"})
			b.ReportAllocs()
			b.SetParallelism(16) // 32 connections on two cores
			b.ResetTimer()
			before := cpuTime(b)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					req, _ := http.NewRequest("GET", server.URL+"/x", nil)
					req.Header.Set("Authorization", token)
					res, err := client.Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
					if res.StatusCode != http.StatusOK {
						b.Errorf("got %d", res.StatusCode)
						return
					}
				}
			})
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// pool lends copy buffers as the gateway's does, so that the two differ in nothing else.
type pool struct{ buffers sync.Pool }

func (p *pool) Get() []byte {
	if a, ok := p.buffers.Get().(*[32 << 10]byte); ok {
		return a[:]
	}
	return make([]byte, 32<<10)
}

func (p *pool) Put(b []byte) { p.buffers.Put((*[32 << 10]byte)(b)) }

// cpuTime is what this process has used so far.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
