package blackbox

import (
	"fmt"
	"io"
	"testing"
	"time"
)

// TestBackPressure: who does not read makes the other end wait, and the gateway holds no more than buffers.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	w := stand(t, "notary", tokens)
	const much = 1 << 30 // more than any socket's buffers
	// pour writes until it is told to wait; a slow machine only makes it less.
	pour := func(c io.Writer, limit func(time.Time) error) (n int64) {
		chunk := make([]byte, 64<<10)
		for n < much {
			limit(time.Now().Add(time.Second))
			m, err := c.Write(chunk)
			n += int64(m)
			if err != nil {
				break
			}
		}
		return n
	}
	poured := make(chan int64, 1)
	w.up.serve = func(_ *upstream, c *exchange) bool {
		switch c.target {
		case "/body":
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", much)
		case "/upgrade":
			c.switchProtocols()
		default:
			return false
		}
		poured <- pour(c, c.SetWriteDeadline)
		return true
	}
	before := w.status("VmRSS")
	for _, request := range []string{
		"GET /body HTTP/1.1\r\nHost: gw\r\n",
		"GET /upgrade HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n",
	} {
		c := w.dial()
		c.send(request + w.bearer("a") + "\r\n")
		if n := <-poured; n >= much {
			t.Errorf("%q: the upstream could send %d bytes to a client that reads none", request, n)
		}
		c.Close()
	}
	// The other way: the upstream of an upgraded connection reads nothing.
	release := make(chan struct{})
	w.up.serve = nil
	w.up.upgraded = func(c *exchange) {
		io.WriteString(c, "the notary speaks first\n")
		<-release
	}
	c := w.opened("a")
	if n := pour(c, c.SetWriteDeadline); n >= much {
		t.Errorf("the client could send %d bytes to an upstream that reads none", n)
	}
	close(release)
	if after := w.status("VmRSS"); after-before > 64<<10 && raced == nil {
		t.Errorf("resident: %d KiB before, %d KiB after", before, after)
	}
}
