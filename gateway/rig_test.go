package gateway_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/credential"
)

// rig is a gateway over TLS before an upstream, both on real sockets.
type rig struct {
	tb       testing.TB
	issuer   *ctbtest.Issuer
	gateway  *httptest.Server
	upstream *httptest.Server
	log      *logBuffer

	mu   sync.Mutex
	seen []*http.Request // what reached the upstream
}

// setup changes the rig before it starts.
type setup struct {
	upstream     http.HandlerFunc
	keys         ctb.KeySet
	requirements []ctb.Requirement
	forwardToken bool
	path         string // of the upstream
	plain        bool   // no TLS
	http2        bool
	serverConfig func(*http.Server)
	change       func(*gateway.Config) // what the fields above do not say
}

func newRig(tb testing.TB, s setup) *rig {
	tb.Helper()
	g := &rig{tb: tb, issuer: ctbtest.NewIssuer(tb), log: new(logBuffer)}
	g.upstream = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.seen = append(g.seen, r)
		g.mu.Unlock()
		if s.upstream != nil {
			s.upstream(w, r)
			return
		}
		io.WriteString(w, "hello from the upstream")
	}))
	tb.Cleanup(g.upstream.Close)
	target, err := url.Parse(g.upstream.URL + s.path)
	if err != nil {
		tb.Fatal(err)
	}
	if s.keys == nil {
		s.keys = g.issuer.Keys()
	}
	v, err := ctb.NewVerifier(ctb.Config{Issuer: g.issuer.URL, Audience: ctbtest.Audience, Keys: s.keys})
	if err != nil {
		tb.Fatal(err)
	}
	config := gateway.Config{
		Upstream: target, Credentials: tokens(tb, v), Requirements: s.requirements, ForwardToken: s.forwardToken,
		Logger: slog.New(slog.NewJSONHandler(g.log, nil)),
	}
	if s.change != nil {
		s.change(&config)
	}
	h, err := gateway.New(config)
	if err != nil {
		tb.Fatal(err)
	}
	g.gateway = httptest.NewUnstartedServer(h)
	g.gateway.Config.MaxHeaderBytes = 64 << 10
	if s.serverConfig != nil {
		s.serverConfig(g.gateway.Config)
	}
	g.gateway.EnableHTTP2 = s.http2
	if s.plain {
		g.gateway.Start()
	} else {
		g.gateway.StartTLS()
	}
	tb.Cleanup(g.gateway.Close)
	return g
}

// logBuffer is a log that a test can read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// waitLog waits until the log has this text: a request's line is written after its answer.
func (g *rig) waitLog(want string) string {
	g.tb.Helper()
	for range 3000 {
		if log := g.log.String(); strings.Contains(log, want) {
			return log
		}
		time.Sleep(10 * time.Millisecond)
	}
	g.tb.Fatalf("the log lacks %s: %s", want, g.log)
	return ""
}

// halfCloser is a connection of which one direction can end.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// dial opens a connection to the gateway, for requests that net/http would not send.
func (g *rig) dial() halfCloser {
	g.tb.Helper()
	var c halfCloser
	tcp, err := net.Dial("tcp", g.gateway.Listener.Addr().String())
	if err != nil {
		g.tb.Fatal(err)
	}
	c = tcp.(*net.TCPConn)
	if g.gateway.TLS != nil {
		config := g.gateway.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		config.ServerName = "example.com"
		c = tls.Client(tcp, config)
	}
	g.tb.Cleanup(func() { c.Close() })
	return c
}

// raw sends a request as it is written, and returns the answer with its body.
func (g *rig) raw(request string) (*http.Response, string) {
	g.tb.Helper()
	c := g.dial()
	go io.WriteString(c, request)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		g.tb.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		g.tb.Fatal(err)
	}
	return res, string(body)
}

// do sends a request with a token.
func (g *rig) do(method, path, token string, body io.Reader, header http.Header) (*http.Response, string) {
	g.tb.Helper()
	req, err := http.NewRequest(method, g.gateway.URL+path, body)
	if err != nil {
		g.tb.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := g.gateway.Client().Do(req)
	if err != nil {
		g.tb.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		g.tb.Fatal(err)
	}
	return res, string(answer)
}

// reached returns the requests that came through since the last call.
func (g *rig) reached() []*http.Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	seen := g.seen
	g.seen = nil
	return seen
}

// tokens authenticates with one verifier.
func tokens(tb testing.TB, v *ctb.Verifier) access.Authenticator {
	tb.Helper()
	c, err := credential.NewTokens([]credential.Issuer{{Verifier: v}})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}
