// Command peers measures ctb-gateway beside other proxies, in one run on one
// machine: the upstream by itself, a bare httputil.ReverseProxy with the
// gateway's transport and buffers, the gateway, HAProxy's jwt_verify, and nginx
// that asks the gateway (auth_request), each with RS256 and with ES256.
//
//	cd interop && go run ./peers        # or: make peers
//
// It needs Linux and the programs haproxy, nginx and wrk (Debian's packages of
// these names). All listen on free ports of the loopback interface, and are
// ended with it. Before anything is measured, every peer that verifies must have
// refused forged, expired and insufficient tokens. The table goes to the
// standard output, and what is going on to the standard error.
//
// The exit status is 1, and there is no table, if a peer verifies wrongly, or one
// request was refused or failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/confidential-token-broker/ctb/internal/jose"
)

const (
	seenTokens = 1000
	// More than the gateway remembers (twice 4096), so that each is a token that it has not seen, or has forgotten.
	freshTokens = 10_000
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if ctx.Err() != nil {
		err = errors.New("interrupted") // whatever failed for that
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("peers", flag.ExitOnError)
	var p plan
	flags.DurationVar(&p.duration, "duration", 4*time.Second, "how long a cell is measured in each round, in whole seconds")
	flags.DurationVar(&p.warmup, "warmup", time.Second, "how long it is warmed up before, in whole seconds")
	flags.IntVar(&p.rounds, "rounds", 3, "how often each cell is measured")
	flags.IntVar(&p.connections, "connections", 32, "how many requests are under way at once")
	flags.Parse(args)
	if err := p.check(); err != nil {
		return err
	}
	if err := installed("haproxy", "nginx", "wrk"); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	machine := describeMachine(ctx)
	s := &site{dir: dir}
	defer s.stop()
	say := func(text string) { fmt.Fprintln(stderr, text) }
	say("building, and signing tokens")
	cells, err := s.cells(ctx)
	if err != nil {
		return err
	}
	g := generator{script: filepath.Join(dir, "cycle.lua"), connections: p.connections}
	if err := os.WriteFile(g.script, []byte(cycleScript), 0o600); err != nil {
		return err
	}
	p.measure(ctx, g, cells, say)
	if err := failed(cells); err != nil {
		return err
	}
	report(stdout, p, machine, cells)
	return nil
}

// check wants what wrk can do.
func (p plan) check() error {
	for _, d := range []time.Duration{p.duration, p.warmup} {
		if d < 0 || d > time.Minute || d != d.Truncate(time.Second) {
			return fmt.Errorf("-duration and -warmup: got %v, want whole seconds, at most a minute", d)
		}
	}
	if p.duration == 0 || p.rounds < 1 || p.rounds > 100 || p.connections < 1 || p.connections > 1000 {
		return errors.New("-duration, -rounds and -connections: want at least 1, and at most 100 rounds and 1000 connections")
	}
	return nil
}

// installed names every program that is missing, at once.
func installed(programs ...string) error {
	var missing []error
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, fmt.Errorf("%s is missing; Debian's package has this name", name))
		}
	}
	return errors.Join(missing...)
}

// cells starts everything, sees that it works, and returns what is to be measured.
func (s *site) cells(ctx context.Context) ([]*cell, error) {
	if err := s.build(ctx); err != nil {
		return nil, err
	}
	upstream, err := s.startUpstream(ctx)
	if err != nil {
		return nil, err
	}
	bare, err := s.startBare(ctx)
	if err != nil {
		return nil, err
	}
	var all []*cell
	for _, algorithm := range []string{jose.RS256, jose.ES256} {
		cells, err := s.cellsOf(ctx, algorithm, bare)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", algorithm, err)
		}
		all = append(all, cells...)
	}
	// The upstream reads no token, so one kind of them is enough.
	alone := &cell{name: upstream.name, algorithm: all[0].algorithm, peer: upstream, tokens: all[0].tokens}
	return append([]*cell{alone}, all...), nil
}

// cellsOf are the cells of one algorithm.
func (s *site) cellsOf(ctx context.Context, algorithm string, bare *peer) ([]*cell, error) {
	i, err := newIssuer(algorithm)
	if err != nil {
		return nil, err
	}
	public, err := i.publicPEM()
	if err != nil {
		return nil, err
	}
	key := filepath.Join(s.dir, algorithm+".pem")
	if err := os.WriteFile(key, public, 0o600); err != nil {
		return nil, err
	}
	gateway, err := s.startGateway(ctx, "ctb-gateway", "info", algorithm, key)
	if err != nil {
		return nil, err
	}
	silent, err := s.startGateway(ctx, "ctb-gateway, no log of requests", "warn", algorithm, key)
	if err != nil {
		return nil, err
	}
	asking, err := s.startAuthRequest(ctx, algorithm, gateway)
	if err != nil {
		return nil, err
	}
	haproxy, err := s.startHAProxy(ctx, algorithm, key)
	if err != nil {
		return nil, err
	}
	tokens, err := i.tokens(freshTokens)
	if err != nil {
		return nil, err
	}
	bad, err := badTokens(i)
	if err != nil {
		return nil, err
	}
	for _, p := range []*peer{bare, gateway, silent, haproxy, asking} {
		if err := p.works(ctx, tokens[0], bad); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	seen, err := writeTokens(s.dir, algorithm+".seen", tokens[:seenTokens])
	if err != nil {
		return nil, err
	}
	fresh, err := writeTokens(s.dir, algorithm+".fresh", tokens)
	if err != nil {
		return nil, err
	}
	line := func(p *peer, suffix, tokens string) *cell {
		return &cell{name: p.name + suffix, algorithm: algorithm, peer: p, tokens: tokens}
	}
	return []*cell{
		line(bare, "", seen), line(silent, "", seen), line(gateway, "", seen), line(haproxy, "", seen),
		line(gateway, ", no token seen before", fresh), line(asking, "", seen),
	}, nil
}

// works tells whether a peer answers, and refuses what it must.
func (p *peer) works(ctx context.Context, good string, bad []badToken) error {
	url := "http://" + p.address
	if err := answered(ctx, url, good); err != nil || !p.guarded {
		return err
	}
	return refuses(ctx, url, bad)
}

// report writes the table, and all that its reader must know.
func report(w io.Writer, p plan, machine string, cells []*cell) {
	bare := make(map[string]*cell)
	for _, c := range cells {
		if c.name == bareName {
			bare[c.algorithm] = c
		}
	}
	writeTable(w, cells, bare)
	fmt.Fprintf(w, `
- %s.
- Median of %d interleaved rounds of %v, each after %v of warm-up; the ratio is the median of the rounds' ratios.
- wrk on loopback, %d connections, one thread, on the same processors as the peers; %d tokens in turn, and %d where none was
  seen before. No request was refused, and none failed.
- All that verify check algorithm, signature, expiry and one claim, and have refused forged, expired and insufficient tokens.
- ctb-gateway logs every request (to /dev/null) but where it says otherwise, and remembers tokens that it has verified; the bare proxy and
  HAProxy log nothing, and HAProxy remembers none.
- CPU is that of the proxy's processes, user and system.
`, machine, p.rounds, p.duration, p.warmup, p.connections, seenTokens, freshTokens)
}

// failed is the error of every cell that has no figures.
func failed(cells []*cell) error {
	var all []error
	for _, c := range cells {
		if c.err != nil {
			all = append(all, fmt.Errorf("%s, %s: %w", c.name, c.algorithm, c.err))
		}
	}
	return errors.Join(all...)
}
