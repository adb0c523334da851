package main

import (
	"context"
	"crypto/tls"
	"log"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Bounds of the server. There is no limit on the time of an authorized body or
// answer: streams and upgraded connections live for hours. Package gateway
// bounds those of strangers.
const (
	headerTimeout = 10 * time.Second // TLS handshake and headers
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10 // bytes; a token has at most 16 KiB

	// A connection of HTTP/2 carries this many requests at once, and holds at
	// most 1 MiB of their bodies (net/http's default) and their headers.
	maxStreams = 100
	// A client of HTTP/2 that takes not a byte for so long has gone. It stops
	// a stream by flow control, never the connection.
	h2WriteTimeout = 30 * time.Second
)

// newServer returns the server, without TLS where the service has no certificate.
func (s *service) newServer() *http.Server {
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams, WriteByteTimeout: h2WriteTimeout},
		ErrorLog:          log.New(serverLog{s.log}, "", 0),
	}
	if s.certificate != nil {
		server.TLSConfig = &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate.get(), nil },
		}
	}
	return server
}

// serverLog gets the lines of net/http. What any stranger can cause is for who
// debugs; that connections cannot be accepted, or a panic, is for everybody.
type serverLog struct{ log *slog.Logger }

// ofStrangers are how lines begin that tell of a client's broken handshake or protocol.
var ofStrangers = []string{"http: TLS handshake error", "http2: server", "http2: received GOAWAY", "timeout waiting for "}

// Write implements io.Writer.
func (l serverLog) Write(line []byte) (int, error) {
	text, level := strings.TrimSpace(string(line)), slog.LevelWarn
	if slices.ContainsFunc(ofStrangers, func(begin string) bool { return strings.HasPrefix(text, begin) }) {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, text)
	return len(line), nil
}
