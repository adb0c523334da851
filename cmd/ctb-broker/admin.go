package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"

	"github.com/confidential-token-broker/ctb/cmd/internal/bounded"
)

// probeConnections bounds the listener for probes, so that whoever reaches it takes nothing from those who exchange.
const probeConnections = 64

// probes is the listener for whoever starts and stops the broker on its host: plain HTTP, since what it
// says is no secret and the host could lie about it anyway. Nothing but health is there, least of all the token endpoint.
type probes struct {
	listener net.Listener // nil: none is wanted
}

// openProbes listens, so that a port which is taken is known before anything is served.
func openProbes(c *config) (*probes, error) {
	if c.Admin.Listen == "" {
		return &probes{}, nil
	}
	l, err := net.Listen("tcp", c.Admin.Listen)
	if err != nil {
		return nil, c.file.Fault("admin.listen", "%w", err)
	}
	return &probes{l}, nil
}

// attrs are where it listens, for the log.
func (p *probes) attrs() []any {
	if p.listener == nil {
		return nil
	}
	return []any{"admin", p.listener.Addr().String()}
}

// close is for a start that fails; again, where the server has done it: no harm.
func (p *probes) close() {
	if p.listener != nil {
		p.listener.Close()
	}
}

// serve answers probes until ctx ends. What is under way then is a probe, which its sender repeats.
func (p *probes) serve(ctx context.Context, broker http.Handler, log *slog.Logger) error {
	if p.listener == nil {
		return nil
	}
	server := &http.Server{
		Handler:           health(broker),
		ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: 2 * headerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: minHeaderBytes,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(bounded.Listener(p.listener, probeConnections)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// health lets two paths through to the broker, which answers them as it does for everybody.
func health(broker http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/healthz", broker)
	mux.Handle("/readyz", broker)
	return mux
}
