package bounded_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/confidential-token-broker/ctb/cmd/internal/bounded"
)

func listen(t *testing.T, limit int) (net.Listener, func() net.Conn) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := bounded.Listener(inner, limit)
	t.Cleanup(func() { l.Close() })
	return l, func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestConnectionsWait: beyond the bound a connection waits until another is closed.
func TestConnectionsWait(t *testing.T) {
	l, dial := listen(t, 1)
	dial()
	dial()
	first := accept(t, l)
	second := make(chan net.Conn)
	go func() {
		c, _ := l.Accept()
		second <- c
	}()
	select {
	case <-second:
		t.Fatal("a second connection was accepted beside the first")
	default:
	}
	first.Close()
	first.Close() // again gives no second slot back
	c := <-second
	if c == nil {
		t.Fatal("the second connection was not accepted when the first had ended")
	}
	defer c.Close()

	ended := make(chan error)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept that waits for a slot: got %v after Close, want net.ErrClosed", err)
	}
}

// TestHalfClose: one end can say that it has sent everything, and still read.
func TestHalfClose(t *testing.T) {
	l, dial := listen(t, 1)
	client := dial()
	server := accept(t, l)
	if err := server.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(client); err != nil || len(rest) != 0 {
		t.Errorf("got %q, %v, want the end", rest, err)
	}
	io.WriteString(client, "still here")
	buf := make([]byte, 10)
	if _, err := io.ReadFull(server, buf); err != nil || string(buf) != "still here" {
		t.Errorf("got %q, %v", buf, err)
	}
}
