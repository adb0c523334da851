package blackbox

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestUpstreamFaults: whatever becomes of the upstream, the client gets an answer that says so, never
// a half one that looks whole, and the next request is served.
func TestUpstreamFaults(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			w := stand(t, profile, "timeouts: {connect: 5s, answer: 6s, idle: 10m}\nsessions: off\n"+tokens)
			released := make(chan struct{})
			t.Cleanup(func() { close(released) })
			w.up.serve = func(_ *upstream, c *exchange) bool {
				switch c.target {
				case "/cut": // before the answer
				case "/cut-head":
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le")
				case "/cut-body":
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.")
				case "/cut-chunks":
					io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nten bytes.\r\n")
				case "/garbage":
					io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n")
				case "/two-lengths":
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde")
				case "/huge-head":
					io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 11<<20)+"\r\n\r\n")
				case "/unasked-101":
					io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello")
				case "/silent":
					<-released
				case "/slow": // a body that comes a byte at a time, longer than an answer may take to begin
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
					for range 8 {
						time.Sleep(time.Second)
						io.WriteString(c, "x")
					}
				default:
					return false
				}
				return true
			}
			for _, tt := range []struct {
				path   string
				status int // 0: an answer that breaks off
				body   string
			}{
				{"/cut", 502, ""},
				{"/cut-head", 502, ""},
				{"/cut-body", 0, ""},
				{"/cut-chunks", 0, ""},
				{"/garbage", 502, ""},
				{"/two-lengths", 502, ""},
				{"/huge-head", 502, ""},
				{"/unasked-101", 502, ""},
				{"/silent", 504, ""},
				{"/slow", 200, "xxxxxxxx"},
			} {
				a := w.get(tt.path, w.bearer("a"))
				switch {
				case tt.status == 0 && a.err == nil:
					t.Errorf("%s: got %d with a whole body %q, want one that breaks off", tt.path, a.status, a.body)
				case tt.status != 0 && (a.err != nil || a.status != tt.status):
					t.Errorf("%s: got %d %q %v, want %d", tt.path, a.status, a.body, a.err, tt.status)
				case tt.body != "" && a.body != tt.body:
					t.Errorf("%s: got %q, want %q", tt.path, a.body, tt.body)
				case strings.Contains(a.body, w.up.address()):
					t.Errorf("%s: the answer tells where the upstream is: %q", tt.path, a.body)
				}
				if a := w.get("/", w.bearer("a")); a.status != 200 {
					t.Errorf("after %s: got %d %q, want 200", tt.path, a.status, a.body)
				}
			}
			address := w.up.address()
			w.up.listener.Close()
			w.up.cut()
			for a := w.get("/", w.bearer("a")); a.status != 502; a = w.get("/", w.bearer("a")) { // one may be cut in its middle
				if a.status == 200 {
					t.Fatal("got 200 from an upstream that is down")
				}
			}
			// And when it is back, so are its answers.
			again, err := net.Listen("tcp", address)
			if err != nil {
				t.Skipf("the upstream's port is taken: %v", err)
			}
			w.up.accept(again)
			w.becomes(w.bearer("a"), 200)
		})
	}
}

// TestCutSession: an upgraded connection whose upstream is cut ends for the client.
func TestCutSession(t *testing.T) {
	t.Parallel()
	w := stand(t, "notary", tokens)
	c := w.opened("rust")
	w.up.cut()
	if err := c.ended(); err != nil {
		t.Error(err)
	}
}

// TestIdleSession: an upgraded connection on which nothing moves is cut, and one on which something does is not.
func TestIdleSession(t *testing.T) {
	t.Parallel()
	const timeout = 3 * time.Second
	w := stand(t, "notary", fmt.Sprintf("timeouts: {idle: %v}\n", timeout)+tokens)
	moved := time.Now() // no later than the last byte
	idle, busy := w.opened("idle"), w.opened("busy")
	stop, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(failed)
		for {
			now := time.Now()
			_, err := io.WriteString(busy, "x")
			if err == nil {
				err = busy.expect("x")
			}
			if err != nil {
				if time.Since(moved) < timeout { // on a machine that halts for so long, it was idle
					failed <- err
				}
				return
			}
			moved = now
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	if err := idle.ended(); err != nil {
		t.Errorf("idle: %v", err)
	}
	// Another while of the same length, until a second idle one has ended.
	if err := w.opened("idle").ended(); err != nil {
		t.Errorf("idle: %v", err)
	}
	close(stop)
	if err := <-failed; err != nil {
		t.Errorf("busy: %v", err)
	}
}

// TestSlowClients: those who send a byte a second are ended before their request has begun, and
// nobody waits for them; one who has shown a good token may take his time.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	w := stand(t, "strict", tokens)
	const request = "GET / HTTP/1.1\r\nHost: gw\r\nX-Slow: a"
	var slow sync.WaitGroup
	for range 50 {
		c := w.dial()
		slow.Go(func() {
			for _, b := range []byte(request) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				c.SetReadDeadline(time.Now().Add(time.Second)) // in which the next byte is due
				if _, err := c.in.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
					return // an answer, or the end
				}
			}
			t.Error("a client with a byte a second could send 39 bytes of headers")
		})
	}
	// A body a byte at a time: strangers are answered at once, others are served.
	c := w.dial()
	fmt.Fprintf(c, "POST /slow HTTP/1.1\r\nHost: gw\r\nContent-Length: 1000\r\n\r\na")
	if a := c.receive(); a.status != 401 {
		t.Errorf("a stranger's slow body: got %d %v, want 401", a.status, a.err)
	}
	c = w.dial()
	fmt.Fprintf(c, "POST /slow HTTP/1.1\r\nHost: gw\r\nContent-Length: 5\r\n%s\r\n", w.bearer("a"))
	for range 5 {
		time.Sleep(time.Second)
		io.WriteString(c, "a")
		if a := w.get("/", w.bearer("b")); a.status != 200 {
			t.Errorf("beside slow clients: got %d %v, want 200", a.status, a.err)
		}
	}
	if a := c.receive(); a.status != 200 {
		t.Errorf("a slow body: got %d %q %v, want 200", a.status, a.body, a.err)
	}
	slow.Wait()
}
