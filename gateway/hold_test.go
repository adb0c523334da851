package gateway_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
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
func serveInMemory(t *testing.T, iss *ctbtest.Issuer, change ...func(*gateway.Config)) *pipes {
	t.Helper()
	config := gateway.Config{
		Upstream: &url.URL{Scheme: "http", Host: "upstream"}, Credentials: tokens(t, iss.Verifier()),
		Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			w := httptest.NewRecorder()
			w.Write(body)
			return w.Result(), nil
		}),
	}
	for _, f := range change {
		f(&config)
	}
	h, err := gateway.New(config)
	if err != nil {
		t.Fatal(err)
	}
	p := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
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
// he is slow and was a stranger a moment ago, and his connection is kept.
func TestGuestsTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := ctbtest.NewIssuer(t)
		c := serveInMemory(t, iss).dial()
		defer c.Close()
		r := bufio.NewReader(c)
		go io.WriteString(c, "GET / HTTP/1.1\r\nHost: gw\r\n\r\n")
		refused, err := http.ReadResponse(r, nil)
		if err != nil || refused.StatusCode != http.StatusUnauthorized || refused.Close {
			t.Fatalf("got %v, %v, want a refusal and the connection kept", refused, err)
		}
		io.Copy(io.Discard, refused.Body)
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

// TestStrangersMustReadStreams: with HTTP/2 a client can take an answer's header and not its body, by flow
// control, and nothing is wrong with its connection. The stream of a stranger ends all the same.
func TestStrangersMustReadStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := serveInMemory(t, ctbtest.NewIssuer(t)).dial()
		defer c.Close()
		begin := time.Now()
		c.SetDeadline(begin.Add(time.Hour))
		const (
			settings, headers, reset = 4, 1, 3
			noWindow                 = "\x00\x04\x00\x00\x00\x00"         // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 section 6.5.2)
			getRoot                  = "\x82\x84\x86\x41\x02gw"           // of HPACK's static table (RFC 7541 appendix A)
			frame                    = "\x00\x00%c%c%c\x00\x00\x00%c%s"   // RFC 9113 section 4.1
			preface                  = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // section 3.4
		)
		go fmt.Fprintf(c, preface+frame+frame, len(noWindow), settings, 0, 0, noWindow, len(getRoot), headers, 5, 1, getRoot)
		r := bufio.NewReader(c)
		for answered := false; ; {
			var head [9]byte
			if _, err := io.ReadFull(r, head[:]); err != nil {
				t.Fatalf("answered %v, and after %v: %v", answered, time.Since(begin), err)
			}
			if _, err := r.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2])); err != nil {
				t.Fatal(err)
			}
			answered = answered || head[3] == headers
			if head[3] == reset {
				if held := time.Since(begin); !answered || held > time.Minute {
					t.Errorf("answered %v, and the stream was held for %v", answered, held)
				}
				return
			}
		}
	})
}

// TestStrangersHoldNoCrowdOfStreams: a stream whose answer waits for a window costs its client a few bytes, and us much more. Beyond a
// thousand of them, whoever they are of, streams of strangers end at once; when the others have ended, they are answered again.
func TestStrangersHoldNoCrowdOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const connections, streams = 6, 200
		p := serveInMemory(t, ctbtest.NewIssuer(t))
		var answered, reset atomic.Int32
		open := func() {
			c := p.dial()
			t.Cleanup(func() { c.Close() })
			var all strings.Builder
			// As above: a connection whose streams get no window, and requests on them.
			all.WriteString("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x06\x04\x00\x00\x00\x00\x00" + "\x00\x04\x00\x00\x00\x00")
			for id := 1; id < 2*streams; id += 2 {
				all.WriteString("\x00\x00\x07\x01\x05\x00\x00" + string([]byte{byte(id >> 8), byte(id)}) + "\x82\x84\x86\x41\x02gw")
			}
			go io.WriteString(c, all.String())
			go func() {
				ended := map[uint32]bool{} // a stream may be reset twice: as its time is up, and as its handler ends
				for r := bufio.NewReader(c); ; {
					var head [9]byte
					if _, err := io.ReadFull(r, head[:]); err != nil {
						return
					}
					r.Discard(int(head[0])<<16 | int(head[1])<<8 | int(head[2]))
					switch head[3] {
					case 1:
						answered.Add(1)
					case 3:
						if id := binary.BigEndian.Uint32(head[5:]); !ended[id] {
							ended[id] = true
							reset.Add(1)
						}
					}
				}
			}()
		}
		for range connections {
			open()
		}
		synctest.Wait()
		if held := connections*streams - reset.Load(); held < 500 || held > 1100 || answered.Load() < held {
			t.Errorf("%d are held, and %d answered", held, answered.Load())
		}
		time.Sleep(time.Minute)
		if reset.Load() != connections*streams {
			t.Errorf("a minute later, %d of %d have ended", reset.Load(), connections*streams)
		}
		answered.Store(0)
		open()
		synctest.Wait()
		if answered.Load() != streams {
			t.Errorf("afterwards %d are answered, want %d", answered.Load(), streams)
		}
	})
}
