package gateway_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/credential"
)

// upgrade opens a tunnel, and returns what reads and writes the client's end.
func (g *rig) upgrade(token string) (halfCloser, *bufio.Reader, *http.Response) {
	g.tb.Helper()
	c := g.dial()
	fmt.Fprintf(c, "GET /notarize HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nAuthorization: Bearer %s\r\n\r\n", token)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		g.tb.Fatal(err)
	}
	return c, r, res
}

// switched hijacks a request at the upstream, and switches protocols.
func switched(w http.ResponseWriter, r *http.Request, header string) (*net.TCPConn, *bufio.Reader) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s\r\n", r.Header.Get("Upgrade"), header)
	return conn.(*net.TCPConn), rw.Reader
}

// TestHalfClose: who has said all still hears the other end, in both directions, with TLS and without.
func TestHalfClose(t *testing.T) {
	for _, plain := range []bool{true, false} {
		name := map[bool]string{true: "TCP", false: "TLS"}[plain]
		t.Run(name+", the client ends first", func(t *testing.T) {
			g := newRig(t, setup{plain: plain, upstream: func(w http.ResponseWriter, r *http.Request) {
				conn, br := switched(w, r, "")
				defer conn.Close()
				text, _ := io.ReadAll(br)
				fmt.Fprintf(conn, "you said %s", text)
			}})
			c, r, _ := g.upgrade(g.issuer.Token(nil))
			io.WriteString(c, "all")
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(r); err != nil || string(text) != "you said all" {
				t.Errorf("got %q, %v", text, err)
			}
		})
		t.Run(name+", the upstream ends first", func(t *testing.T) {
			heard := make(chan string, 1)
			g := newRig(t, setup{plain: plain, upstream: func(w http.ResponseWriter, r *http.Request) {
				conn, br := switched(w, r, "")
				defer conn.Close()
				io.WriteString(conn, "bye")
				conn.CloseWrite()
				text, _ := io.ReadAll(br)
				heard <- string(text)
			}})
			c, r, _ := g.upgrade(g.issuer.Token(nil))
			if text, err := io.ReadAll(r); err != nil || string(text) != "bye" {
				t.Fatalf("got %q, %v", text, err)
			}
			io.WriteString(c, "still here")
			c.Close()
			if text := <-heard; text != "still here" {
				t.Errorf("the upstream heard %q", text)
			}
		})
	}
}

// TestEarlyBytes: what a client sends without waiting for the 101 is not lost.
func TestEarlyBytes(t *testing.T) {
	for _, plain := range []bool{true, false} {
		g := newRig(t, setup{plain: plain, upstream: echo})
		c := g.dial()
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nAuthorization: Bearer %s\r\n\r\nearly, ", g.issuer.Token(nil))
		r := bufio.NewReader(c)
		if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 101 {
			t.Fatal(res, err)
		}
		io.WriteString(c, "late\n")
		r.ReadString('\n') // the upstream speaks first
		if text, err := r.ReadString('\n'); text != "early, late\n" {
			t.Errorf("plain %v: got %q, %v", plain, text, err)
		}
	}
}

// TestSubprotocol: where a token stands among the subprotocols, the upstream does not see it, and the client is
// answered with one that it offered.
func TestSubprotocol(t *testing.T) {
	for _, tt := range []struct{ offered, chosen, seen, want string }{
		{"bearer, %s", "", "", "bearer"},
		{"bearer, %s, chat", "Sec-WebSocket-Protocol: chat\r\n", "chat", "chat"},
		{"bearer, %s, chat", "", "chat", "bearer"},
	} {
		g := newRig(t, setup{
			upstream: func(w http.ResponseWriter, r *http.Request) {
				conn, _ := switched(w, r, tt.chosen)
				conn.Close()
			},
		})
		iss := g.issuer
		g = newRig(t, setup{
			upstream: g.upstream.Config.Handler.ServeHTTP,
			change: func(c *gateway.Config) {
				authenticator, err := credential.NewTokens([]credential.Issuer{{Verifier: iss.Verifier()}}, credential.Place{Kind: credential.WebSocketProtocol})
				if err != nil {
					t.Fatal(err)
				}
				c.Credentials = credential.Any{authenticator}
			},
		})
		c := g.dial()
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: "+tt.offered+"\r\n\r\n", iss.Token(nil))
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(res.Header.Values("Sec-WebSocket-Protocol")); res.StatusCode != 101 || got != "["+tt.want+"]" {
			t.Errorf("%s: got %d %s, want %s", tt.offered, res.StatusCode, got, tt.want)
		}
		if got := g.reached()[0].Header.Get("Sec-WebSocket-Protocol"); got != tt.seen {
			t.Errorf("%s: the upstream saw %q, want %q", tt.offered, got, tt.seen)
		}
	}
}

// TestUpgradeWithoutBody: a request with a body does not become a tunnel.
func TestUpgradeWithoutBody(t *testing.T) {
	g := newRig(t, setup{upstream: echo})
	for _, body := range []string{"Content-Length: 2\r\n\r\nhi", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"} {
		res, _ := g.raw("GET / HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nAuthorization: Bearer " + g.issuer.Token(nil) + "\r\n" + body)
		if res.StatusCode != 400 || len(g.reached()) != 0 {
			t.Errorf("%q: got %d, want 400", body, res.StatusCode)
		}
	}
}

// counter is an Observer.
type counter struct{ open, opened, decisions, answers atomic.Int32 }

func (c *counter) Decided(string, access.Mode, access.Reason, ctb.Fault, time.Duration) {
	c.decisions.Add(1)
}
func (c *counter) Answered(string, int, time.Duration) { c.answers.Add(1) }
func (c *counter) Tunnel(open bool) {
	if open {
		c.opened.Add(1)
		c.open.Add(1)
		return
	}
	c.open.Add(-1)
}

// tunnelInMemory opens a tunnel in a bubble of synctest, and returns both of its ends, and what the client hears.
func tunnelInMemory(t *testing.T, change func(*gateway.Config)) (said *bufio.Reader, client, upstream net.Conn) {
	t.Helper()
	iss := ctbtest.NewIssuer(t)
	upstream, inner := net.Pipe()
	var sessions bool
	p := serveInMemory(t, iss, func(c *gateway.Config) {
		c.Transport = transportFunc(func(r *http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: 101, ProtoMajor: 1, ProtoMinor: 1, Request: r, Body: inner,
				Header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"tcp"}},
			}, nil
		})
		change(c)
		sessions = c.Sessions != nil
	})
	c := p.dial()
	r := bufio.NewReader(c)
	var answer struct{ SessionID string }
	if sessions {
		go fmt.Fprintf(c, "POST /session HTTP/1.1\r\nHost: gw\r\nContent-Type: application/json\r\nContent-Length: 20\r\nAuthorization: Bearer %s\r\n\r\n{\"clientType\":\"Tcp\"}", iss.Token(nil))
		if res, err := http.ReadResponse(r, nil); err != nil || json.NewDecoder(res.Body).Decode(&answer) != nil {
			t.Fatal(err)
		}
	}
	go fmt.Fprintf(c, "GET /notarize?sessionId=%s HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nAuthorization: Bearer %s\r\n\r\n", answer.SessionID, iss.Token(nil))
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 101 {
		t.Fatal(res, err)
	}
	t.Cleanup(func() { c.Close(); upstream.Close() })
	return r, c, upstream
}

// TestIdleTunnels: one that moves nothing is cut, one in which either end says
// something now and then is not.
func TestIdleTunnels(t *testing.T) {
	for _, who := range []string{"client", "upstream"} {
		t.Run(who, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen counter
				said, client, upstream := tunnelInMemory(t, func(c *gateway.Config) { c.IdleTimeout, c.Observer = time.Minute, &seen })
				for range 20 {
					time.Sleep(50 * time.Second)
					var from io.Writer = client
					var to io.Reader = upstream
					if who == "upstream" {
						from, to = upstream, said
					}
					go io.WriteString(from, "still here")
					if _, err := io.ReadFull(to, make([]byte, 10)); err != nil {
						t.Fatalf("cut while in use: %v", err)
					}
				}
				if seen.open.Load() != 1 {
					t.Errorf("%d tunnels are open, want 1", seen.open.Load())
				}
				begin := time.Now()
				if _, err := said.ReadByte(); !errors.Is(err, io.EOF) {
					t.Errorf("got %v, want the end", err)
				}
				if held := time.Since(begin); held < 59*time.Second || held > 61*time.Second {
					t.Errorf("was cut after %v, want a minute", held)
				}
				if _, err := upstream.Read(make([]byte, 1)); err == nil {
					t.Error("the upstream's end is open still")
				}
				synctest.Wait()
				if seen.open.Load() != 0 || seen.opened.Load() != 1 || seen.answers.Load() != 1 {
					t.Errorf("got %d open of %d, %d answered", seen.open.Load(), seen.opened.Load(), seen.answers.Load())
				}
			})
		})
	}
}

// TestTunnelsWithoutTimeout may be silent as long as they like.
func TestTunnelsWithoutTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said, _, upstream := tunnelInMemory(t, func(*gateway.Config) {})
		time.Sleep(100 * time.Hour)
		go io.WriteString(upstream, "x")
		if b, err := said.ReadByte(); b != 'x' {
			t.Errorf("got %q, %v", b, err)
		}
	})
}

// TestSwitchedUnasked: an upstream that switches to what nobody asked for loses its connection, at once.
func TestSwitchedUnasked(t *testing.T) {
	for _, protocol := range []string{"websocket", "h2c", "tcp, websocket"} {
		ended := make(chan error, 1)
		g := newRig(t, setup{upstream: func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Upgrade", protocol)
			conn, br := switched(w, r, "")
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(time.Minute)) // for a hang; it does not decide
			_, err := io.Copy(io.Discard, br)
			ended <- err
		}})
		if _, _, res := g.upgrade(g.issuer.Token(nil)); res.StatusCode != http.StatusBadGateway {
			t.Errorf("%s: got %d, want 502", protocol, res.StatusCode)
		}
		if err := <-ended; err != nil {
			t.Errorf("%s: the upstream's connection was kept: %v", protocol, err)
		}
	}
}
