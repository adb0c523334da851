package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/confidential-token-broker/ctb/ctbtest"
)

// ready returns the status code of the readiness probe, and its body.
func (p *process) ready() (int, readiness) {
	p.t.Helper()
	status, body := p.get("admin", "/readyz")
	var r readiness
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		p.t.Fatalf("%v: %s", err, body)
	}
	return status, r
}

// TestReadiness: it is ready when somebody could pass, and says what is stale.
func TestReadiness(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	config, jwks := configure(t, iss, "admin: {listen: 127.0.0.1:0}\n")
	p := startGateway(t, config)
	if status, body := p.get("admin", "/healthz"); status != 200 || strings.TrimSpace(body) != `{"status":"ok"}` {
		t.Errorf("healthz: got %d %s", status, body)
	}
	status, r := p.ready()
	if status != 200 || r.Status != ready || len(r.Keys) != 1 || r.Keys[0] != (keyReadiness{iss.URL, healthy}) || r.Configuration != healthy {
		t.Errorf("got %d %+v, want ready with good keys", status, r)
	}
	replace(t, jwks, []byte("{"))
	p.wait("reload failed")
	if status, r := p.ready(); status != 200 || r.Keys[0].Status != stale {
		t.Errorf("with a bad key file: got %d %+v, want ready with stale keys", status, r)
	}
	replace(t, jwks, iss.JWKS())
	p.cmd.Process.Signal(syscall.SIGHUP)
	p.wait("files are unchanged")
	if status, r := p.ready(); status != 200 || r.Keys[0].Status != healthy {
		t.Errorf("with the good file again: got %d %+v", status, r)
	}
	edit(t, config, "upstream:", "upstrem:")
	p.wait("gateway.yaml:3:1")
	if status, r := p.ready(); status != 200 || r.Configuration != stale {
		t.Errorf("with a bad configuration: got %d %+v, want ready by the stale one", status, r)
	}
	if status, _ := p.get("admin", "/"); status != 404 {
		t.Errorf("/: got %d, want 404: the listener for probes forwards nothing", status)
	}
}

// TestUnready: without keys that could verify a token nobody can pass.
func TestUnready(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	source := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(source.Close)
	config, _ := configure(t, iss, "admin: {listen: 127.0.0.1:0}\next_authz: {listen: 127.0.0.1:0}\n")
	edit(t, config, "jwks_path: jwks.json", fmt.Sprintf("jwks_url: %q", source.URL))
	p := startGateway(t, config)
	p.wait("keys cannot be had or trusted now")
	status, r := p.ready()
	if status != 503 || r.Status != unready || r.Keys[0].Status != unavailable {
		t.Errorf("got %d %+v, want unready", status, r)
	}
	conn, err := grpc.NewClient(p.at("ext_authz"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	health, err := healthv1.NewHealthClient(conn).Check(t.Context(), new(healthv1.HealthCheckRequest))
	if err != nil || health.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("ext_authz: got %v and %v, want the same for who asks by gRPC", health.GetStatus(), err)
	}
	p.counts(fmt.Sprintf("ctb_gateway_keys_up{issuer=%q} 0", iss.URL))
}

// TestMetrics: what was decided and answered is counted, by reason.
func TestMetrics(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	config, _ := configure(t, iss, "admin: {listen: 127.0.0.1:0}\n")
	p := startGateway(t, config)
	p.status(http.DefaultClient, "http", iss.Token(ctbtest.Claims{"scope": "read:reports"}))
	p.status(http.DefaultClient, "http", iss.Token(nil))
	p.status(http.DefaultClient, "http", "")
	p.status(http.DefaultClient, "http", iss.Token(ctbtest.Claims{"exp": time.Now().Add(-time.Hour).Unix()}))
	p.counts(
		`ctb_gateway_decisions_total{fault="",mode="jwt",reason="allowed",route="default"} 1`,
		`ctb_gateway_decisions_total{fault="",mode="jwt",reason="missing_claim",route="default"} 1`,
		`ctb_gateway_decisions_total{fault="",mode="jwt",reason="missing_credential",route="default"} 1`,
		`ctb_gateway_decisions_total{fault="expired",mode="jwt",reason="invalid_token",route="default"} 1`,
		`ctb_gateway_requests_total{code="200",route="default"} 1`,
		`ctb_gateway_requests_total{code="401",route="default"} 2`,
		`ctb_gateway_requests_total{code="403",route="default"} 1`,
		`ctb_gateway_request_duration_seconds_count{route="default"} 4`,
		`ctb_gateway_decision_duration_seconds_count{mode="jwt"} 4`,
		`ctb_gateway_reloads_total{result="success",what="keys"} 0`,
		fmt.Sprintf(`ctb_gateway_keys_up{issuer=%q} 1`, iss.URL),
		`ctb_gateway_tunnels_open 0`,
	)
	_, body := p.get("admin", "/metrics")
	for _, name := range []string{"ctb_gateway_build_info{", "go_goroutines ", "process_open_fds ", "ctb_gateway_reload_last_success_timestamp_seconds{"} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("the metrics lack %s", name)
		}
	}
}

// TestPortTaken: the port's owner is told at once, whichever listener it is of, and nothing is served.
func TestPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, key := range []string{"listen", "admin", "authorize", "ext_authz"} {
		config, _ := configure(t, ctbtest.NewIssuer(t), "")
		if key == "listen" {
			edit(t, config, "127.0.0.1:0", taken.Addr().String())
		} else {
			edit(t, config, "upstream:", fmt.Sprintf("%s: {listen: %q}\nupstream:", key, taken.Addr()))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, "ctb-gateway", "-config", config).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "address already in use") || !strings.Contains(string(out), key) {
			t.Errorf("%s: got %v, want exit 1 and the reason:\n%s", key, err, out)
		}
		if strings.Contains(string(out), `"listening"`) {
			t.Errorf("%s: something was served before:\n%s", key, out)
		}
	}
}

// TestStop: a request that is under way when the gateway is stopped is answered, and an upgraded connection
// may end by itself; meanwhile nobody new is let in, and the probe says so.
func TestStop(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	config, release := configureEcho(t, iss)
	p := startGateway(t, config)
	token := iss.Token(ctbtest.Claims{"scope": "read:reports"})

	slow := make(chan int, 1)
	go func() { slow <- p.status(&http.Client{Transport: &http.Transport{}}, "http", token) }()
	tunnel := p.tunnel(token)
	p.counts(`ctb_gateway_decisions_total{fault="",mode="jwt",reason="allowed",route="default"} 2`, "ctb_gateway_tunnels_open 1") // both are under way

	p.cmd.Process.Signal(syscall.SIGTERM)
	p.cmd.Process.Signal(syscall.SIGTERM) // as supervisors do that signal the group as well
	p.wait(`"msg":"stopping"`)
	if status, r := p.ready(); status != 503 || r.Status != stopping {
		t.Errorf("got %d %+v, want 503 and stopping", status, r)
	}
	if c, err := net.Dial("tcp", p.address); err == nil {
		c.SetDeadline(time.Now().Add(time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("somebody new is let in")
		}
		c.Close()
	}
	close(release)
	if got := <-slow; got != 200 {
		t.Errorf("the request under way: got %d, want 200", got)
	}
	tunnel.echoes("still here")
	tunnel.Close()
	if err := <-p.exited; err != nil {
		t.Errorf("SIGTERM: %v, want exit 0\n%s", err, p.output())
	}
	if strings.Contains(p.output(), "cut off") {
		t.Errorf("something was cut off:\n%s", p.output())
	}
}

// counts waits until the metrics have the lines: a request is counted when it has ended, which its client may learn before.
func (p *process) counts(lines ...string) {
	p.t.Helper()
	var body, missing string
	for range 3000 {
		_, body = p.get("admin", "/metrics")
		missing = ""
		for _, line := range lines {
			if !strings.Contains(body, "\n"+line+"\n") {
				missing += line + "\n"
			}
		}
		if missing == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	var ours strings.Builder
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "ctb_") {
			ours.WriteString(line)
		}
	}
	p.t.Errorf("the metrics lack\n%sin\n%s", missing, &ours)
}

// configureEcho writes a configuration for an upstream that echoes what upgraded connections
// say, and answers other requests when they are released.
func configureEcho(t *testing.T, iss *ctbtest.Issuer) (config string, release chan struct{}) {
	t.Helper()
	release = make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			<-release
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
		io.Copy(conn, rw)
	}))
	t.Cleanup(upstream.Close)
	config, _ = configure(t, iss, "admin: {listen: 127.0.0.1:0}\n")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "authorization:")
	replace(t, config, []byte("listen: 127.0.0.1:0\nupstream: "+upstream.URL+"\nauthorization:"+rest))
	return config, release
}

// tunnel is an upgraded connection.
type tunnel struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func (p *process) tunnel(token string) *tunnel {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET /api HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer %s\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", token)
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		p.t.Fatalf("got %v, %v, want 101", res, err)
	}
	return &tunnel{p.t, conn, in}
}

func (c *tunnel) echoes(text string) {
	c.t.Helper()
	io.WriteString(c, text)
	echo := make([]byte, len(text))
	if _, err := io.ReadFull(c.in, echo); err != nil || string(echo) != text {
		c.t.Errorf("the upgraded connection: got %q, %v", echo, err)
	}
}
