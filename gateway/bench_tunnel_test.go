//go:build unix

package gateway_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
)

// rawUpstream switches protocols on every connection, and keeps it without a goroutine or buffer.
func rawUpstream(b *testing.B) (addr string, conns chan net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	conns = make(chan net.Conn, 1)
	go func() {
		request := make([]byte, 4<<10)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := c.Read(request); err != nil {
				continue
			}
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
			conns <- c
		}
	}()
	return l.Addr().String(), conns
}

// tunnels opens n tunnels through a gateway, and returns both ends of each.
func tunnels(b *testing.B, n int, secure bool) (clients, upstreams []net.Conn) {
	iss := ctbtest.NewIssuer(b)
	addr, accepted := rawUpstream(b)
	g, err := gateway.New(gateway.Config{Upstream: &url.URL{Scheme: "http", Host: addr}, Credentials: tokens(b, iss.Verifier()), IdleTimeout: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewUnstartedServer(g)
	start, dial := server.Start, func() (net.Conn, error) { return net.Dial("tcp", server.Listener.Addr().String()) }
	if secure {
		start, dial = server.StartTLS, func() (net.Conn, error) {
			return tls.Dial("tcp", server.Listener.Addr().String(), server.Client().Transport.(*http.Transport).TLSClientConfig)
		}
	}
	start()
	request := "GET / HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nAuthorization: Bearer " + iss.Token(nil) + "\r\n\r\n"
	for range n {
		c, err := dial()
		if err != nil {
			b.Fatal(err)
		}
		io.WriteString(c, request)
		r := bufio.NewReaderSize(c, 512)
		if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != 101 {
			b.Fatal(res, err)
		}
		clients, upstreams = append(clients, c), append(upstreams, <-accepted)
	}
	b.Cleanup(func() {
		for i := range clients {
			clients[i].Close()
			upstreams[i].Close()
		}
		server.Close()
	})
	return clients, upstreams
}

// BenchmarkIdleTunnels reports the memory of an upgraded connection on which nothing
// moves, before and after 64 KiB have passed each way. Both of its ends are in this process, but
// are only sockets (with TLS, the client's state counts in).
//
//	go test -bench IdleTunnels -benchtime 1000x ./gateway
func BenchmarkIdleTunnels(b *testing.B) {
	for _, secure := range []bool{false, true} {
		b.Run(map[bool]string{false: "tcp", true: "tls"}[secure], func(b *testing.B) {
			before := memory()
			clients, upstreams := tunnels(b, b.N, secure)
			b.ReportMetric(float64(memory()-before)/float64(b.N)/1024, "KiB/tunnel")
			chunk := make([]byte, 64<<10)
			for i := range clients {
				pass(b, clients[i], upstreams[i], chunk)
				pass(b, upstreams[i], clients[i], chunk)
			}
			b.ReportMetric(float64(memory()-before)/float64(b.N)/1024, "KiB/used-tunnel")
		})
	}
}

func pass(b *testing.B, from, to net.Conn, chunk []byte) {
	go from.Write(chunk)
	if _, err := io.ReadFull(to, make([]byte, len(chunk))); err != nil {
		b.Fatal(err)
	}
}

// memory is what this process holds on heap and stacks, after collection.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// BenchmarkTunnel passes bytes through an upgraded connection, and through a
// bare copy between sockets.
func BenchmarkTunnel(b *testing.B) {
	clients, upstreams := tunnels(b, 1, false)
	for _, size := range []int{1 << 10, 16 << 10, 256 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			chunk, got := make([]byte, size), make([]byte, size)
			go func() {
				for range b.N {
					if _, err := clients[0].Write(chunk); err != nil {
						return
					}
				}
			}()
			for range b.N {
				if _, err := io.ReadFull(upstreams[0], got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
