package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/cmd/internal/bounded"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

const (
	stopTimeout = 10 * time.Second
	// How often the keys are asked whether they are up to date, so that a key
	// that was withdrawn is forgotten though no request comes.
	touchEvery = time.Minute
)

// service is the gateway with everything that it reads.
type service struct {
	config      *config
	log         *slog.Logger
	handler     http.Handler
	keys        liveKeys
	certificate *live[*tls.Certificate] // nil without TLS
}

// newService reads every file, and starts nothing.
func newService(c *config, log *slog.Logger) (*service, error) {
	s := &service{config: c, log: log}
	jwt := c.Authorization.JWT
	var err error
	if s.keys, err = openKeys(c); err != nil {
		return nil, err
	}
	verifier, err := ctb.NewVerifier(jwt.verifierConfig(s.keys))
	if err != nil {
		return nil, err
	}
	s.handler, err = gateway.New(gateway.Config{
		Upstream:     c.upstream,
		Credentials:  tokensOf(verifier),
		Requirements: jwt.requirements(),
		ForwardToken: c.ForwardToken,
		Logger:       log,
	})
	if err != nil {
		return nil, err
	}
	if t := c.TLS; t != nil {
		s.certificate, err = newLive("tls certificate", []string{t.Certificate, t.Key}, func() (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
			if err != nil {
				return nil, c.file.Fault("tls", "%w", err)
			}
			return &pair, nil
		})
	}
	return s, err
}

// verifierConfig says which tokens are good. A key file that is named alone
// signs for one purpose, so issuer and audience may be left out there, and
// "typ" is then what most issuers write.
func (j *jwtConfig) verifierConfig(keys ctb.KeySet) ctb.Config {
	v := ctb.Config{
		Keys:   keys,
		Issuer: j.Issuer, AnyIssuer: j.Issuer == "",
		Audience: j.Audience, AnyAudience: j.Audience == "",
	}
	if v.Type = ctb.AccessToken; j.tokenType() == ctb.IDToken {
		v.Type = ctb.IDToken
	}
	return v
}

func (j *jwtConfig) tokenType() string {
	if strings.EqualFold(j.Type, ctb.IDToken) || j.Type == "" && j.PublicKeyPEM != "" {
		return ctb.IDToken
	}
	return ctb.AccessToken
}

// serve answers until ctx ends, and reads changed files again at each hangup.
func (s *service) serve(ctx context.Context, hangup <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listener, err := net.Listen("tcp", s.config.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	listener = bounded.Listener(listener, s.config.Limits.Connections)
	server := s.newServer()
	s.follow(ctx, hangup)
	s.log.Info("listening", "address", listener.Addr().String(), "tls", s.certificate != nil,
		"upstream", s.config.upstream.Redacted(), "keys", s.config.Authorization.JWT.keysInWords())
	for _, text := range s.config.Authorization.JWT.warnings() {
		s.log.Warn(text)
	}
	if s.certificate == nil && !isLoopback(listener.Addr()) {
		s.log.Warn("tokens can be read on the way here: plain HTTP on an address that is not loopback; let TLS end close by, or set tls")
	}

	go func() {
		collateral := &collateralLog{log: s.log}
		s.warm(ctx)
		collateral.tell(s.keys.get())
		s.keys.keepFresh(ctx, touchEvery, collateral.tell)
	}()

	failed := make(chan error, 1)
	go func() {
		if s.certificate == nil {
			failed <- server.Serve(listener)
			return
		}
		failed <- server.ServeTLS(listener, "", "")
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return s.stop(server)
	}
}

// warm asks for the keys before the first request does, so that who starts the
// gateway learns at once whether they can be had and are trusted. It serves
// either way: what is away now may come back.
func (s *service) warm(ctx context.Context) {
	err := s.keys.update(ctx)
	switch {
	case err == nil:
		s.log.Info("keys are at hand")
	case ctx.Err() == nil:
		s.log.Error("keys cannot be had or trusted now; until they can, every request is answered 503", "error", err.Error())
	}
}

// stop lets requests under way end, for a while.
func (s *service) stop(server *http.Server) error {
	s.log.Info("stopping", "wait", stopTimeout.String())
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		s.log.Warn("requests under way are cut off", "error", err.Error())
		if err := server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
	}
	return nil
}

// follow reloads on SIGHUP and when files change.
func (s *service) follow(ctx context.Context, hangup <-chan os.Signal) {
	s.keys.follow(ctx, s.log)
	if s.certificate != nil {
		s.certificate.follow(ctx, s.log)
	}
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hangup:
				s.keys.refresh(s.log)
				if s.certificate != nil {
					s.certificate.refresh(s.log)
				}
			}
		}
	}()
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// tokensOf authenticates with one verifier.
func tokensOf(v *ctb.Verifier) access.Authenticator { return nil }
