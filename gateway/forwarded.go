package gateway

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/confidential-token-broker/ctb/internal/httptoken"
)

// pretending names the headers, beside X-Forwarded-*, by which a client could pretend to be
// forwarded by somebody, or to ask for another host or path than it does, and that servers,
// frameworks and content delivery networks believe. Those that read CGI
// variables take X_Forwarded_For and some X.Forwarded.For or X~Forwarded~For for
// X-Forwarded-For, so names are compared folded.
var pretending = map[string]bool{
	// The client's address.
	"forwarded":                true, // RFC 7239
	"x-real-ip":                true,
	"x-client-ip":              true,
	"client-ip":                true,
	"x-originating-ip":         true,
	"x-remote-ip":              true,
	"x-remote-addr":            true,
	"x-cluster-client-ip":      true,
	"x-original-forwarded-for": true,
	"x-envoy-external-address": true,
	"true-client-ip":           true,
	"cf-connecting-ip":         true,
	"cf-connecting-ipv6":       true,
	"cf-pseudo-ipv4":           true,
	"fastly-client-ip":         true,
	"fly-client-ip":            true,
	"x-appengine-user-ip":      true,
	"x-azure-clientip":         true,
	"x-azure-socketip":         true,
	// Host, path and method.
	"x-host":               true,
	"x-http-host-override": true,
	"x-scheme":             true,
	"x-url-scheme":         true,
	"front-end-https":      true,
	"x-original-host":      true,
	"x-original-url":       true,
	"x-original-uri":       true,
	"x-original-method":    true,
	"x-rewrite-url":        true,
	// The request's name, which is the gateway's to give.
	"x-request-id": true,
	// HTTP_PROXY to a CGI program, which then sends its own requests there.
	"proxy": true,
}

// overriding names the headers by which a client asks many frameworks for another
// method than it uses. They are taken away where the decision depends on the method.
var overriding = map[string]bool{
	"x-http-method":          true,
	"x-http-method-override": true,
	"x-method-override":      true,
}

// redirecting names those of pretending by which a client asks for another path or method. Another
// proxy that forwards a request has no use for them either.
var redirecting = map[string]bool{"x-original-url": true, "x-original-uri": true, "x-original-method": true, "x-rewrite-url": true}

// longestFolded bounds the names in pretending and of claim headers, in bytes.
const longestFolded = 64

// fold writes a header's name into buf as servers compare it: in lower case, with a
// hyphen for all that is neither letter nor digit. A longer name than buf is cut off.
func fold(buf *[longestFolded]byte, name string) []byte {
	n := min(len(name), len(buf))
	for i := range n {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
		default:
			c = '-'
		}
		buf[i] = c
	}
	return buf[:n]
}

// stripPretending takes away the headers by which a client could pretend.
func (g *Gateway) stripPretending(h http.Header) {
	var buf [longestFolded]byte
	for name := range h {
		folded := fold(&buf, name)
		if strings.HasPrefix(string(folded), "x-forwarded") || len(name) <= longestFolded && pretending[string(folded)] ||
			g.methodsDecide && overriding[string(folded)] {
			delete(h, name)
		}
	}
}

// stripRedirecting takes away the headers by which a client asks the upstream for something else than was decided about.
func (g *Gateway) stripRedirecting(h http.Header) {
	for name := range h {
		if g.isRedirecting(name) {
			delete(h, name)
		}
	}
}

// redirects tells whether there is such a header.
func (g *Gateway) redirects(h http.Header) bool {
	for name := range h {
		if g.isRedirecting(name) {
			return true
		}
	}
	return false
}

func (g *Gateway) isRedirecting(name string) bool {
	var buf [longestFolded]byte
	folded := fold(&buf, name)
	return len(g.routes) > 0 && redirecting[string(folded)] || g.methodsDecide && overriding[string(folded)]
}

// overridesMethod tells whether a request asks for another method than it uses.
func overridesMethod(h http.Header) bool {
	var buf [longestFolded]byte
	for name := range h {
		if overriding[string(fold(&buf, name))] {
			return true
		}
	}
	return false
}

// setForwarded tells the upstream who asks, for what and how (RFC 7239). What a
// trusted proxy says is continued, what anybody else says has been stripped.
func (g *Gateway) setForwarded(h http.Header, in *http.Request) {
	ip, _, err := net.SplitHostPort(in.RemoteAddr)
	if err != nil {
		ip = "" // a socket that is no network's
	}
	host, proto := in.Host, "http"
	if in.TLS != nil {
		proto = "https"
	}
	client, element := ip, forwardedElement(ip, host, proto)
	if g.trusts(in) {
		client = joinList(in.Header["X-Forwarded-For"], ip)
		element = joinList(in.Header["Forwarded"], element)
		if said := single(in.Header, "X-Forwarded-Host"); said != "" {
			host = said
		}
		if said := single(in.Header, "X-Forwarded-Proto"); said == "http" || said == "https" {
			proto = said
		}
	}
	values := []string{host, proto, element, client} // one allocation for four headers
	h["X-Forwarded-Host"], h["X-Forwarded-Proto"], h["Forwarded"] = values[0:1:1], values[1:2:2], values[2:3:3]
	if client != "" {
		h["X-Forwarded-For"] = values[3:4:4]
	}
}

// forwardedElement is one hop in the words of RFC 7239 section 4.
func forwardedElement(ip, host, proto string) string {
	switch {
	case ip == "":
		ip = "unknown"
	case strings.Contains(ip, ":"):
		ip, _, _ = strings.Cut(ip, "%") // the zone is this machine's business
		ip = `"[` + ip + `]"`
	}
	switch {
	case httptoken.Valid(host):
		return "for=" + ip + ";host=" + host + ";proto=" + proto
	case host == "" || strings.ContainsAny(host, `"\`):
		return "for=" + ip + ";proto=" + proto
	}
	return "for=" + ip + `;host="` + host + `";proto=` + proto
}

func joinList(prior []string, last string) string {
	list := strings.Join(prior, ", ")
	if list == "" || last == "" {
		return list + last
	}
	return list + ", " + last
}

// single returns the value of a header that is there once; empty if not.
func single(h http.Header, name string) string {
	if values := h[name]; len(values) == 1 {
		return strings.TrimSpace(values[0])
	}
	return ""
}

// trusts tells whether a request comes from a proxy that may say whom it speaks for.
func (g *Gateway) trusts(r *http.Request) bool {
	if len(g.config.TrustedProxies) == 0 {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	return g.isTrusted(peer.Addr())
}

func (g *Gateway) isTrusted(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(g.config.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// clientOf is who asks, for the log: the peer or, if that is a trusted proxy, the last in
// X-Forwarded-For that is none. What stands before it anybody may have written.
func (g *Gateway) clientOf(r *http.Request) string {
	if !g.trusts(r) {
		return r.RemoteAddr
	}
	client := r.RemoteAddr
	said := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, text := range slices.Backward(said) {
		ip, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			break
		}
		if client = ip.String(); !g.isTrusted(ip) {
			break
		}
	}
	return client
}

// requestID names the request: in the answer, in the log and to the upstream. A
// trusted proxy may have named it already.
func (g *Gateway) requestID(r *http.Request) string {
	if g.trusts(r) {
		if id := single(r.Header, "X-Request-Id"); isRequestID(id) {
			return id
		}
	}
	// It is a name and no secret. math/rand/v2 is ChaCha8, seeded by the operating
	// system: 128 bits of it meet by chance as little as crypto/rand's, and
	// cost no call of the system.
	var random [16]byte
	binary.NativeEndian.PutUint64(random[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(random[8:], rand.Uint64())
	var text [32]byte
	hex.Encode(text[:], random[:])
	return string(text[:])
}

// isRequestID takes what proxies make: a UUID, hex or base64, or a trace's name, of at most 128 bytes.
func isRequestID(id string) bool {
	for i := range len(id) {
		c := id[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("-_.:+/=@", c) < 0 {
			return false
		}
	}
	return id != "" && len(id) <= 128
}
