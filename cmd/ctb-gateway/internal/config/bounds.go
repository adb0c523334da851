package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/confidential-token-broker/ctb/cmd/internal/bounded"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/limit"
	"github.com/confidential-token-broker/ctb/gateway/session"
)

// The defaults, and the largest values that make sense.
const (
	defaultConnections = 4096

	defaultConcurrency = 32 // as the notary server's
	defaultCreate      = "/session"
	defaultUse         = "/notarize"
	defaultTTL         = 10 * time.Minute
	defaultMax         = 10_000
	maxSessions        = 1_000_000

	defaultConnect = 5 * time.Second
	defaultAnswer  = time.Minute
	defaultIdle    = 10 * time.Minute
)

// number is a bounded one, or its default.
func (r *reader) number(key string, given *int, otherwise, least, most int) (int, error) {
	if given == nil {
		return otherwise, nil
	}
	if *given < least || *given > most {
		return 0, r.file.Fault(key, "got %d, want %d to %d", *given, least, most)
	}
	return *given, nil
}

// time is a bounded duration, or its default.
func (r *reader) time(key string, given *duration, otherwise, least, most time.Duration) (time.Duration, error) {
	if given == nil {
		return otherwise, nil
	}
	if d := time.Duration(*given); d < least || d > most {
		return 0, r.file.Fault(key, "got %s, want %s to %s", inWords(d), inWords(least), inWords(most))
	}
	return time.Duration(*given), nil
}

func (r *reader) timeouts() (err error) {
	given, t := r.schema.Timeouts, &r.config.Timeouts
	if t.Connect, err = r.time("timeouts.connect", given.Connect, defaultConnect, time.Millisecond, 5*time.Minute); err != nil {
		return err
	}
	if t.Answer, err = r.time("timeouts.answer", given.Answer, defaultAnswer, time.Millisecond, 24*time.Hour); err != nil {
		return err
	}
	t.Idle, err = r.time("timeouts.idle", given.Idle, defaultIdle, time.Millisecond, 7*24*time.Hour)
	return err
}

func (r *reader) limits() (err error) {
	given, c := r.schema.Limits, r.config
	if c.Connections, err = r.number("limits.connections", given.Connections, defaultConnections, 1, bounded.MaxConnections); err != nil {
		return err
	}
	p := given.PerIdentity
	if p == nil {
		return nil
	}
	const key = "limits.per_identity"
	l := new(limit.Config)
	switch {
	case p.PerSecond == nil && p.Concurrent == nil:
		return r.file.Fault(key, "got no limit, want requests_per_second or concurrent")
	case p.PerSecond == nil && p.Burst != nil:
		return r.file.Fault(key+".burst", "has no effect without requests_per_second")
	case p.PerSecond != nil && (*p.PerSecond < 0.001 || *p.PerSecond > 1e6):
		return r.file.Fault(key+".requests_per_second", "got %v, want 0.001 to 1000000", *p.PerSecond)
	case p.PerSecond != nil:
		l.PerSecond = *p.PerSecond
	}
	if l.Burst, err = r.number(key+".burst", p.Burst, 0, 1, 1_000_000); err != nil {
		return err
	}
	if l.Concurrent, err = r.number(key+".concurrent", p.Concurrent, 0, 1, bounded.MaxConnections); err != nil {
		return err
	}
	if l.Identities, err = r.number(key+".identities", p.Identities, 0, 1, 10_000_000); err != nil {
		return err
	}
	if _, err := limit.New(*l); err != nil {
		return r.file.Fault(key, "%w", err)
	}
	c.PerIdentity = l
	return nil
}

// sessions are on where they are asked for, and under profile notary where there is an upstream to learn ids from.
func (r *reader) sessions() error {
	c, given := r.config, r.schema.Sessions
	if given != nil && given.Enabled != nil && !bool(*given.Enabled) || given == nil && (c.Profile != gateway.Notary || c.Upstream == nil) {
		r.noSessions()
		return nil
	}
	if c.Upstream == nil {
		return r.file.Fault("sessions", "has no effect without an upstream, which the connections of sessions go to")
	}
	if given == nil {
		given = new(sessions)
	}
	s := &session.Config{Create: given.Create, Use: given.Use, MaxSentClaim: given.MaxSentClaim, MaxRecvClaim: given.MaxRecvClaim}
	switch given.Issue {
	case "", "upstream":
	case "gateway":
		s.Issue = true
	default:
		return r.file.Fault("sessions.issue", "got %.40q, want upstream (its answers tell the ids) or gateway (which hands them out)", given.Issue)
	}
	if err := r.sessionPaths(s); err != nil {
		return err
	}
	var err error
	if s.TTL, err = r.time("sessions.ttl", given.TTL, defaultTTL, time.Second, 24*time.Hour); err != nil {
		return err
	}
	if s.Max, err = r.number("sessions.max", given.Max, defaultMax, 1, maxSessions); err != nil {
		return err
	}
	if s.MaxPerIdentity, err = r.number("sessions.max_per_identity", given.MaxPerIdentity, max(1, s.Max/10), 1, s.Max); err != nil {
		return err
	}
	otherwise := 0
	if c.Profile == gateway.Notary {
		otherwise = defaultConcurrency
	}
	if s.Concurrency, err = r.number("concurrency", r.schema.Concurrency, otherwise, 1, bounded.MaxConnections); err != nil {
		return err
	}
	if err := r.sessionSizes(s); err != nil {
		return err
	}
	if _, err := session.New(*s); err != nil {
		return r.file.Fault("sessions", "%w", err)
	}
	c.Sessions = s
	return nil
}

// noSessions is for those that are off: what would bound them is then the upstream's alone.
func (r *reader) noSessions() {
	for _, key := range []string{"concurrency", "notarization.max_sent_data", "notarization.max_recv_data", "notarization.timeout"} {
		if r.file.Has(key) {
			r.config.ForUpstream = append(r.config.ForUpstream, r.file.Written(key))
			r.config.sessionKeys = append(r.config.sessionKeys, r.file.Written(key))
		}
	}
}

func (r *reader) sessionPaths(s *session.Config) error {
	for _, p := range []struct {
		key       string
		path      *string
		otherwise string
	}{{"sessions.create", &s.Create, defaultCreate}, {"sessions.use", &s.Use, defaultUse}} {
		if *p.path == "" {
			*p.path = p.otherwise
		}
		if err := checkPath(*p.path, false); err != nil {
			return r.file.Fault(p.key, "%w", err)
		}
	}
	if s.Create == s.Use {
		return r.file.Fault("sessions.use", "got %q, which is the path that hands out ids, too: want another", s.Use)
	}
	return nil
}

func (r *reader) sessionSizes(s *session.Config) (err error) {
	for _, claim := range []struct {
		key  string
		path []string
	}{{"sessions.max_sent_claim", s.MaxSentClaim}, {"sessions.max_recv_claim", s.MaxRecvClaim}} {
		if claim.path == nil {
			continue
		}
		if len(claim.path) == 0 || slices.Contains(claim.path, "") {
			return r.file.Fault(claim.key, "got an empty step, want a claim such as limits.sent, or a list of steps")
		}
		if a := r.schema.Authorization; a == nil || a.JWT == nil {
			return r.file.Fault(claim.key, "has no effect here: API keys have no claims")
		}
	}
	n := r.schema.Notarization
	if n == nil {
		return nil
	}
	for _, size := range []struct {
		key   string
		given *uint64
		to    *uint64
	}{{"max_sent_data", n.MaxSent, &s.MaxSent}, {"max_recv_data", n.MaxRecv, &s.MaxRecv}} {
		if size.given == nil {
			continue
		}
		if *size.to = *size.given; *size.to == 0 || *size.to > 1<<53 {
			return r.file.Fault("notarization."+size.key, "got %d, want 1 to %d bytes", *size.to, uint64(1)<<53)
		}
	}
	s.Longest, err = r.time("notarization.timeout", n.Timeout, 0, time.Second, 7*24*time.Hour)
	return err
}

// inWords is a duration as people write it: 10m, not 10m0s.
func inWords(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}} {
		if d != 0 && d%unit.size == 0 {
			return fmt.Sprintf("%d%s", d/unit.size, unit.name)
		}
	}
	return d.String()
}
