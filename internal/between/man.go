package between

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Man stands in a server's place. He ends TLS as he can, hands every request on to the server and its
// answer back, so that nobody misses anything, and writes down what he reads.
type Man struct {
	Address string

	mu    sync.Mutex
	notes []byte
}

// Place is where a man stands, and as whom.
type Place struct {
	Name   string      // the server's
	Server string      // its address
	TLS    *tls.Config // what he shows; that a key belongs to its certificate is not checked
	// Instead answers a request in the server's place if it returns true; nil never does.
	Instead func(w http.ResponseWriter, r *http.Request) bool
}

// Stand puts a man there until the test ends. He speaks HTTP/1.1 alone, whose requests can be read as they are, unless TLS names protocols.
func Stand(tb testing.TB, p Place) *Man {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	m := &Man{Address: l.Addr().String()}
	own := p.TLS.Clone()
	if len(own.NextProtos) == 0 {
		own.NextProtos = []string{"http/1.1"}
	}
	onward := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: p.Name}}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "https", Host: p.Server})
	proxy.Transport, proxy.ErrorLog = onward, log.New(io.Discard, "", 0)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.Instead == nil || !p.Instead(w, r) {
			proxy.ServeHTTP(w, r)
		}
	})
	s := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(&tap{l, own, m})
	}()
	tb.Cleanup(func() {
		s.Close()
		<-done
		onward.CloseIdleConnections()
	})
	return m
}

// Read is all that he has decrypted, from all clients.
func (m *Man) Read() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.notes)
}

// Knows tells whether he has seen any part of a secret: any 8 bytes of it in a row.
func (m *Man) Knows(secret string) bool {
	read := m.Read()
	for i := 0; i+8 <= len(secret); i++ {
		if strings.Contains(read, secret[i:i+8]) {
			return true
		}
	}
	return false
}

// Requests are the first lines of the requests that he has read, such as "GET /jwks HTTP/1.1".
func (m *Man) Requests() []string {
	var all []string
	for line := range strings.Lines(m.Read()) {
		if line = strings.TrimSpace(line); strings.HasSuffix(line, " HTTP/1.1") {
			all = append(all, line)
		}
	}
	return all
}

// tap accepts connections whose plaintext goes into a man's notes.
type tap struct {
	net.Listener
	config *tls.Config
	man    *Man
}

// Accept implements net.Listener.
func (l *tap) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tapped{tls.Server(c, l.config), l.man}, nil
}

type tapped struct {
	net.Conn
	man *Man
}

// Read implements net.Conn.
func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.man.mu.Lock()
	defer c.man.mu.Unlock()
	c.man.notes = append(c.man.notes, p[:n]...)
	return n, err
}
