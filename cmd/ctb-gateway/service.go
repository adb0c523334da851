package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/config"
	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/live"
	"github.com/confidential-token-broker/ctb/cmd/ctb-gateway/internal/metrics"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/credential"
	"github.com/confidential-token-broker/ctb/internal/watch"
)

// service is the gateway as it runs: a state, which a new configuration replaces as a whole.
type service struct {
	path    string // of the configuration
	environ []string
	level   *slog.LevelVar
	metrics *metrics.Metrics
	lasting

	first *config.Config           // whose listeners there are
	state *live.Value[*state]      // nil until the first is read
	seen  map[string]watch.Content // what was in the files of the newest configuration, good or not, before they were read
	files *live.Files

	renewed  chan struct{} // gets a value when something was read anew
	active   atomic.Int64  // requests and upgraded connections under way
	stopping atomic.Bool

	tellHealth func(ready bool) // tells who asks for it by gRPC; nil: nobody can
}

// newService reads every file, and starts nothing.
func newService(path string, environ []string, log *slog.Logger, level *slog.LevelVar) (*service, error) {
	s := &service{path: path, environ: environ, level: level, metrics: metrics.New(version()), lasting: lasting{log: log}, renewed: make(chan struct{}, 1)}
	s.observer = s.metrics
	s.files = live.NewFiles(func(path string, err error) {
		log.Warn("the system gives no notice of changes of a file; it is looked at every ten seconds", "file", path, "error", err.Error())
	})
	var err error
	s.state, err = live.Open([]string{path}, s.load) // of the environment alone there is no file
	if err != nil {
		return nil, err
	}
	s.metrics.Loaded(whatConfig)
	s.loaded(nil)
	s.metrics.Ask(s.facts)
	return s, nil
}

// load reads the configuration and makes a state of it. What lasts follows the configuration
// at the very end, when nothing can go wrong any more.
func (s *service) load() (*state, error) {
	before := live.Look(s.path)
	c, err := config.Load(s.path, s.environ)
	if err != nil {
		return nil, err
	}
	s.seen = live.Look(append(c.Files(), s.path)...)
	maps.Copy(s.seen, before)
	if newest := s.newest(); newest != nil {
		for _, path := range newest.config.Files() {
			if _, ok := s.seen[path]; !ok {
				s.seen[path] = watch.Content{} // it is followed already, and stays so if c is refused
			}
		}
	}
	if s.first != nil {
		if err := cmp.Or(lastingDiffers(s.first, c), opensUnsaid(s.newest().config, c)); err != nil {
			return nil, err
		}
	}
	if err := s.makeRoom(c); err != nil {
		return nil, err
	}
	next, err := newState(c, &s.lasting, s.newest())
	if err != nil {
		return nil, err
	}
	if err := s.reconfigure(c); err != nil {
		return nil, err
	}
	s.level.Set(c.LogLevel)
	s.metrics.Routes(next.gateway.RouteNames())
	if s.first == nil {
		s.first = c
	}
	return next, nil
}

// newest is the state that is in use; nil if there is none yet.
func (s *service) newest() *state {
	if s.state == nil {
		return nil
	}
	return s.state.Get()
}

// follow reads again what changes, and at each hangup, until ctx ends.
func (s *service) follow(ctx context.Context, hangup <-chan os.Signal) {
	s.files.Follow(ctx, s.seen)
	var again <-chan time.Time
	for {
		asked := false
		select {
		case <-ctx.Done():
			s.files.Wait()
			return
		case <-hangup:
			asked = true
		case <-s.files.Changed:
		case <-again:
		}
		again = s.reload(ctx, asked)
		s.files.Follow(ctx, s.seen)
	}
}

// reload reads again what has changed: the configuration first, then each of the files for
// itself. It returns when to try once more what may pass by itself; nil for never.
func (s *service) reload(ctx context.Context, asked bool) (again <-chan time.Time) {
	unchanged := true
	told := func(what string, err error) {
		if ctx.Err() != nil {
			return
		}
		unchanged = false
		s.metrics.Reloaded(what, err)
		if errors.Is(err, credential.ErrNoKeys) {
			again = time.After(emptyAfter + time.Second)
		}
		if err != nil {
			s.log.Error("reload failed, what was read last is kept", "what", what, "error", err.Error())
			return
		}
		s.log.Info("reloaded", "what", what)
		var warnings []string
		switch what {
		case whatWhitelist:
			warnings = s.newest().unknownNames()
		case whatKeys:
			warnings = s.newest().policyWarnings()
		}
		for _, text := range warnings {
			s.log.Warn(text)
		}
	}
	before := s.newest().sources.Kinds()
	if changed, err := s.state.Refresh(ctx); changed || err != nil {
		told(whatConfig, err)
		if changed {
			s.tellConfig()
			s.loaded(before)
		}
	}
	s.newest().sources.Refresh(ctx, told)
	if unchanged && asked {
		s.log.Info("files are unchanged")
	}
	if !unchanged {
		select {
		case s.renewed <- struct{}{}: // so that who reloads learns at once whether new keys can be had and are trusted
		default:
		}
	}
	return again
}

// loaded begins the counters of what is read now and was not before.
func (s *service) loaded(before []string) {
	for _, what := range s.newest().sources.Kinds() {
		if !slices.Contains(before, what) {
			s.metrics.Loaded(what)
		}
	}
}

// tellConfig tells what an operator should know of the configuration that is in use.
func (s *service) tellConfig() {
	c := s.newest().config
	var keys []string
	for _, k := range s.newest().issuers {
		keys = append(keys, k.name)
	}
	s.log.Info("configuration in use", "file", c.Path, "profile", string(c.Profile), "because", c.ProfileReason,
		"issuers", keys, "whitelist", c.Whitelist != nil, "routes", len(c.Routes), "sessions", c.Sessions != nil)
	if len(c.ForUpstream) > 0 {
		s.log.Info("these keys of the configuration are the upstream's, and have no effect here", "keys", c.ForUpstream)
	}
	for _, text := range append(slices.Clone(c.Warnings), s.newest().warnings()...) {
		s.log.Warn(text)
	}
}

// ServeHTTP implements http.Handler by the state that is the newest when the request comes.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.active.Add(1)
	defer s.active.Add(-1)
	s.state.Get().gateway.ServeHTTP(w, r)
}

// Authorize is the endpoint for other proxies.
func (s *service) authorize(w http.ResponseWriter, r *http.Request) {
	s.state.Get().authorize.ServeHTTP(w, r)
}

// Decide implements extauthz.Decider.
func (s *service) Decide(r *http.Request) (*gateway.Decision, *access.Refusal) {
	return s.state.Get().gateway.Decide(r)
}

// Answer implements extauthz.Decider.
func (s *service) Answer(r *http.Request, refusal *access.Refusal) (int, http.Header, []byte) {
	return s.state.Get().gateway.Answer(r, refusal)
}
