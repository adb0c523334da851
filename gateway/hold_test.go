package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
)

// pipes is a listener whose connections are in memory, so that synctest owns their time.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// dial returns the client's end of a new connection.
func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.accept <- server
	return client
}

// serveInMemory runs the gateway in a bubble of synctest, before an upstream that returns the body.
func serveInMemory(t *testing.T, iss *ctbtest.Issuer) *pipes {
	t.Helper()
	h, err := gateway.New(gateway.Config{
		Upstream: &url.URL{Scheme: "http", Host: "upstream"}, Verifier: iss.Verifier(),
		Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			w := httptest.NewRecorder()
			w.Write(body)
			return w.Result(), nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	p := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	go server.Serve(p)
	t.Cleanup(func() { server.Close() })
	return p
}

// TestStrangersHoldNothing: a refusal does not wait for a body that does not
// come, and the connection ends soon, with whatever was asked for.
func TestStrangersHoldNothing(t *testing.T) {
	for name, request := range map[string]string{
		"a length and no body":      "POST / HTTP/1.1\r\nHost: gw\r\nContent-Length: 100\r\n\r\n",
		"a chunk that ends not":     "POST / HTTP/1.1\r\nHost: gw\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nab",
		"a body of a bad path":      "POST /../x HTTP/1.1\r\nHost: gw\r\nContent-Length: 100\r\n\r\n",
		"a body that a CONNECT has": "CONNECT db:1 HTTP/1.1\r\nHost: gw\r\nContent-Length: 100\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := serveInMemory(t, ctbtest.NewIssuer(t)).dial()
				defer c.Close()
				begin := time.Now()
				c.SetDeadline(begin.Add(time.Hour))
				go io.WriteString(c, request)
				r := bufio.NewReader(c)
				res, err := http.ReadResponse(r, nil)
				if err != nil {
					t.Fatal(err)
				}
				if res.StatusCode < 400 || time.Since(begin) != 0 {
					t.Errorf("got %d after %v, want a refusal at once", res.StatusCode, time.Since(begin))
				}
				io.Copy(io.Discard, r)
				if held := time.Since(begin); held > 15*time.Second {
					t.Errorf("the connection was held for %v", held)
				}
			})
		})
	}
}

// TestStrangersMustRead: who takes no answers does not hold a connection either.
func TestStrangersMustRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serveInMemory(t, ctbtest.NewIssuer(t)).dial()
		defer c.Close()
		begin := time.Now()
		for {
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: gw\r\n\r\n"); err != nil {
				break
			}
		}
		if held := time.Since(begin); held > time.Minute {
			t.Errorf("the connection was held for %v", held)
		}
	})
}

// TestGuestsTakeTheirTime: the bounds are not for who has a good token, though
// he is slow, and his connection is kept.
func TestGuestsTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := ctbtest.NewIssuer(t)
		c := serveInMemory(t, iss).dial()
		defer c.Close()
		r := bufio.NewReader(c)
		for range 2 {
			go func() {
				fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer %s\r\nContent-Length: 4\r\n\r\nsl", iss.Token(nil))
				time.Sleep(5 * time.Minute)
				io.WriteString(c, "ow")
			}()
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Minute) // and he reads slowly
			body, err := io.ReadAll(res.Body)
			if err != nil || string(body) != "slow" || res.Close {
				t.Errorf("got %q, %v, close %v; want the body back and the connection kept", body, err, res.Close)
			}
			time.Sleep(30 * time.Second)
		}
	})
}
