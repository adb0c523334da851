package extauthz

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
)

// Bounds of the server.
const (
	maxMessage       = 256 << 10 // bytes of a call; see maxHeader and maxTarget
	maxMetadata      = 16 << 10  // bytes of a call's own header
	maxStreams       = 1000      // calls at once on a connection
	handshakeTimeout = 10 * time.Second
	callTimeout      = 30 * time.Second // longer than any fetch of keys that a verifier waits for; Envoy's own is shorter
	pingEvery        = time.Minute      // a peer that is silent is asked whether it is there
	pingTimeout      = 20 * time.Second
	pingedAtMost     = 10 * time.Second // who asks us more often is disconnected
)

// Config is what a server needs.
type Config struct {
	// Decider decides. Required.
	Decider Decider
	// TLS is the server's; nil means without TLS. Calls carry the tokens of your
	// users, so that is for loopback and for networks that you trust.
	TLS *tls.Config
	// Logger gets a line at level Error if a decision panics, and one at level Debug
	// for a call that is malformed; nil means none. What is decided is the Decider's to log.
	Logger *slog.Logger
}

// Server answers authorization calls, and those for its health
// (grpc.health.v1.Health; the service "" and envoy.service.auth.v3.Authorization).
type Server struct {
	grpc   *grpc.Server
	health *health.Server
}

// NewServer returns a server that is ready.
func NewServer(c Config) (*Server, error) {
	service, err := New(c)
	if err != nil {
		return nil, err
	}
	options := []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxMetadata),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingEvery, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingedAtMost, PermitWithoutStream: true}),
	}
	if c.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(c.TLS)))
	}
	s := &Server{grpc: grpc.NewServer(options...), health: health.NewServer()}
	authv3.RegisterAuthorizationServer(s.grpc, service)
	healthv1.RegisterHealthServer(s.grpc, s.health)
	s.Ready(true)
	return s, nil
}

// Ready says what is told to who asks for the server's health. Calls are answered either way.
func (s *Server) Ready(ready bool) {
	status := healthv1.HealthCheckResponse_NOT_SERVING
	if ready {
		status = healthv1.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", status)
	s.health.SetServingStatus(authv3.Authorization_ServiceDesc.ServiceName, status)
}

// Serve answers until Shutdown, and then returns nil. It closes the listener.
// How many connections there may be is the listener's to bound.
func (s *Server) Serve(l net.Listener) error {
	if err := s.grpc.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// Shutdown takes no more calls, and waits until those under way are answered or
// ctx is done; then it breaks them off, and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.health.Shutdown()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.grpc.GracefulStop()
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		s.grpc.Stop() // ends the contexts of the calls; GracefulStop returns when they have
		return ctx.Err()
	}
}
