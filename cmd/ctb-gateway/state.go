package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/config"
	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/live"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/credential"
	"github.com/confidential-token-broker/ctb/gateway/limit"
	"github.com/confidential-token-broker/ctb/gateway/session"
)

// state is all that one configuration makes. A request is decided and answered by the
// state that it found when it came.
type state struct {
	config    *config.Config
	gateway   *gateway.Gateway
	authorize http.Handler // the endpoint for other proxies

	sources     live.Set
	issuers     []issuerKeys
	whitelist   *liveWhitelist                // nil: none
	certificate *live.Value[*tls.Certificate] // nil: none
}

// lasting lives on when the configuration changes.
type lasting struct {
	log      *slog.Logger
	observer gateway.Observer // nil: nobody counts
	sessions *session.Sessions
	limits   *limit.Limits
}

// newState reads every file that the configuration names and the state before, which may be nil, does not
// have. It changes nothing of what lasts.
func newState(c *config.Config, last *lasting, before *state) (*state, error) {
	s := &state{config: c}
	known := new(live.Set)
	if before != nil {
		known = &before.sources
	}
	credentials, err := s.openCredentials(known)
	if err != nil {
		return nil, err
	}
	conf := gateway.Config{
		Credentials: credentials, Open: !c.Enabled,
		Requirements: c.Requirements, Deny: c.Deny, Routes: c.Routes,
		Profile: c.Profile, CORS: c.CORS, ForwardToken: c.ForwardToken, ClaimHeaders: c.ClaimHeaders, TrustedProxies: c.TrustedProxies,
		IdleTimeout: c.Timeouts.Idle, Observer: last.observer, Logger: last.log,
	}
	if c.Upstream != nil {
		conf.Upstream = c.Upstream.URL
		if conf.Transport, err = openTransport(c, &s.sources, known); err != nil {
			return nil, err
		}
	}
	if c.Sessions != nil {
		conf.Sessions = last.sessions
	}
	if c.PerIdentity != nil {
		conf.Limits = last.limits
	}
	if c.TLS != nil {
		if s.certificate, err = openCertificate(c, &s.sources, known); err != nil {
			return nil, err
		}
	}
	if s.gateway, err = gateway.New(conf); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Path, err)
	}
	s.authorize = s.gateway.Authorize()
	return s, nil
}

// openCredentials returns who finds out who asks; nil where everything is let through.
func (s *state) openCredentials(known *live.Set) (access.Authenticator, error) {
	c := s.config
	if !c.Enabled {
		return nil, nil
	}
	var all credential.Any
	if len(c.Issuers) > 0 {
		tokens, err := s.openTokens(known)
		if err != nil {
			return nil, err
		}
		all = append(all, tokens)
	}
	if c.Whitelist != nil {
		list, err := openWhitelist(c, &s.sources, known)
		if err != nil {
			return nil, err
		}
		s.whitelist = &list
		keys, err := credential.NewKeys(list, c.Whitelist.Header)
		if err != nil {
			return nil, err
		}
		all = append(all, keys)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

func (s *state) openTokens(known *live.Set) (*credential.Tokens, error) {
	var issuers []credential.Issuer
	for _, i := range s.config.Issuers {
		keys, err := openKeys(s.config, i, &s.sources, known)
		if err != nil {
			return nil, err
		}
		s.issuers = append(s.issuers, keys)
		verifier, err := ctb.NewVerifier(ctb.Config{
			Keys: keys, Type: i.Type,
			Issuer: i.Name, AnyIssuer: i.Name == "",
			Audience: i.Audience, AnyAudience: i.Audience == "",
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", s.config.Path, i.Key, err)
		}
		issuers = append(issuers, credential.Issuer{Name: i.Name, Verifier: verifier})
	}
	return credential.NewTokens(issuers, s.config.TokenFrom...)
}
