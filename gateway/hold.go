package gateway

import (
	"net/http"
	"time"
)

// Who has shown no good credential holds a connection no longer than this, once it
// is decided. Before, nothing is read of a body, and nothing written.
const (
	strangerRead  = 10 * time.Second // for the body, which net/http reads on after a refusal
	strangerWrite = 30 * time.Second // to the answer's end

	// maxHeld bounds the streams of HTTP/2 whose refusals are under way, all of them together. Each takes some
	// 16 KiB for as long as its client grants it no window, and a hundred of them take one connection and a KiB to open.
	maxHeld = 1024
)

// holdBriefly bounds the time of an answer that is not the upstream's. It comes
// without waiting for a body, and the connection ends with it. Who comes
// with a good credential pays nothing for this: net/http itself lifts both bounds
// before the connection's next request.
//
// With HTTP/2 a refusal resets the stream, and the server bounds the connection. The answer is
// bounded here as well: a client that grants it no window (RFC 9113 section 5.2) would
// else keep each of its streams for ever, without a fault that the
// server could see in the connection.
func (x *exchange) holdBriefly() {
	rc := http.NewResponseController(x.ResponseWriter) // its errors are of writers that have no connection
	_ = rc.SetWriteDeadline(time.Now().Add(strangerWrite))
	x.closes = x.in.ProtoMajor == 1 && x.in.ProtoMinor == 0
	// Without a body net/http reads ahead to learn whether the client
	// has gone, and would take the deadline for that.
	if x.in.ProtoMajor == 1 && x.in.ContentLength != 0 {
		_ = rc.SetReadDeadline(time.Now().Add(strangerRead))
		x.closes = true
	}
}

// welcome comes after the decision to forward. Body and answer may take their time, but
// the connection ends with a request whose body came in chunks: net/http has let
// such a body win over a Content-Length beside it, and hidden that there was one; whoever
// passed the request on may have thought the opposite, and RFC 9112 section 6.1
// asks to close then. HTTP/1.0 has no chunks, and net/http hides there that somebody
// thought it had: each of its connections ends with its first request.
func (x *exchange) welcome() {
	x.closes = x.in.ProtoMajor == 1 && (len(x.in.TransferEncoding) > 0 || x.in.ProtoMinor == 0)
}

// refuse answers a request that was refused. Over HTTP/2, where too many such answers wait for their clients, it ends the stream in its place.
func (x *exchange) refuse(r *http.Request) {
	x.holdBriefly()
	if r.ProtoMajor != 2 {
		x.g.Refuse(x, r, x.refusal)
		return
	}
	defer x.g.held.Add(-1)
	if x.g.held.Add(1) > maxHeld {
		x.status = http.StatusServiceUnavailable // for the log
		panic(http.ErrAbortHandler)              // which waits for nobody, not for a window either
	}
	x.g.Refuse(x, r, x.refusal)
	_ = http.NewResponseController(x).Flush() // here, and not when nobody counts any more
}
