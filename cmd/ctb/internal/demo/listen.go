package demo

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/confidential-token-broker/ctb/internal/selfsigned"
)

// FlagError says that the stage cannot be set as a flag of the command line wants it.
type FlagError struct {
	Flag string // its name, without dashes
	Err  error
	Fix  string // what would be right, in words
}

func (e *FlagError) Error() string { return "--" + e.Flag + ": " + e.Err.Error() }

// Unwrap returns e.Err.
func (e *FlagError) Unwrap() error { return e.Err }

// listen opens a loopback address that the named flag chose. The parties of the
// demo trust whoever reaches them, so they are not for other machines.
func listen(ctx context.Context, flag, addr string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, &FlagError{flag, fmt.Errorf("got %q, want an address of this machine alone, with a port", addr), "such as 127.0.0.1:8080"}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &FlagError{flag, fmt.Errorf("%s is taken: another program listens there", addr),
			fmt.Sprintf("stop that program, or choose another address: --%s 127.0.0.1:0 is any free port", flag)}
	}
	if err != nil {
		return nil, &FlagError{flag, err, "an address such as 127.0.0.1:8080"}
	}
	return l, nil
}

// serve serves h on l until the stage is closed. A nil configuration is plain HTTP.
func (s *stage) serve(l net.Listener, c *tls.Config, h http.Handler) {
	srv := &http.Server{
		Handler: h, TLSConfig: c,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0), // refused handshakes are part of the story, and told there
	}
	s.servers = append(s.servers, srv)
	s.running.Go(func() {
		var err error
		if c != nil {
			err = srv.ServeTLS(l, "", "")
		} else {
			err = srv.Serve(l)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			select {
			case s.broken <- fmt.Errorf("%s: %w", l.Addr(), err):
			default:
			}
		}
	})
}

// newCertificate makes a self-signed certificate for 127.0.0.1 and ::1: the identity
// provider and the gateway have ordinary TLS, unlike the broker.
func newCertificate(now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := selfsigned.Certificate(key, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "ctb demo"},
		NotBefore:   now.Add(-time.Hour),
		NotAfter:    now.Add(30 * 24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, []string{"127.0.0.1", "::1", "localhost"})
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}, nil
}
