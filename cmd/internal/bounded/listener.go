// Package bounded bounds how many connections a server has open.
package bounded

import (
	"errors"
	"net"
	"sync"
)

// MaxConnections is the largest bound that makes sense, in connections.
const MaxConnections = 1_000_000

// Listener accepts no connection of l while limit are open: they wait in the kernel's queue.
func Listener(l net.Listener, limit int) net.Listener {
	return &listener{Listener: l, slots: make(chan struct{}, limit), done: make(chan struct{})}
}

type listener struct {
	net.Listener
	slots chan struct{}
	once  sync.Once
	done  chan struct{} // closed with the listener
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &conn{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// conn gives its slot back when it is closed.
type conn struct {
	net.Conn
	release func()
}

func (c *conn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// CloseWrite says that nothing more is sent. net/http needs it to end a
// connection without losing its last answer, upgraded connections to end one direction.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
