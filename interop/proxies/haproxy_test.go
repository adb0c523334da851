package proxies

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// front is the gateway behind HAProxy, which forwards by itself.
const front = `listen: %s
upstream: http://%s
trusted_proxies: [127.0.0.1/32]
admin: {listen: %s}
authorization:
  jwt:
    jwks_path: jwks.json
    issuer: https://issuer.example
    audience: https://api.example.com
    token_from: [authorization, {query: access_token}]
  claim_headers: {X-User: sub}
`

func TestHAProxy(t *testing.T) {
	haproxy := installed(t, "haproxy")
	r := newRig(t)
	r.run(write(t, r.dir, "gateway.yaml", fmt.Sprintf(front, r.listen, r.service.Listener.Addr(), r.admin)))
	r.gateway.waitFor(r.listen)
	address := freeAddress(t)
	config := shipped(t, r.dir, "haproxy.example.cfg",
		"127.0.0.1:9999", r.listen, "check port 9996", "check inter 200ms port "+port(r.admin), "127.0.0.1:8080", address,
		"log /dev/log local0", "log stdout format raw local0")
	p := start(t, []string{address}, haproxy, "-f", config)

	token := "Authorization: Bearer " + r.issuer.Token(reader)
	t.Run("allowed", func(t *testing.T) {
		res, text := exchange(t, address, "POST", "/reports/1?q=a", []string{token,
			"X-User: root", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: admin.example", "Forwarded: for=10.0.0.2",
		}, "a body")
		seen := r.service.reached()
		if res.StatusCode != 200 || len(seen) != 1 || !strings.HasSuffix(text, "a body") {
			t.Fatalf("got %d %q, want 200 and the body", res.StatusCode, text)
		}
		question{method: "POST", target: "/reports/1?q=a", user: "alice"}.checkArrived(t, seen[0])
		for name, want := range map[string]string{"X-Forwarded-Proto": "http", "X-Forwarded-Host": "service.example"} {
			if got := seen[0].Header.Get(name); got != want {
				t.Errorf("%s: the service got %q, want %q", name, got, want)
			}
		}
		// The client, as HAProxy saw it; then perhaps HAProxy, as the gateway saw it. Both are on loopback here.
		if got := strings.Join(seen[0].Header.Values("X-Forwarded-For"), ","); !strings.HasPrefix(got, "127.0.0.1") || strings.Contains(got, "10.0.0") {
			t.Errorf("X-Forwarded-For: the service got %q, want the client's address as HAProxy saw it", got)
		}
	})
	t.Run("refused", func(t *testing.T) {
		for name, lines := range map[string][]string{"no token": nil, "not a token": {"Authorization: Bearer abc"}} {
			res, text := exchange(t, address, "GET", "/reports/1", lines, "")
			if res.StatusCode != 401 || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer") || len(r.service.reached()) != 0 {
				t.Errorf("%s: got %d %q, want 401 with a challenge", name, res.StatusCode, text)
			}
		}
	})
	t.Run("websocket", func(t *testing.T) { webSocket(t, address, "/socket", token) })
	t.Run("websocket, refused", func(t *testing.T) {
		res, _ := exchange(t, address, "GET", "/socket", []string{"Upgrade: websocket", "Connection: upgrade",
			"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + webSocketKey}, "")
		if res.StatusCode != 401 {
			t.Errorf("got %d, want 401", res.StatusCode)
		}
	})
	r.service.reached()
	r.askWithQuery(t, address, p.output.String)
}

const webSocketKey = "dGhlIHNhbXBsZSBub25jZQ==" // of RFC 6455 section 1.3

// webSocket opens an upgraded connection, on which the service greets first and then sends back what it gets.
func webSocket(t *testing.T, address, path, token string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: service.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n\r\n", path, webSocketKey, token)
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %d, want 101", res.StatusCode)
	}
	greeting := make([]byte, len("hello"))
	if _, err := io.ReadFull(br, greeting); err != nil || string(greeting) != "hello" {
		t.Fatalf("got %q and %v, want the greeting", greeting, err)
	}
	sent := strings.Repeat("0123456789abcdef", 64<<10) // 1 MiB
	go io.WriteString(conn, sent)
	back := make([]byte, len(sent))
	if _, err := io.ReadFull(br, back); err != nil || string(back) != sent {
		t.Errorf("what came back is not what was sent: %v", err)
	}
}

// echo answers a WebSocket handshake (RFC 6455 section 4.2.2), greets, and sends back what it gets.
func echo(t *testing.T, w http.ResponseWriter, r *http.Request) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\nhello",
		base64.StdEncoding.EncodeToString(sum[:]))
	rw.Flush()
	_, _ = io.Copy(conn, rw) // until the client leaves
}
