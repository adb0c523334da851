package main

import (
	"context"
	"crypto/tls"
	"errors"
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
		return c.file.Fault("listen", "%w", err)
	}
	defer listener.Close() // again, where the server has done it: no harm
	probes, err := openProbes(c)
	if err != nil {
		return err
	}
	defer probes.close()
	tee, err := newHardware(c)
	if err != nil {
		return err
	}
	tee.tell(log)
	auditTo, err := c.openAudit(stdout)
	if err != nil {
		return err
	}
	defer auditTo.Close()

	bc := brokerConfig(c, set)
	bc.Quoter, bc.Audit, bc.Logger = tee, broker.NewAuditLog(auditTo), log
	if !c.Collateral.Empty() && tee.tee == teeNitro {
		log.Warn("collateral: evidence of a Nitro Enclave has all that it is verified by; nobody is asked for any")
	} else if !c.Collateral.Empty() {
		s, err := newStaple(c, tee.root, log)
		if err != nil {
			return err
		}
		bc.Collateral = s.collateral
	}
	if c.State != "" {
		if bc.State, err = broker.DirState(c.State); err != nil {
			return c.file.Fault("state_dir", "%w", err)
		}
	}
	b, err := broker.New(ctx, bc)
	if err != nil {
		return err
	}
	certificates, err := newCertificates(c, b, log)
	if err != nil {
		return err
	}
	server := newServer(c, b, certificates, log)
	log.Info("the broker serves", append([]any{"issuer", c.Issuer, "address", listener.Addr().String(), "rules", set.DigestString(), "tee", tee.tee}, probes.attrs()...)...)

	return together(ctx,
		b.Run,
		certificates.run,
		func(ctx context.Context) error { return probes.serve(ctx, b, log) },
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

// certificates are what a handshake is answered with.
type certificates struct {
	file   *tls.Certificate // of the configuration; nil: made here
	broker *broker.Broker
	public *public // beside the attested one; nil: none
}

// newCertificates reads the files, and asks no CA yet.
func newCertificates(c *config, b *broker.Broker, log *slog.Logger) (*certificates, error) {
	made := &certificates{broker: b}
	switch {
	case c.TLS.Key != "":
		pair, err := c.loadTLS()
		if err != nil {
			return nil, err
		}
		made.file = &pair
	case c.TLS.ACME != nil:
		var err error
		if made.public, err = newPublic(c, b.AttestTLSKey, b.Lists, log); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// run keeps the certificate of a public CA at hand, where one is wanted, until ctx ends.
func (m *certificates) run(ctx context.Context) error {
	if m.public == nil {
		return nil
	}
	return m.public.run(ctx)
}

// choose is for tls.Config.GetCertificate.
func (m *certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	switch {
	case m.file != nil:
		return m.file, nil
	case m.public != nil:
		return m.public.choose(hello, m.broker.TLSCertificate)
	}
	return m.broker.TLSCertificate()
}

func newServer(c *config, handler http.Handler, certificates *certificates, log *slog.Logger) *http.Server {
	t := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificates.choose}
	if certificates.public != nil {
		t.NextProtos = []string{"h2", "http/1.1", alpnACME}
		handler = guard(handler)
	}
	within := time.Duration(c.Limits.RequestTime)
	return &http.Server{
		Handler:           handler,
		TLSConfig:         t,
		ReadHeaderTimeout: min(headerTime, within),
		ReadTimeout:       within,
		WriteTimeout:      2 * within, // it begins with the headers: reading and answering
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    c.Limits.HeaderBytes,
		// Each stream takes memory while its body is on the way. The buffers hold a whole body.
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: streams, MaxReceiveBufferPerStream: broker.MaxBody + 1, MaxReceiveBufferPerConnection: 64 << 10},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // strangers' broken handshakes; package broker logs its own panics
	}
}

// loadTLS reads the key pair that replaces the one that is made inside.
func (c *config) loadTLS() (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.TLS.Certificate, c.TLS.Key)
	if err != nil {
		return pair, c.file.Fault("tls.certificate", "%w", err)
	}
	return pair, nil
}
