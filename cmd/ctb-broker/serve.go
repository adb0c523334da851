package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/confidential-token-broker/ctb/broker"
	"github.com/confidential-token-broker/ctb/cmd/internal/bounded"
	"github.com/confidential-token-broker/ctb/internal/watch"
	"github.com/confidential-token-broker/ctb/rules"
)

const (
	drainWithin = 10 * time.Second // requests under way, when the broker is stopped
	idleTime    = 15 * time.Second // of a connection: idle ones take the places of others
	streams     = 8                // requests at a time on one connection (HTTP/2)
	headerTime  = 5 * time.Second  // to read the headers of a request
)

// brokerConfig is the part that package broker enforces.
func brokerConfig(c *config, set *rules.Set) broker.Config {
	return broker.Config{
		Issuer:      c.Issuer,
		Rules:       set,
		Algorithm:   c.Signing.Algorithm,
		RotateEvery: time.Duration(c.Signing.RotateEvery),
		Original:    c.Compatibility == compatibilityOriginal,
		Names:       c.TLS.Names,
		Simulated:   c.TEE == teeSimulated,
	}
}

// serve runs the broker until ctx ends.
func serve(ctx context.Context, hangup <-chan os.Signal, c *config, set *rules.Set, seen watch.Content, stdout io.Writer, log *slog.Logger) error {
	for _, text := range warnings(c) {
		log.Warn(text)
	}
	warnRules(set, log)
	// First, so that a broker whose port is taken leaves the files of the one that has it alone.
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer listener.Close() // again, where the server has done it: no harm
	tee, err := newHardware(c)
	if err != nil {
		return err
	}
	auditTo, err := c.openAudit(stdout)
	if err != nil {
		return err
	}
	defer auditTo.Close()

	bc := brokerConfig(c, set)
	bc.Quoter, bc.Audit, bc.Logger = tee, broker.NewAuditLog(auditTo), log
	if !c.Collateral.Empty() {
		s, err := newStaple(c, tee.root, log)
		if err != nil {
			return err
		}
		bc.Collateral = s.collateral
	}
	b, err := broker.New(ctx, bc)
	if err != nil {
		return err
	}
	server, err := newServer(c, b, log)
	if err != nil {
		return err
	}
	log.Info("the broker serves", "issuer", c.Issuer, "address", listener.Addr().String(), "rules", set.DigestString(), "tee", c.TEE)

	return together(ctx,
		b.Run,
		func(ctx context.Context) error { return followRules(ctx, hangup, c, seen, b, auditTo, log) },
		func(context.Context) error {
			err := server.ServeTLS(bounded.Listener(listener, c.Limits.Connections), "", "")
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			return err
		},
		func(ctx context.Context) error { return stopServer(ctx, server, log) },
	)
}

// together runs tasks until all have ended. The first error ends the others and is returned.
func together(ctx context.Context, tasks ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(tasks))
	for _, task := range tasks {
		go func() { ended <- task(ctx) }()
	}
	var first error
	for range tasks {
		if err := <-ended; err != nil && first == nil {
			first = err
			cancel()
		}
	}
	return first
}

// stopServer waits for ctx, then lets requests under way end.
func stopServer(ctx context.Context, server *http.Server, log *slog.Logger) error {
	<-ctx.Done()
	log.Info("the broker stops")
	drain, cancel := context.WithTimeout(context.Background(), drainWithin)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		log.Warn("some requests did not end in time", "err", err)
		_ = server.Close() // the listener is closed already; what is left are the late requests
	}
	return nil
}

func newServer(c *config, b *broker.Broker, log *slog.Logger) (*http.Server, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS.Key != "" {
		pair, err := c.loadTLS()
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{pair}
	} else {
		// Made now, so that a broker without evidence for its TLS key does not start.
		if _, err := b.TLSCertificate(); err != nil {
			return nil, err
		}
		t.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return b.TLSCertificate() }
	}
	within := time.Duration(c.Limits.RequestTime)
	return &http.Server{
		Handler:           b,
		TLSConfig:         t,
		ReadHeaderTimeout: min(headerTime, within),
		ReadTimeout:       within,
		WriteTimeout:      2 * within, // it begins with the headers: reading and answering
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    c.Limits.HeaderBytes,
		// Each stream takes memory while its body is on the way. The buffers hold a whole body.
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: streams, MaxReceiveBufferPerStream: broker.MaxBody + 1, MaxReceiveBufferPerConnection: 64 << 10},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // strangers' broken handshakes; package broker logs its own panics
	}, nil
}

// loadTLS reads the key pair that replaces the one that is made inside.
func (c *config) loadTLS() (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.TLS.Certificate, c.TLS.Key)
	if err != nil {
		return pair, c.file.Fault("tls.certificate", "%w", err)
	}
	return pair, nil
}
