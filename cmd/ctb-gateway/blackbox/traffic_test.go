package blackbox

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// bulk is what a session of a browser prover moves one way, in bytes. The race detector makes it slow.
var bulk = int64(48<<20) / int64(1+11*len(raced))

// noise is n bytes that no compressor shortens, the same for the same seed.
func noise(seed byte, n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), n)
}

// digest is the SHA-256 of what was written or would be read.
func digest(r io.Reader) string {
	h := sha256.New()
	io.Copy(h, r)
	return sum(h)
}

func sum(h hash.Hash) string { return fmt.Sprintf("%x", h.Sum(nil)) }

// both runs two directions of a connection at once.
func both(t *testing.T, one, other func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- one() }()
	if err := errors.Join(other(), <-done); err != nil {
		t.Error(err)
	}
}

// TestWebSocketBulk is a session of a browser prover: the server speaks first, and 48 MB
// go each way at the same time, in binary frames of at most 16 KiB.
func TestWebSocketBulk(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			w := stand(t, profile, "concurrency: 1\nsessions: {issue: upstream}\n"+tokens)
			atUpstream := make(chan string, 1)
			w.up.upgraded = func(c *exchange) {
				if got := c.header.Get("Sec-Websocket-Extensions"); got != "permessage-deflate; client_max_window_bits" {
					t.Errorf("upstream: Sec-WebSocket-Extensions: got %q", got)
				}
				writeFrame(c, binaryFrame, []byte("the notary speaks first"), false)
				h := sha256.New()
				both(t,
					func() error { return sendFrames(c, noise('d', bulk), false) },
					func() error { return receiveFrames(h, c.in, true) })
				atUpstream <- sum(h)
			}
			for range 2 { // the second time the slot is free again
				c := w.dial()
				a := w.slot(c, w.session(c, w.bearer("browser")), "Upgrade: websocket\r\nOrigin: https://app.example\r\nSec-WebSocket-Version: 13\r\n"+
					"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")
				if a.status != 101 || a.header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
					t.Fatalf("got %d %q %v, want 101 and the key's answer", a.status, a.body, a.header)
				}
				if _, hello, err := readFrame(c.in, make([]byte, maxFrame), false); string(hello) != "the notary speaks first" {
					t.Fatalf("got %q, %v", hello, err)
				}
				h := sha256.New()
				both(t,
					func() error { return sendFrames(c, noise('u', bulk), true) },
					func() error { return receiveFrames(h, c.in, false) })
				if got := <-atUpstream; got != digest(noise('u', bulk)) {
					t.Error("the bytes changed on their way to the upstream")
				}
				if sum(h) != digest(noise('d', bulk)) {
					t.Error("the bytes changed on their way to the client")
				}
				if err := c.ended(); err != nil {
					t.Error(err)
				}
				c.Close()
			}
		})
	}
}

// TestTCPBulk is a session of a Rust prover: one connection for both requests, 48 MB each way,
// and each end is sent alone.
func TestTCPBulk(t *testing.T) {
	t.Parallel()
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			w := stand(t, profile, "sessions: {issue: upstream}\n"+tokens)
			atUpstream := make(chan string, 1)
			w.up.upgraded = func(c *exchange) {
				io.WriteString(c, "the notary speaks first\n")
				h := sha256.New()
				both(t,
					func() error { _, err := io.Copy(c, noise('d', bulk)); return err },
					func() error { _, err := io.Copy(h, c.in); return err })
				atUpstream <- sum(h)
				// The client has ended its half; ours goes on.
				io.Copy(c, noise('e', 1<<20))
			}
			c := w.opened("rust")
			h := sha256.New()
			both(t,
				func() error {
					_, err := io.Copy(c, noise('u', bulk))
					return errors.Join(err, c.Conn.(half).CloseWrite())
				},
				func() error { _, err := io.Copy(h, c.in); return err })
			if got := <-atUpstream; got != digest(noise('u', bulk)) {
				t.Error("the bytes changed on their way to the upstream")
			}
			if sum(h) != digest(io.MultiReader(noise('d', bulk), noise('e', 1<<20))) {
				t.Error("the bytes changed on their way to the client")
			}
		})
	}
}

// TestUpstreamEndsFirst: the upstream sends its end, and still hears what the client says then.
func TestUpstreamEndsFirst(t *testing.T) {
	t.Parallel()
	w := stand(t, "notary", tokens)
	heard := make(chan string, 1)
	w.up.upgraded = func(c *exchange) {
		io.WriteString(c, "the notary speaks first\n")
		c.Conn.(half).CloseWrite()
		all, _ := io.ReadAll(c.in)
		heard <- string(all)
	}
	c := w.opened("rust")
	if err := c.ended(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "I have heard it")
	c.Conn.(half).CloseWrite()
	if got := <-heard; got != "I have heard it" {
		t.Errorf("the upstream heard %q", got)
	}
}

// TestSwitchingProtocolsAlone: the upstream sends its first words in one segment with its 101.
// A client that reads its answer in one piece, as the Rust prover's does, must not find them there.
func TestSwitchingProtocolsAlone(t *testing.T) {
	t.Parallel()
	w := stand(t, "notary", tokens)
	w.up.serve = func(_ *upstream, c *exchange) bool {
		if c.header.Get("Upgrade") == "" {
			return false
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nthe notary speaks first\n")
		io.Copy(io.Discard, c.in)
		return true
	}
	// Who comes late to read finds both in his socket's buffer, however they were sent: on a busy machine it
	// takes some tries to be in time. If they are sent as one, no try ever is.
	for start := time.Now(); time.Since(start) < patience; {
		c := w.dial()
		id := w.session(c, w.bearer("rust"))
		fmt.Fprintf(c, "GET /notarize?sessionId=%s HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", id)
		first := make([]byte, 64<<10)
		n, err := c.Read(first)
		if err != nil {
			t.Fatal(err)
		}
		rest := bufio.NewReader(io.MultiReader(bytes.NewReader(first[:n]), c))
		for line := ""; line != "\r\n"; {
			if line, err = rest.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		if hello, err := rest.ReadString('\n'); hello != "the notary speaks first\n" {
			t.Fatalf("got %q, %v", hello, err)
		}
		c.Close()
		if bytes.HasSuffix(first[:n], []byte("\r\n\r\n")) {
			return
		}
	}
	t.Error("the 101 never came alone")
}

// TestSlots: however a connection ends, its slot is free then, and before that it is not.
func TestSlots(t *testing.T) {
	t.Parallel()
	w := stand(t, "notary", "concurrency: 1\n"+tokens)
	for _, tt := range []struct {
		name string
		end  func(c *client)
	}{
		{"the client closes", func(c *client) { c.Close() }},
		{"the client resets", func(c *client) { reset(c.Conn) }},
		{"the client ends its half", func(c *client) { c.Conn.(half).CloseWrite() }},
		{"the upstream is cut, and so the client leaves", func(c *client) {
			w.up.cut()
			if err := c.ended(); err != nil {
				t.Error(err)
			}
			c.Close()
		}},
	} {
		c := w.opened("one")
		other := w.dial()
		id := w.session(other, w.bearer("two"))
		busy := w.upgrade(other, id, "Upgrade: tcp\r\n")
		if busy.status != 503 || busy.header.Get("Retry-After") != "5" {
			t.Fatalf("%s: got %d %q %v, want 503 and Retry-After: 5", tt.name, busy.status, busy.body, busy.header)
		}
		tt.end(c)
		if a := w.slot(other, id, "Upgrade: tcp\r\n"); a.status != 101 {
			t.Fatalf("%s: got %d %q %v, want 503 and then 101", tt.name, a.status, a.body, a.err)
		}
		other.Close()
	}
}

// TestSlotOfTheImpatient: a client that leaves before the upstream has answered has freed its slot, and the
// one whose upstream refuses too, with the id as good as before.
func TestSlotOfTheImpatient(t *testing.T) {
	t.Parallel()
	w := stand(t, "notary", "concurrency: 1\n"+tokens)
	asked, release := make(chan bool, 10), make(chan bool)
	t.Cleanup(func() { close(release) })
	w.up.serve = func(_ *upstream, c *exchange) bool {
		switch {
		case !strings.HasPrefix(c.target, "/notarize"):
			return false
		case strings.Contains(c.header.Get("X-Do"), "hang"):
			asked <- true
			<-release
		case strings.Contains(c.header.Get("X-Do"), "refuse"):
			c.reply(500, "", "not now\n")
		default:
			return false
		}
		return true
	}
	c := w.dial()
	id := w.session(c, w.bearer("one"))
	fmt.Fprintf(c, "GET /notarize?sessionId=%s HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nX-Do: hang\r\n\r\n", id)
	<-asked
	c.Close()
	other := w.dial()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		a := w.upgrade(other, id, "Upgrade: tcp\r\nX-Do: refuse\r\n")
		if a.status == 500 {
			break
		}
		if time.Since(start) > patience {
			t.Fatalf("the slot stays taken: %d %q", a.status, a.body)
		}
		if a.err != nil {
			other = w.dial()
		}
	}
	if a := w.slot(w.dial(), id, "Upgrade: tcp\r\n"); a.status != 101 {
		t.Fatalf("an id whose upgrade failed: got %d %q %v, want 101", a.status, a.body, a.err)
	}
}

// TestSessionExpires: an id that is not used in time is none.
func TestSessionExpires(t *testing.T) {
	t.Parallel()
	w := stand(t, "notary", "sessions: {ttl: 1s}\n"+tokens)
	c := w.dial()
	id := w.session(c, w.bearer("late"))
	time.Sleep(1100 * time.Millisecond) // slower is later still
	want := fmt.Sprintf("Invalid request from prover: Session id %s does not exist", id)
	if a := w.upgrade(c, id, "Upgrade: tcp\r\n"); a.status != 400 || strings.TrimSpace(a.body) != want {
		t.Errorf("got %d %q, want 400 %q", a.status, a.body, want)
	}
}
