// Package extauthz answers Envoy's external authorization calls (gRPC service
// envoy.service.auth.v3.Authorization) with the gateway's decisions.
//
// It owns the translation, both ways, and the bounds of the gRPC server. It
// decides nothing: a [Decider] does, with the rules that the proxy has.
//
// Whatever goes wrong is a denial, and never an error of the call: Envoy lets
// requests through on errors if it is configured with failure_mode_allow, and
// on denials it never does.
//
// What Envoy's protocol cannot say is when a request is over. A limit of requests
// at the same time therefore counts a request while it is judged, and no longer.
package extauthz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

// Decider decides about requests, and words the refusals. A *gateway.Gateway is one.
type Decider interface {
	// Decide judges an original request. The decision is never nil, and its Done will be
	// called; where there is a refusal, nothing may be forwarded.
	Decide(r *http.Request) (*gateway.Decision, *access.Refusal)
	// Answer is what the client is told of a refusal.
	Answer(r *http.Request, refusal *access.Refusal) (status int, header http.Header, body []byte)
}

// New returns the service alone, for a gRPC server of yours. Bound the
// server as [NewServer] does.
func New(c Config) (authv3.AuthorizationServer, error) {
	if c.Decider == nil {
		return nil, errors.New("decider: missing")
	}
	return &service{config: c}, nil
}

type service struct {
	authv3.UnimplementedAuthorizationServer
	config Config
}

// Check implements authv3.AuthorizationServer. It returns no error.
func (s *service) Check(ctx context.Context, check *authv3.CheckRequest) (answer *authv3.CheckResponse, _ error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	// A gRPC server does not recover as net/http's does: a panic would end the program.
	defer func() {
		if p := recover(); p != nil {
			answer = unavailable()
			s.note(slog.LevelError, "a decision panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	return s.check(ctx, check), nil
}

func (s *service) check(ctx context.Context, check *authv3.CheckRequest) *authv3.CheckResponse {
	r, err := original(ctx, check)
	if err != nil {
		s.note(slog.LevelDebug, "a malformed call", "error", err)
		// Its refusal is worded for a request of which nothing is known.
		return s.denied(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: http.Header{}, Body: http.NoBody}, &access.Refusal{
			Reason: access.BadRequest, Mode: access.None, Public: "the request that is asked about is malformed: " + err.Error(),
		})
	}
	decision, refusal := s.config.Decider.Decide(r)
	defer decision.Done()
	if refusal != nil {
		return s.denied(r, refusal)
	}
	return allowed(r, decision)
}

func (s *service) note(level slog.Level, text string, args ...any) {
	if s.config.Logger != nil {
		s.config.Logger.Log(context.Background(), level, text, args...)
	}
}
