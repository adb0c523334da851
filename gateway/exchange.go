package gateway

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"time"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// statusClientGone is logged, never sent: the client closed the connection first.
const statusClientGone = 499

// exchange is one request and what became of it. It writes the answer, and puts the
// gateway's own headers into it at the last moment: what the upstream sends
// under their names does not count, and its interim answers do not clear them.
// Flushing reaches the connection through Unwrap, as without it.
type exchange struct {
	http.ResponseWriter
	g        *Gateway
	start    time.Time
	took     time.Duration // the decision
	id       [1]string     // the request's, as a header's values
	decision Decision
	refusal  *access.Refusal
	gone     bool  // the client left before there was an answer
	err      error // why the upstream failed
	status   int
	closes   bool // the connection ends with the answer
	in       *http.Request
}

type exchangeKey struct{}

// exchangeOf returns the exchange of a request that serve has passed on.
func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// ServeHTTP implements http.Handler: it decides, and forwards what is allowed.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w, g: g, start: time.Now(), in: r}
	x.id[0] = g.requestID(r)
	defer x.end() // also if the upstream breaks off and the proxy panics with http.ErrAbortHandler
	if g.isPreflight(r) {
		x.holdBriefly()
		x.decision.Route = preflight
		g.answerPreflight(x, r) // without a body, so that it waits for no window
		return
	}
	if g.proxy == nil {
		x.decision.Route = nowhere
		x.refusal = &access.Refusal{Reason: access.NoRoute, Public: "this gateway forwards nothing: other proxies ask it"}
		x.observe(r)
		x.refuse(r)
		return
	}
	if x.decide(r, true) != nil {
		x.refuse(r)
		return
	}
	x.welcome()
	x.forward(r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
}

// decide decides about the request.
func (x *exchange) decide(r *http.Request, proxied bool) *access.Refusal {
	x.refusal = x.g.decide(r, &x.decision, proxied)
	x.took = time.Since(x.start)
	if !x.decision.create || x.refusal != nil {
		x.observe(r)
	}
	return x.refusal
}

// observe tells the observer, once, how the request was decided. A client that left while
// its keys were fetched is no refusal.
func (x *exchange) observe(r *http.Request) {
	if x.refusal != nil && hasGone(r, x.refusal) {
		x.gone = true
		return
	}
	x.g.decided(&x.decision, x.refusal, x.took)
}

// forward sends the request to the upstream. One for a session's id takes its way
// through the sessions, which may still refuse it, or answer it themselves.
func (x *exchange) forward(r *http.Request) {
	if !x.decision.create {
		x.g.proxy.ServeHTTP(x, r)
		return
	}
	err := x.g.config.Sessions.Create(x, r, x.decision.Who, x.g.proxy)
	x.refusal = asRefusal(err)
	x.observe(r)
	if x.refusal != nil {
		x.refuse(r)
	}
}

// end frees, counts and logs.
func (x *exchange) end() {
	x.decision.Done()
	if x.gone {
		x.status = statusClientGone
	}
	if o := x.g.config.Observer; o != nil {
		o.Answered(x.decision.Route, x.status, time.Since(x.start))
	}
	x.log(x.in)
}

// WriteHeader implements http.ResponseWriter. It leaves "100 Continue" to net/http, which says it when
// the body is first read: that is when the upstream has asked for it, and to pass on the upstream's own would say it twice.
func (x *exchange) WriteHeader(status int) {
	if status == http.StatusContinue {
		return
	}
	if x.status == 0 && status >= 200 {
		x.status = status
		x.stamp(x.Header())
		if s := x.decision.session; s != nil && status < 300 {
			s.Upgraded() // not in fact, but the id has opened what there was to open
		}
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	return x.ResponseWriter.Write(p)
}

// FlushError serves http.ResponseController.
func (x *exchange) FlushError() error {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(x.ResponseWriter).Flush()
}

// Unwrap serves http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// stamp puts the headers of every answer into h.
func (x *exchange) stamp(h http.Header) {
	h["X-Request-Id"] = x.id[:]
	x.g.allowOrigin(h, x.in)
	if x.closes {
		h["Connection"] = []string{"close"}
	}
}

// Hijack implements http.Hijacker. The proxy calls it when the upstream has switched protocols, and
// writes its 101 past WriteHeader: see answered.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(x.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	x.status = http.StatusSwitchingProtocols
	return x.openTunnel(conn, rw), rw, nil
}
