package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/confidential-token-broker/ctb/cmd/internal/bounded"
	"github.com/confidential-token-broker/ctb/gateway/extauthz"
)

const (
	// stopTimeout is how long requests and upgraded connections under way may take when the gateway is stopped.
	stopTimeout = 10 * time.Second
	// adminConnections bounds the listener for metrics and probes.
	adminConnections = 64
)

// The doors, by their names in the log.
const (
	doorRequests  = "requests"
	doorAuthorize = "authorize"
	doorExtAuthz  = "ext_authz"
	doorAdmin     = "admin"
)

// door is one listener, and who answers there.
type door struct {
	name     string // for the log
	listener net.Listener
	serve    func(net.Listener) error
	shutdown func(context.Context) error // lets what is under way end
	close    func()                      // cuts it off
}

// open opens all listeners, so that a port which is taken is known before anything is served.
func (s *service) open() (doors []*door, err error) {
	defer func() {
		if err != nil {
			for _, d := range doors {
				d.listener.Close()
			}
		}
	}()
	c := s.first
	add := func(key, name, address string, limit int, d *door) error {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return c.Fault(key, "%w", err)
		}
		d.name, d.listener = name, bounded.Listener(l, limit)
		doors = append(doors, d)
		return nil
	}
	if c.Admin != "" {
		if err := add("admin.listen", doorAdmin, c.Admin, adminConnections, s.questionsDoor(s.admin())); err != nil {
			return doors, err
		}
	}
	if c.Authorize != "" {
		if err := add("authorize.listen", doorAuthorize, c.Authorize, c.Connections, s.questionsDoor(http.HandlerFunc(s.authorize))); err != nil {
			return doors, err
		}
	}
	if c.ExtAuthz != "" {
		d, err := s.grpcDoor()
		if err == nil {
			err = add("ext_authz.listen", doorExtAuthz, c.ExtAuthz, c.Connections, d)
		}
		if err != nil {
			return doors, err
		}
	}
	if c.Upstream != nil {
		if err := add("listen", doorRequests, c.Listen, c.Connections, s.requestsDoor()); err != nil {
			return doors, err
		}
	}
	return doors, nil
}

// requestsDoor is where requests come. Package gateway bounds the time of their bodies and answers.
func (s *service) requestsDoor() *door {
	server := newServer(s, s.log)
	d := &door{serve: server.Serve, shutdown: server.Shutdown, close: func() { server.Close() }}
	if s.first.TLS != nil {
		server.TLSConfig = serverTLS(func() *tls.Certificate { return s.state.Get().certificate.Get() })
		d.serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	return d
}

// questionsDoor is one where everything is short: questions of other proxies, probes and scrapes.
func (s *service) questionsDoor(handler http.Handler) *door {
	server := newServer(handler, s.log)
	server.ReadTimeout, server.WriteTimeout = headerTimeout, answerTimeout
	return &door{serve: server.Serve, shutdown: server.Shutdown, close: func() { server.Close() }}
}

func (s *service) grpcDoor() (*door, error) {
	server, err := extauthz.NewServer(extauthz.Config{Decider: s, Logger: s.log})
	if err != nil {
		return nil, err
	}
	s.tellHealth = server.Ready
	return &door{serve: server.Serve, shutdown: server.Shutdown, close: func() {}}, nil
}

// serve answers until ctx ends or a listener fails.
func (s *service) serve(ctx context.Context, doors []*door) error {
	failed := make(chan error, len(doors))
	for _, d := range doors {
		go func() { failed <- d.serve(d.listener) }()
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	s.stop(doors)
	return err
}

// stop lets what is under way end, for a while. The door for probes stays open meanwhile, and says so.
func (s *service) stop(doors []*door) {
	s.log.Info("stopping", "wait", stopTimeout.String())
	s.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, d := range doors {
		if d.name != doorAdmin {
			all.Go(func() { _ = d.shutdown(ctx) }) // its error is ctx's, of which drained tells
		}
	}
	all.Wait()
	if !s.drained(ctx) {
		s.log.Warn("requests and upgraded connections under way are cut off", "number", s.active.Load())
	}
	for _, d := range doors {
		d.close()
	}
}

// drained waits until no request is under way, and no upgraded connection, of which
// net/http's Shutdown knows nothing. It tells whether that was before ctx ended.
func (s *service) drained(ctx context.Context) bool {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for s.active.Load() > 0 {
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return true
}

// announce tells where the gateway listens, and what its operator should know of the configuration.
func (s *service) announce(doors []*door) {
	c := s.newest().config
	for _, d := range doors {
		attrs := []any{"what", d.name}
		if d.name == doorRequests {
			attrs = []any{"tls", c.TLS != nil, "upstream", c.Upstream.URL.Redacted()}
		}
		s.log.Info("listening", append(attrs, "address", d.listener.Addr().String())...)
		plain := d.name != doorRequests && d.name != doorAdmin || d.name == doorRequests && c.TLS == nil
		if plain && !isLoopback(d.listener.Addr()) {
			s.log.Warn("credentials can be read on the way here: no TLS on an address that is not loopback; let TLS end close by, or set tls", "address", d.listener.Addr().String())
		}
	}
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
