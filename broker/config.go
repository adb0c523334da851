package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/fetch"
	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/confidential-token-broker/ctb/internal/roots"
	"github.com/confidential-token-broker/ctb/rules"
)

// Config is what a broker needs.
type Config struct {
	Issuer      string           // its URL: https, no user, query or fragment; required
	Rules       *rules.Set       // required
	Quoter      attest.Quoter    // required
	Audit       Auditor          // required
	Client      *http.Client     // to identity providers; nil has timeouts and bundled CA roots
	Now         func() time.Time // nil means time.Now
	Logger      *slog.Logger     // nil: nothing is logged
	Algorithm   string           // of access tokens: ES256, ES384, EdDSA, RS256 or PS256; empty means ES256 (RS256 with Original)
	RotateEvery time.Duration    // life of a signing key, 5 min at least; zero means 24 h
	Original    bool             // the compatibility profile: /stsToken beside /token, RS256, the original's binding
	Names       []string         // DNS names and IP addresses of the TLS certificate beside the issuer's host
	// Collateral gets what verifies evidence like e, in the JSON form that its platform's verifier
	// reads ([attest.Evidence]), and until when it is valid (zero: not known). Run asks it in
	// the background, one call at a time: at its start and then every ten minutes or, while it gives an
	// error, after 1 s, 2 s, 4 s and so on up to a minute. A cache in it decides when to ask the hardware's maker. With
	// an error, data is the last good one, which could not be brought up to date, or nil: what it gave
	// before is then served until its end. Nil: what comes with the evidence is served.
	Collateral func(ctx context.Context, e *attest.Evidence) (data []byte, until time.Time, err error)
	// State keeps the public halves of signing keys across restarts, so that the tokens of before can still be
	// verified ([DirState]). With nil they can't, when the broker has been restarted.
	State State
	// Simulated says that Quoter is not hardware. Then every token, and the
	// health page, says "simulated" too.
	Simulated bool
}

// ConfigError is a fault in one field of a Config.
type ConfigError struct {
	Field string // Issuer, Algorithm, RotateEvery or Names
	Err   error
}

func (e *ConfigError) Error() string { return "broker: " + e.Field + ": " + e.Err.Error() }

func (e *ConfigError) Unwrap() error { return e.Err }

// Check tells whether the settings make sense, without asking for the Quoter and the Audit.
// The error is a *ConfigError, but for absent rules.
func (c Config) Check() error {
	if c.Rules == nil {
		return errors.New("broker: no rules")
	}
	c = c.withDefaults()
	for _, field := range []struct {
		name string
		err  error
	}{
		{"Issuer", checkIssuer(c.Issuer)},
		{"RotateEvery", c.checkRotation()},
		{"Algorithm", c.checkAlgorithm()},
		{"Names", checkNames(c.Names)},
	} {
		if field.err != nil {
			return &ConfigError{field.name, field.err}
		}
	}
	return nil
}

func (c *Config) checkRotation() error {
	if c.RotateEvery < minRotateEvery || c.RotateEvery > maxRotateEvery {
		return fmt.Errorf("got %v, want %v to %v", c.RotateEvery, minRotateEvery, maxRotateEvery)
	}
	return c.checkRetired(c.Rules)
}

func (c *Config) checkAlgorithm() error {
	switch {
	case c.Original && c.Algorithm != jose.RS256:
		return fmt.Errorf("got %q, want RS256, the only one of the compatibility profile", c.Algorithm)
	case !slices.Contains(algorithms, c.Algorithm):
		return fmt.Errorf("got %q, want one of %s", c.Algorithm, strings.Join(algorithms, ", "))
	}
	return nil
}

// checkRetired makes sure that keys retire no faster than their tokens expire:
// each waits for them in the key set, and the set is bounded.
func (c *Config) checkRetired(s *rules.Set) error {
	longest := s.LongestLifetime()
	least := ((longest+ctb.Leeway)/maxRetired + time.Second).Truncate(time.Second)
	if c.RotateEvery*maxRetired < longest+ctb.Leeway {
		return fmt.Errorf("got %v with access tokens that live %v, want %v or more, or shorter lives", c.RotateEvery, longest, least)
	}
	return nil
}

// wall is the time as tokens and evidence tell it. Every instant of a key's life is taken from
// it: one with Go's monotonic reading would be compared by that, and go wrong when the clock is set.
func (c *Config) wall() time.Time { return c.Now().Round(0) }

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Client == nil {
		c.Client = fetch.Client(roots.Bundled())
	}
	if c.RotateEvery == 0 {
		c.RotateEvery = 24 * time.Hour
	}
	if c.Algorithm == "" {
		c.Algorithm = jose.ES256
		if c.Original {
			c.Algorithm = jose.RS256
		}
	}
	return c
}

// checkIssuer follows RFC 8414 section 2.
func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err == nil && (u.User != nil || strings.ContainsAny(issuer, "?#")) { // which may be secret
		return errors.New("it has a user, a query or a fragment, want an https URL without user, query and fragment")
	}
	if err != nil || u.Scheme != "https" || !fetch.Private(u) || !validPort(u) || u.Path != "" && u.EscapedPath() != u.Path {
		return fmt.Errorf("got %q, want an https URL without user, query and fragment", fetch.Redact(issuer))
	}
	return nil
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.Atoi(u.Port())
	return err == nil && n >= 1 && n <= 65535
}

// hostname is a DNS name, perhaps with one wildcard at its start (RFC 6125 section 6.4.3).
var hostname = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

func checkNames(names []string) error {
	for _, name := range names {
		if net.ParseIP(name) == nil && (len(name) > 253 || !hostname.MatchString(name)) {
			return fmt.Errorf("got %q, want a DNS name or an IP address", name)
		}
	}
	return nil
}
