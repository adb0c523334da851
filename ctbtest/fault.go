package ctbtest

import (
	"net/http"
	"time"

	"github.com/confidential-token-broker/ctb/internal/devidp"
)

// The endpoints of an [IdP], below its URL.
const (
	Discovery = devidp.DiscoveryPath
	JWKS      = devidp.JWKSPath
	Authorize = devidp.AuthorizePath
	TokenPath = devidp.TokenPath
)

// Break answers requests with h instead: those for the given endpoints, or all
// if none is given. Repair undoes it.
//
//	idp.Break(ctbtest.Slow(time.Minute), ctbtest.JWKS)
func (i *IdP) Break(h http.Handler, endpoints ...string) { i.provider.Break(h, endpoints...) }

// Repair undoes every Break.
func (i *IdP) Repair() { i.provider.Repair() }

// Hits tells how many requests came for an endpoint, broken or not.
func (i *IdP) Hits(endpoint string) int { return i.provider.Hits(endpoint) }

// The ways in which providers break, for Break.

// Down answers 503 and a page.
func Down() http.Handler { return devidp.Down() }

// Gone closes the connection without an answer.
func Gone() http.Handler { return devidp.Gone() }

// Slow waits for d, or until the client gives up, and then answers 503.
func Slow(d time.Duration) http.Handler { return devidp.Slow(d) }

// Huge answers 200 with a JSON document of about n bytes.
func Huge(n int64) http.Handler { return devidp.Huge(n) }

// HTML answers 200 with a web page, as captive portals do.
func HTML() http.Handler { return devidp.HTML() }

// EmptySet answers 200 with a key set that has no key.
func EmptySet() http.Handler { return devidp.EmptySet() }
