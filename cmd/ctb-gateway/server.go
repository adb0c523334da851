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
	answerTimeout = 30 * time.Second // of what answers questions; longer than any fetch of keys that a verifier waits for
	maxHeader     = 64 << 10         // bytes; a token has at most 16 KiB

	// A connection of HTTP/2 carries this many requests at once, and holds at
	// most 1 MiB of their bodies (net/http's default) and their headers.
	maxStreams = 100
	// A client of HTTP/2 that takes not a byte for so long has gone. It stops
	// a stream by flow control, never the connection.
	h2WriteTimeout = 30 * time.Second
)

// newServer returns a server for a handler, without TLS.
func newServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams, WriteByteTimeout: h2WriteTimeout},
		ErrorLog:          log.New(serverLog{logger}, "", 0),
		// Of "OPTIONS *" net/http would read the body without a bound in time, before anybody has decided.
		DisableGeneralOptionsHandler: true,
	}
}

// serverTLS is the gateway's own TLS: HTTP/2 and HTTP/1.1, known by the certificate that certificate returns.
func serverTLS(certificate func() *tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate(), nil },
	}
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
