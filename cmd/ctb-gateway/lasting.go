package main

import (
	"errors"
	"net/http"

	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/config"
	"github.com/confidential-token-broker/ctb/gateway/limit"
	"github.com/confidential-token-broker/ctb/gateway/session"
)

// lastingDiffers refuses what a running process cannot change.
func lastingDiffers(was, is *config.Config) error {
	for _, setting := range []struct {
		key     string
		differs bool
	}{
		{"listen", was.Listen != is.Listen},
		{"upstream", (was.Upstream == nil) != (is.Upstream == nil)},
		{"tls", (was.TLS == nil) != (is.TLS == nil)},
		{"limits.connections", was.Connections != is.Connections},
		{"authorize.listen", was.Authorize != is.Authorize},
		{"ext_authz.listen", was.ExtAuthz != is.ExtAuthz},
		{"admin.listen", was.Admin != is.Admin},
	} {
		if setting.differs {
			return is.Fault(setting.key, "it has changed, which a gateway that runs cannot follow: restart it; until then all stays as it was")
		}
	}
	return nil
}

// opensUnsaid refuses to open everything because nothing is said any more of who is let through: so the
// notary server's configuration looks when it was cut off while somebody wrote it.
func opensUnsaid(was, is *config.Config) error {
	if was.Enabled && is.Unsaid {
		return is.Fault("authorization", "missing, but what runs asks for credentials: to open a gateway that runs, say enabled: false")
	}
	return nil
}

// makeRoom makes the stores of sessions and limits when a configuration first asks for them, and
// checks the bounds for those that are there.
func (s *service) makeRoom(c *config.Config) error {
	if c.Sessions != nil {
		fresh, err := session.New(s.sessionConfig(c))
		if err != nil {
			return c.Fault("sessions", "%w", err)
		}
		if s.sessions == nil {
			s.sessions = fresh
		}
	}
	if c.PerIdentity != nil {
		fresh, err := limit.New(*c.PerIdentity)
		if err != nil {
			return c.Fault("limits.per_identity", "%w", err)
		}
		if s.limits == nil {
			s.limits = fresh
		}
	}
	return nil
}

// reconfigure lets sessions and limits follow the configuration; those that are there stay.
func (s *service) reconfigure(c *config.Config) error {
	var errs []error
	if c.Sessions != nil {
		errs = append(errs, s.sessions.Reconfigure(s.sessionConfig(c)))
	}
	if c.PerIdentity != nil {
		errs = append(errs, s.limits.Reconfigure(*c.PerIdentity))
	}
	return errors.Join(errs...)
}

func (s *service) sessionConfig(c *config.Config) session.Config {
	conf := *c.Sessions
	conf.OnUnlearned = func(_ *http.Request, err error) {
		s.log.Warn("the upstream's answer gave no session id to remember", "error", err.Error())
	}
	return conf
}
