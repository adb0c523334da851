package broker

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/exchange"
)

// MaxBody bounds every request body, in bytes. A longer one is answered with 413.
const MaxBody = 32 << 10

// usualBody is the size of most bodies, at most. There is room for no more than that before it comes: to announce a long one costs nothing.
const usualBody = 4 << 10

// retryAfter is what a 503 suggests, in seconds.
const retryAfter = "5"

// route is one endpoint.
type route struct {
	allow string // the methods, as the Allow header has them
	serve func(w http.ResponseWriter, r *http.Request, a asker)
}

// newRoutes lays the endpoints out below the issuer's path. RFC 8414 section 3 puts
// its well-known part before that path, OpenID Connect Discovery section 4 behind it.
func (b *Broker) newRoutes() map[string]route {
	base := issuerPath(b.config.Issuer)
	const get, post = "GET, HEAD", "POST"
	metadata := newDocument("application/json", b.metadata(), jwksMaxAge)
	serveMetadata := func(w http.ResponseWriter, r *http.Request, _ asker) { metadata.serve(w, r) }
	routes := map[string]route{
		base + "/token": {post, b.serveToken},
		base + "/.well-known/jwks.json": {get, func(w http.ResponseWriter, r *http.Request, _ asker) {
			b.ring.published.Load().serve(w, r)
		}},
		base + "/.well-known/attestation":                {get, b.serveAttestation},
		"/.well-known/oauth-authorization-server" + base: {get, serveMetadata},
		base + "/.well-known/openid-configuration":       {get, serveMetadata},
		"/healthz": {get, b.serveHealth},
		"/readyz":  {get, b.serveReady},
	}
	if b.config.Original {
		routes[base+"/stsToken"] = route{"GET, POST", b.serveOriginal}
	}
	return routes
}

func issuerPath(issuer string) string {
	u, _ := url.Parse(issuer) // New has checked it
	return strings.TrimRight(u.Path, "/")
}

// ServeHTTP implements http.Handler.
func (b *Broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := asker{id: newID(), remote: r.RemoteAddr}
	defer b.logPanic(a)
	h := w.Header()
	h.Set("X-Request-Id", a.id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store") // RFC 6749 section 5.1; documents say otherwise
	endpoint, ok := b.routes[r.URL.Path]
	if !ok {
		writeProblem(w, http.StatusNotFound, "not_found", "there is nothing at this path")
		return
	}
	if !methodAllowed(endpoint.allow, r.Method) {
		h.Set("Allow", endpoint.allow)
		writeProblem(w, http.StatusMethodNotAllowed, "method_not_allowed", "this path answers "+endpoint.allow)
		return
	}
	endpoint.serve(w, r, a)
}

// logPanic tells of a bug and drops the connection, as net/http would. The
// stack has functions and addresses in it, no contents.
func (b *Broker) logPanic(a asker) {
	if p := recover(); p != nil {
		b.config.Logger.Error("a request made the broker panic", "id", a.id, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		panic(http.ErrAbortHandler)
	}
}

func methodAllowed(allow, method string) bool {
	for m := range strings.SplitSeq(allow, ", ") {
		if m == method {
			return true
		}
	}
	return false
}

// serveToken is the token endpoint (RFC 8693 section 2.1).
func (b *Broker) serveToken(w http.ResponseWriter, r *http.Request, a asker) {
	request, err := readRequest(w, r)
	if err != nil {
		b.writeRefusal(w, r, b.refused(r.Context(), b.newEvent(a), err))
		return
	}
	response, err := b.exchange(r.Context(), a, strict, request)
	if err != nil {
		b.writeRefusal(w, r, refusalOf(err))
		return
	}
	writeJSON(w, http.StatusOK, response)
}

var errTooLarge = &exchange.Error{
	Code:        exchange.InvalidRequest,
	Description: "the body is longer than " + strconv.Itoa(MaxBody) + " bytes",
}

// readRequest reads the form of an exchange, once and bounded.
func readRequest(w http.ResponseWriter, r *http.Request) (*exchange.Request, error) {
	refuse := func(code, description string) error {
		return &exchange.Error{Code: code, Description: description}
	}
	switch {
	case len(r.Header["Authorization"]) > 0:
		return nil, refuse(exchange.InvalidClient, "clients are not authenticated here; send the subject token alone, without an Authorization header")
	case len(r.Header["Dpop"]) > 0:
		return nil, refuse(exchange.InvalidRequest, "tokens are not bound to DPoP keys here; leave the DPoP header out to get a bearer token")
	case r.URL.RawQuery != "":
		return nil, refuse(exchange.InvalidRequest, "parameters belong into the body: a query ends in logs")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, refuse(exchange.InvalidRequest, "the body must be application/x-www-form-urlencoded")
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, refuse(exchange.InvalidRequest, "the body is not a form: an escape is broken, or a semicolon stands where an ampersand must")
	}
	return exchange.ParseRequest(form)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var body bytes.Buffer
	if n := r.ContentLength; n > 0 {
		body.Grow(int(min(n, usualBody)) + bytes.MinRead) // read without moving it
	}
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, MaxBody))
	if err == nil {
		return body.Bytes(), nil
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, errTooLarge
	}
	return nil, &exchange.Error{Code: exchange.InvalidRequest, Description: "the body could not be read to its end"}
}

// writeRefusal answers as RFC 6749 section 5.2 says.
func (b *Broker) writeRefusal(w http.ResponseWriter, r *http.Request, refusal *exchange.Error) {
	code := status(refusal, strict)
	if refusal == errTooLarge {
		code = http.StatusRequestEntityTooLarge
	}
	refusalHeader(w, r, code)
	writeJSON(w, code, refusal)
}

func refusalHeader(w http.ResponseWriter, r *http.Request, code int) {
	switch code {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	case http.StatusUnauthorized:
		// RFC 6749 section 5.2: the challenge matches the scheme that the client used.
		scheme := "Bearer"
		if used, _, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(used, "Basic") {
			scheme = "Basic"
		}
		w.Header().Set("WWW-Authenticate", scheme+` realm="token broker"`)
	}
}

// writeProblem answers a request that is not an exchange.
func writeProblem(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, &exchange.Error{Code: code, Description: description})
}

// writeUnavailable answers what can't be answered now.
func writeUnavailable(w http.ResponseWriter, description string) {
	w.Header().Set("Retry-After", retryAfter)
	writeProblem(w, http.StatusServiceUnavailable, exchange.TemporarilyUnavailable, description)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		status = http.StatusInternalServerError
		body.Reset()
		body.WriteString(`{"error":"server_error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the asker has gone; there is nobody to tell
}

// document is an answer that was built before it is asked for.
type document struct {
	kind, cache, tag string
	body             []byte
}

func newDocument(kind string, body []byte, maxAge time.Duration) *document {
	sum := sha256.Sum256(body)
	return &document{
		kind:  kind,
		cache: fmt.Sprintf("public, max-age=%d", int(maxAge.Seconds())),
		tag:   `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`,
		body:  body,
	}
}

// serve answers GET and HEAD, and If-None-Match with 304. It writes the body from where it is: http.ServeContent would copy it
// through 32 KiB, which each stream of a client that takes nothing would hold.
func (d *document) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", d.kind)
	h.Set("Cache-Control", d.cache)
	h.Set("Etag", d.tag)
	if d.matches(r.Header["If-None-Match"]) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(d.body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(d.body) // an asker that is gone needs none
	}
}

// matches tells whether the asker has the document already (RFC 9110 section 13.1.2, by the weak comparison).
func (d *document) matches(ifNoneMatch []string) bool {
	for _, line := range ifNoneMatch {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == d.tag {
				return true
			}
		}
	}
	return false
}
