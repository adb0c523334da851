package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed conf
var configurations embed.FS

// site is what one run needs: a folder, our two programs, the upstream, and
// everything that was started.
type site struct {
	dir      string
	gateway  string // the program ctb-gateway
	bare     string // the program of ./bare
	upstream string // address
	running  []*process
}

// peer is a proxy that runs, or the upstream.
type peer struct {
	name      string
	address   string
	authorize string     // address at which other proxies ask; empty for all but the gateway
	processes []*process // whose processor time counts
	guarded   bool       // it must refuse bad tokens
}

// settings are what the configurations are told.
type settings struct {
	Dir, Listen, Upstream string
	Algorithm, Key        string // of guarded peers; Key is a PEM file
	Authorize             string // where the gateway is asked
	LogLevel              string // of the gateway: info has a line for each request, warn has none
}

// build compiles our programs as they stand in the source tree.
func (s *site) build(ctx context.Context) error {
	const module = "github.com/confidential-token-broker/ctb"
	root, err := tell(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return fmt.Errorf("run this in interop/: %w", err)
	}
	s.gateway, s.bare = filepath.Join(s.dir, "ctb-gateway"), filepath.Join(s.dir, "bare")
	if _, err := tell(ctx, "go", "build", "-C", root, "-o", s.gateway, "./cmd/ctb-gateway"); err != nil {
		return err
	}
	_, err = tell(ctx, "go", "build", "-o", s.bare, module+"/interop/peers/bare")
	return err
}

// stop ends everything, the upstream last.
func (s *site) stop() {
	for i := len(s.running) - 1; i >= 0; i-- {
		s.running[i].stop()
	}
	s.running = nil
}

// startUpstream starts nginx.
func (s *site) startUpstream(ctx context.Context) (*peer, error) {
	p, path, err := s.configure("nginx, no proxy", "upstream.conf", settings{})
	if err != nil {
		return nil, err
	}
	s.upstream = p.address
	return p, s.launch(ctx, p, []string{"nginx", "-e", "stderr", "-t", "-c", path}, []string{"nginx", "-e", "stderr", "-c", path})
}

// bareName is the peer that all are compared with.
const bareName = "bare httputil.ReverseProxy"

func (s *site) startBare(ctx context.Context) (*peer, error) {
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	p := &peer{name: bareName, address: addresses[0]}
	return p, s.launch(ctx, p, nil, []string{s.bare, "-listen", p.address, "-upstream", "http://" + s.upstream})
}

func (s *site) startGateway(ctx context.Context, name, logLevel, algorithm, key string) (*peer, error) {
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	p, path, err := s.configure(name, "gateway.yaml", settings{Algorithm: algorithm, Key: key, Authorize: addresses[0], LogLevel: logLevel})
	if err != nil {
		return nil, err
	}
	p.guarded, p.authorize = true, addresses[0]
	return p, s.launch(ctx, p, []string{s.gateway, "-config", path, "-check"}, []string{s.gateway, "-config", path})
}

// startAuthRequest starts nginx as a proxy that asks the gateway. Both take processor time for a request.
func (s *site) startAuthRequest(ctx context.Context, algorithm string, gateway *peer) (*peer, error) {
	p, path, err := s.configure("nginx auth_request, asking ctb-gateway", "authorize.conf", settings{Algorithm: algorithm, Authorize: gateway.authorize})
	if err != nil {
		return nil, err
	}
	p.guarded, p.processes = true, append(p.processes, gateway.processes...)
	return p, s.launch(ctx, p, []string{"nginx", "-e", "stderr", "-t", "-c", path}, []string{"nginx", "-e", "stderr", "-c", path})
}

func (s *site) startHAProxy(ctx context.Context, algorithm, key string) (*peer, error) {
	p, path, err := s.configure("HAProxy jwt_verify", "haproxy.cfg", settings{Algorithm: algorithm, Key: key})
	if err != nil {
		return nil, err
	}
	p.guarded = true
	return p, s.launch(ctx, p, []string{"haproxy", "-c", "-f", path}, []string{"haproxy", "-db", "-f", path})
}

// configure writes a peer's configuration, for a free address.
func (s *site) configure(name, file string, to settings) (*peer, string, error) {
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, "", err
	}
	to.Dir, to.Listen, to.Upstream = s.dir, addresses[0], s.upstream
	t, err := template.ParseFS(configurations, "conf/"+file)
	if err != nil {
		return nil, "", err
	}
	var text strings.Builder
	if err := t.Execute(&text, to); err != nil {
		return nil, "", err
	}
	path := filepath.Join(s.dir, to.Algorithm+"-"+strings.NewReplacer(":", "-").Replace(to.Listen)+"-"+file)
	return &peer{name: name, address: to.Listen}, path, os.WriteFile(path, []byte(text.String()), 0o600)
}

// launch has the program check its configuration, where it can, starts it and waits until it listens.
func (s *site) launch(ctx context.Context, p *peer, check, run []string) error {
	if check != nil {
		if _, err := tell(ctx, check[0], check[1:]...); err != nil {
			return err
		}
	}
	started, err := start(ctx, run[0], run[1:]...)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	s.running = append(s.running, started)
	p.processes = append(p.processes, started)
	return started.ready(ctx, p.address)
}
