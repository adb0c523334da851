package gateway

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/session"
)

// Decision is what was decided about a request.
type Decision struct {
	Route string           // name of the route that fits; "default" where no routes are given, "none" where none fits
	Who   *access.Identity // nil: nobody in particular, for the route is open

	g       *Gateway
	route   *route           // nil if it is none of the configured ones
	create  bool             // the request asks for a session's id
	session *session.Session // that the request's id has opened; nil: none
	done    func()           // frees what counts for the limits; may be nil

	preflight bool
}

// Decide decides about a request that somebody else forwards: method, URL, Host
// and header are those of the original request, its body is not read. It counts
// and logs the request. The decision is never nil. Where there is a refusal, the
// request must not be forwarded. Call the decision's Done in either case.
//
// A session's two paths are refused: only the proxy sees what the ids and the connections are.
func (g *Gateway) Decide(r *http.Request) (*Decision, *access.Refusal) {
	x := &exchange{g: g, start: time.Now()}
	x.id[0] = g.requestID(r)
	refusal := x.decide(r, false)
	x.log(r)
	return &x.decision, refusal
}

// decide is the one decision of the gateway. proxied says that the gateway itself forwards the request.
func (g *Gateway) decide(r *http.Request, d *Decision, proxied bool) *access.Refusal {
	// 1. What is asked for.
	use, refusal := g.place(r, d, proxied)
	if refusal != nil || d.open() {
		return refusal
	}
	// 2. Who asks.
	if refusal := g.identify(r, d, use); refusal != nil {
		return refusal
	}
	// 3. Whether he may.
	if refusal := g.judge(d.Who, d.route); refusal != nil {
		return refusal
	}
	// 4. Whether he asks for too much.
	done, err := g.config.Limits.Take(d.Who.ID)
	if err != nil {
		refusal := *asRefusal(err)
		refusal.Mode = d.Who.Mode
		return &refusal
	}
	d.done = done
	return nil
}

// place finds what a request asks for: one of a session's paths, or a route.
func (g *Gateway) place(r *http.Request, d *Decision, proxied bool) (use bool, refusal *access.Refusal) {
	d.g, d.Route = g, nowhere
	if !proxied && g.isPreflight(r) {
		d.Route, d.preflight = preflight, true // browsers send it without a credential; the proxy answers it itself
		return false, nil
	}
	if refusal := checkShape(r, len(g.routes) > 0 || g.config.Sessions != nil); refusal != nil {
		return false, refusal
	}
	if g.methodsDecide && r.Method != strings.ToUpper(r.Method) {
		// Methods are case-sensitive (RFC 9110 section 9.1), and to some frameworks "delete" is DELETE.
		return false, &access.Refusal{Reason: access.BadMethod, Public: "the method is not in upper case"}
	}
	if s := g.config.Sessions; s != nil {
		switch {
		case s.IsUse(r):
			use, d.Route = true, useSession
		case s.IsCreate(r):
			d.create, d.Route = true, createSession
		}
		if use || d.create {
			if !proxied {
				return false, badRequest("sessions are for the gateway's own connections; another proxy cannot ask for them")
			}
			if use && !asksForUpgrade(r) {
				// An id opens one connection. Any other request would reach the upstream without
				// using it up, as often as the upstream says no. The words are the notary server's.
				return false, &access.Refusal{Reason: access.BadSessionQuery, Mode: access.Session, Public: "Upgrade header is not set for client"}
			}
			// What the routes say of the path counts as well, but not that it is open: a session is somebody's.
			if i := g.fitting(r); i >= 0 && !g.routes[i].Open {
				d.route = &g.routes[i]
			}
			return use, nil
		}
	}
	if len(g.routes) == 0 {
		d.Route = everywhere
		return false, nil
	}
	i := g.fitting(r)
	if i < 0 {
		return false, &access.Refusal{Reason: access.NoRoute, Public: "nobody may ask for this here"}
	}
	if g.routes[i].evades(g.routes[:i], r.Method, pathOf(r)) {
		return false, badRequest("the path is another one's that has a route, but for its case or its end, and could be taken for it")
	}
	d.route, d.Route = &g.routes[i], g.routes[i].Name
	return false, nil
}

// fitting returns which route is the first that fits; -1 if none does.
func (g *Gateway) fitting(r *http.Request) int {
	path := pathOf(r)
	for i := range g.routes {
		if g.routes[i].fits(r.Method, path) {
			return i
		}
	}
	return -1
}

// pathOf is the decoded path; that of the absolute form may be empty, which is "/" (RFC 9110 section 4.2.3).
func pathOf(r *http.Request) string { return cmp.Or(r.URL.Path, "/") }

// identify finds out who asks: whose credential it is or, for the path that a
// session's id opens, whom the id was handed out to. A credential that is shown
// there need not be, but must be good and of the same holder.
func (g *Gateway) identify(r *http.Request, d *Decision, use bool) *access.Refusal {
	who, err := g.authenticate(r)
	refusal := asRefusal(err)
	if !use {
		d.Who = who
		return refusal
	}
	if refusal != nil && refusal.Reason != access.MissingCredential {
		return refusal
	}
	s, err := g.config.Sessions.Begin(r, who, func(who *access.Identity) error {
		if g.config.Open {
			return nil
		}
		return g.config.Credentials.Still(r, who)
	})
	if err != nil {
		return asRefusal(err)
	}
	d.session, d.Who = s, s.Who
	return nil
}

// anybody asks where everything is open.
var anybody = &access.Identity{Mode: access.None}

func (g *Gateway) authenticate(r *http.Request) (*access.Identity, error) {
	if g.config.Open {
		return anybody, nil
	}
	who, err := g.config.Credentials.Authenticate(r)
	if err == nil && who == nil {
		err = errors.New("the authenticator returned nobody")
	}
	return who, err
}

// open tells whether nobody in particular asks.
func (d *Decision) open() bool { return d.preflight || d.route != nil && d.route.Open }

// mode is by which kind of credential the request is decided.
func (d *Decision) mode() access.Mode {
	switch {
	case d.session != nil:
		return access.Session
	case d.Who == nil:
		return access.None
	}
	return d.Who.Mode
}

// Done must be called when the request is over. It frees what the request counts for.
func (d *Decision) Done() {
	if d.session != nil {
		d.session.End()
	}
	if d.done != nil {
		d.done()
		d.done = nil
	}
}

// asRefusal returns the refusal in an error. Whatever else went wrong refuses as well.
func asRefusal(err error) *access.Refusal {
	if err == nil {
		return nil
	}
	var refusal *access.Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	return &access.Refusal{Reason: access.KeysUnavailable, Public: "the credential can't be checked now", Err: err}
}

// hasGone tells whether a request ended because the client did, which is nobody's fault.
func hasGone(r *http.Request, err error) bool {
	return r.Context().Err() != nil && errors.Is(err, context.Canceled)
}
