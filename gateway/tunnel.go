package gateway

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// tunnel is the client's end of an upgraded connection. httputil copies between
// it and the upstream's end, and since all bytes of both directions pass here, it
// alone sees whether any move: it cuts the connection when none did for the
// idle timeout, and at the deadline of its session. It never cuts one in use: a byte
// in either direction counts. Only an end that takes less than 32 KiB in a
// whole idle timeout, while the other waits to say more, is taken for gone.
//
// While nothing moves it holds 2 KiB for each direction (with net/http's own
// buffers and four stacks, 40 KiB in all, TLS aside: see BenchmarkIdleTunnels). A
// larger buffer is lent by the pool for as long as there is more to move.
type tunnel struct {
	net.Conn
	early []byte // what the client sent before it had the 101

	idle     time.Duration
	deadline time.Time
	opened   time.Time
	moved    atomic.Int64 // when bytes moved last, after opened
	timer    *time.Timer  // nil: nothing cuts
	buffers  *buffers

	once  sync.Once
	ended func()
}

// small is the buffer of a direction in which nothing moves, in bytes.
const small = 2 << 10

// openTunnel wraps a connection whose 101 is about to be written through rw, on its own.
func (x *exchange) openTunnel(conn net.Conn, rw *bufio.ReadWriter) *tunnel {
	t := &tunnel{Conn: conn, idle: x.g.config.IdleTimeout, buffers: &x.g.buffers, opened: time.Now(), ended: func() {}}
	if n := rw.Reader.Buffered(); n > 0 {
		t.early = make([]byte, n)
		_, _ = io.ReadFull(rw.Reader, t.early) // they are in memory
	}
	if s := x.decision.session; s != nil {
		s.Upgraded()
		t.deadline = s.Deadline()
	}
	if o := x.g.config.Observer; o != nil {
		o.Tunnel(true)
		t.ended = func() { o.Tunnel(false) }
	}
	if next, ok := t.next(); ok {
		t.timer = time.AfterFunc(math.MaxInt64, t.check)
		t.timer.Reset(next) // only now, for check reads the field
	}
	return t
}

// next is how long the tunnel may stay open if nothing more moves.
func (t *tunnel) next() (wait time.Duration, ok bool) {
	since := time.Since(t.opened)
	if t.idle > 0 {
		wait, ok = time.Duration(t.moved.Load())+t.idle-since, true
	}
	if !t.deadline.IsZero() {
		if rest := time.Until(t.deadline); !ok || rest < wait {
			wait, ok = rest, true
		}
	}
	return wait, ok
}

// check cuts the connection if its time is over. A reset of the timer after Close has
// no effect but one more check of a closed connection.
func (t *tunnel) check() {
	if wait, _ := t.next(); wait > 0 {
		t.timer.Reset(wait)
		return
	}
	t.Close()
}

// touch notes that bytes have moved.
func (t *tunnel) touch() {
	if t.timer != nil {
		t.moved.Store(int64(time.Since(t.opened)))
	}
}

// Close implements net.Conn.
func (t *tunnel) Close() error {
	t.once.Do(func() {
		if t.timer != nil {
			t.timer.Stop()
		}
		t.ended()
	})
	return t.Conn.Close()
}

// CloseWrite ends one direction: the client learns that the upstream has said all, and may go on.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Read implements net.Conn.
func (t *tunnel) Read(p []byte) (int, error) {
	if len(t.early) > 0 {
		n := copy(p, t.early)
		t.early = t.early[n:]
		return n, nil
	}
	return t.Conn.Read(p)
}

// WriteTo implements io.WriterTo: it moves what the client says.
func (t *tunnel) WriteTo(upstream io.Writer) (int64, error) {
	return t.move(upstream, t)
}

// ReadFrom implements io.ReaderFrom: it moves what the upstream says.
func (t *tunnel) ReadFrom(upstream io.Reader) (int64, error) { return t.move(t.Conn, upstream) }

// move copies until the end of src. A read that fills the buffer says that there
// may be more; a larger one is then used for one read after the other until one does not fill it.
func (t *tunnel) move(dst io.Writer, src io.Reader) (n int64, err error) {
	buf := make([]byte, small)
	for {
		full, moved, err := t.moveOnce(dst, src, buf)
		n += moved
		if err == nil && full {
			moved, err = t.moveMuch(dst, src)
			n += moved
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// moveMuch moves as long as reads fill a large buffer.
func (t *tunnel) moveMuch(dst io.Writer, src io.Reader) (n int64, err error) {
	buf := t.buffers.Get()
	defer t.buffers.Put(buf)
	for full := true; full && err == nil; {
		var moved int64
		full, moved, err = t.moveOnce(dst, src, buf)
		n += moved
	}
	return n, err
}

// moveOnce moves what one read gives.
func (t *tunnel) moveOnce(dst io.Writer, src io.Reader, buf []byte) (full bool, moved int64, err error) {
	n, err := src.Read(buf)
	if n > 0 {
		t.touch()
		wrote, failed := dst.Write(buf[:n])
		t.touch()
		moved = int64(wrote)
		if failed != nil {
			return false, moved, failed
		}
	}
	return n == len(buf), moved, err
}
