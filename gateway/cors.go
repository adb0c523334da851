package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb/internal/httptoken"
)

// CORS says which origins' scripts may read answers, and send requests that are
// not simple (Fetch standard, section 3.3). They cannot send cookies.
type CORS struct {
	Origins []string // such as "https://app.example.com"; "*" is all
}

// Validate tells whether the origins are as browsers write them.
func (c *CORS) Validate() error {
	if len(c.Origins) == 0 {
		return errors.New("origins: missing")
	}
	for _, o := range c.Origins {
		u, err := url.Parse(o)
		if o == "*" {
			continue
		}
		if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != o || o != strings.ToLower(o) {
			return fmt.Errorf(`origins: got %.200q, want scheme, host and perhaps port in lower case, such as "https://app.example.com", or "*"`, o)
		}
	}
	return nil
}

// allow returns what Access-Control-Allow-Origin says to an origin; empty: nothing.
func (c *CORS) allow(origin string) string {
	switch {
	case slices.Contains(c.Origins, "*"):
		return "*"
	case slices.Contains(c.Origins, origin):
		return origin
	}
	return ""
}

// corsHeaders are what the upstream says of the same, which two answers would contradict.
var corsHeaders = []string{
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers",
	"Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Max-Age",
}

// allowOrigin puts into an answer which scripts may read it.
func (g *Gateway) allowOrigin(h http.Header, r *http.Request) {
	if g.cors == nil {
		return
	}
	allow := g.cors.allow(r.Header.Get("Origin"))
	if allow != "*" && !slices.Contains(h["Vary"], "Origin") {
		h["Vary"] = append(h["Vary"], "Origin")
	}
	if allow != "" {
		h["Access-Control-Allow-Origin"] = []string{allow}
		h["Access-Control-Expose-Headers"] = []string{"*"}
	}
}

// isPreflight tells whether a browser asks whether a script may send a request:
// only that comes without a credential, and is answered without one. Another OPTIONS is not, nor
// one that asks a framework for another method: no browser sends it, and another proxy would pass it on.
func (g *Gateway) isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && g.cors != nil &&
		httptoken.Valid(r.Header.Get("Access-Control-Request-Method")) &&
		r.Header.Get("Origin") != "" && g.cors.allow(r.Header.Get("Origin")) != "" && !overridesMethod(r.Header)
}

// maxRequested bounds the list of headers that a preflight's answer repeats, in bytes.
const maxRequested = 2 << 10

// answerPreflight allows every method and the headers that are asked for: the
// request itself is decided when it comes. "*" would not do, for it does not
// include Authorization (Fetch standard, section 4.9).
func (g *Gateway) answerPreflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	g.allowOrigin(h, r)
	h["Access-Control-Allow-Methods"] = []string{r.Header.Get("Access-Control-Request-Method")}
	if wanted := r.Header.Get("Access-Control-Request-Headers"); wanted != "" && isList(wanted) {
		h["Access-Control-Allow-Headers"] = []string{wanted}
	}
	h["Vary"] = []string{"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"}
	if g.config.Profile == Notary {
		w.WriteHeader(http.StatusOK) // as the notary server
		return
	}
	h["Access-Control-Max-Age"] = []string{"600"}
	w.WriteHeader(http.StatusNoContent)
}

// isList tells whether a header's value is a list of tokens, and not too long.
func isList(value string) bool {
	if len(value) > maxRequested {
		return false
	}
	for name := range strings.SplitSeq(value, ",") {
		if !httptoken.Valid(strings.TrimSpace(name)) {
			return false
		}
	}
	return true
}
