package main

import (
	"bufio"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/confidential-token-broker/ctb/ctbtest"
)

// TestDoors: whoever asks, and wherever, the same is decided, also after a reload.
func TestDoors(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	config, _ := configure(t, iss, "authorize: {listen: 127.0.0.1:0}\next_authz: {listen: 127.0.0.1:0}\nadmin: {listen: 127.0.0.1:0}\n")
	p := startGateway(t, config)
	conn, err := grpc.NewClient(p.at("ext_authz"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	reader, writer := iss.Token(ctbtest.Claims{"scope": "read:reports"}), iss.Token(ctbtest.Claims{"scope": "write:reports"})
	expect := func(when, token string, want int) {
		t.Helper()
		if got := p.status(http.DefaultClient, "http", token); got != want {
			t.Errorf("%s: proxy: got %d, want %d", when, got, want)
		}
		if got := p.authorized(token); got != want {
			t.Errorf("%s: authorize: got %d, want %d", when, got, want)
		}
		if got := envoyed(t, conn, token); got != want {
			t.Errorf("%s: ext_authz: got %d, want %d", when, got, want)
		}
	}
	expect("reader", reader, 200)
	expect("writer", writer, 403)
	expect("nobody", "", 401)
	edit(t, config, `["read:reports"]`, `["write:reports"]`)
	p.wait(`"msg":"reloaded","what":"configuration"`)
	expect("reader later", reader, 403)
	expect("writer later", writer, 200)
	p.counts(`ctb_gateway_decisions_total{fault="",mode="jwt",reason="allowed",route="default"} 6`) // wherever they were asked for
	p.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-p.exited; err != nil {
		t.Errorf("SIGTERM: %v, want exit 0\n%s", err, p.output())
	}
}

// authorized asks as nginx does.
func (p *process) authorized(token string) int {
	p.t.Helper()
	req, err := http.NewRequest("GET", "http://"+p.at("authorize")+"/authorize", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("X-Original-Method", "GET")
	req.Header.Set("X-Original-URI", "/api")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// envoyed asks as Envoy does.
func envoyed(t *testing.T, conn *grpc.ClientConn, token string) int {
	t.Helper()
	headers := map[string]string{}
	if token != "" {
		headers["authorization"] = "Bearer " + token
	}
	answer, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Path: "/api", Host: "api.example", Protocol: "HTTP/1.1", Headers: headers,
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if codes.Code(answer.GetStatus().GetCode()) == codes.OK {
		return http.StatusOK
	}
	return int(answer.GetDeniedResponse().GetStatus().GetCode())
}

// TestDecisionsAlone: without an upstream there is no door for requests.
func TestDecisionsAlone(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	config, _ := configure(t, iss, "authorize: {listen: 127.0.0.1:0}\n")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "authorization:")
	replace(t, config, []byte("authorization:"+rest))
	p := launch(t, config)
	p.wait(`"what":"authorize"`)
	if got := p.authorized(iss.Token(ctbtest.Claims{"scope": "read:reports"})); got != 200 {
		t.Errorf("got %d, want 200", got)
	}
}

// TestSessionsSurviveTheConfiguration: an id that was handed out before a reload opens a connection after it,
// unless its holder's key was taken from the whitelist.
func TestSessionsSurviveTheConfiguration(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello")
	}))
	t.Cleanup(upstream.Close)
	config, list := configureWhitelist(t)
	replace(t, config, fmt.Appendf(nil, "listen: 127.0.0.1:0\nupstream: %s\nadmin: {listen: 127.0.0.1:0}\nsessions: {issue: gateway}\nauthorization: {whitelist: whitelist.csv}\n", upstream.URL))
	p := startGateway(t, config)
	kept, lost := p.session("key-of-alice"), p.session("key-of-bob")
	mark := p.mark()
	edit(t, config, "sessions:", "limits: {per_identity: {concurrent: 5}}\nsessions:")
	p.waitSince(mark, `"msg":"reloaded","what":"configuration"`)
	replace(t, list, []byte("Name,ApiKey\nAlice,key-of-alice\n"))
	p.wait(`"msg":"reloaded","what":"whitelist"`)
	p.counts("ctb_gateway_sessions_waiting 2", `ctb_gateway_decisions_total{fault="",mode="api_key",reason="allowed",route="session create"} 2`)
	if got := p.use(lost); got == http.StatusSwitchingProtocols {
		t.Error("the id of a key that is gone opens a connection")
	}
	if got := p.use(kept); got != http.StatusSwitchingProtocols {
		t.Errorf("got %d, want 101\n%s", got, p.output())
	}
	p.counts(`ctb_gateway_reloads_total{result="success",what="whitelist"} 1`, "ctb_gateway_whitelist_keys 1")
	if got := p.use(kept); got != http.StatusBadRequest {
		t.Errorf("a second time: got %d, want 400", got)
	}
}

// session asks for a session's id.
func (p *process) session(key string) string {
	p.t.Helper()
	req, err := http.NewRequest("POST", "http://"+p.address+"/session", strings.NewReader(`{"clientType":"Tcp"}`))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	var body struct{ SessionID string }
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil || body.SessionID == "" {
		p.t.Fatalf("got %d, %v, want an id\n%s", res.StatusCode, err, p.output())
	}
	return body.SessionID
}

// use opens a connection with a session's id.
func (p *process) use(id string) int {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /notarize?sessionId=%s HTTP/1.1\r\nHost: notary\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", id)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode
}

// TestUpstreamTLS: the upstream is known by the CAs that are named, as they are now.
func TestUpstreamTLS(t *testing.T) {
	upstream := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(upstream.Close)
	iss := ctbtest.NewIssuer(t)
	config, jwks := configure(t, iss, "")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "authorization:")
	replace(t, config, fmt.Appendf(nil, "listen: 127.0.0.1:0\nupstream: {url: %q, ca_path: ca.pem}\nauthorization:%s", upstream.URL, rest))
	other := selfSigned(t)
	ca := filepath.Join(filepath.Dir(jwks), "ca.pem")
	replace(t, ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate[0]}))
	p := startGateway(t, config)
	token := iss.Token(ctbtest.Claims{"scope": "read:reports"})
	if got := p.status(http.DefaultClient, "http", token); got != http.StatusBadGateway {
		t.Errorf("an upstream of another CA: got %d, want 502", got)
	}
	replace(t, ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: upstream.Certificate().Raw}))
	p.wait(`"msg":"reloaded","what":"upstream certificates"`)
	if got := p.status(http.DefaultClient, "http", token); got != http.StatusOK {
		t.Errorf("got %d, want 200\n%s", got, p.output())
	}
}

// TestEverythingOpen: a notary's configuration with its authorization disabled lets everybody in,
// and says so as loudly as a log can. What is the upstream's is listed.
func TestEverythingOpen(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(upstream.Close)
	config := write(t, "config.yaml", fmt.Sprintf("server: {name: notary, host: 127.0.0.1, port: 0}\nnotarization: {max_sent_data: 4096, max_recv_data: 16384}\nnotary_key: {private_key_pem_path: a.pem, public_key_pem_path: b.pem}\nupstream: %s\nauthorization: {enabled: false}\n", upstream.URL))
	p := startGateway(t, config)
	p.wait(`"level":"WARN"`)
	p.wait("notary_key")
	p.wait(`"profile":"notary"`)
	if got := p.status(http.DefaultClient, "http", ""); got != 200 {
		t.Errorf("got %d, want 200", got)
	}
}

// TestEnvironmentAlone: variables are a configuration.
func TestEnvironmentAlone(t *testing.T) {
	iss := ctbtest.NewIssuer(t)
	_, jwks := configure(t, iss, "")
	cmd := exec.Command("ctb-gateway", "-check")
	cmd.Env = append(os.Environ(), "CTB_GATEWAY_UPSTREAM=http://127.0.0.1:3000", "CTB_GATEWAY_AUTHORIZATION__JWT__JWKS_PATH="+jwks,
		"CTB_GATEWAY_AUTHORIZATION__JWT__ISSUER="+iss.URL, "CTB_GATEWAY_AUTHORIZATION__JWT__AUDIENCE="+ctbtest.Audience)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), iss.URL) {
		t.Errorf("got %v, want what would be enforced:\n%s", err, out)
	}
}
