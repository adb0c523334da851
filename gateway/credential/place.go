package credential

import (
	"fmt"
	"net/http"
	"strings"
)

// Place is where in a request a token may stand.
//
// Not all are alike. A browser sends a cookie unasked, also for a page of
// somebody else: give it SameSite, or let another header be asked for as well. A query
// stands in the history of browsers and in the logs of whatever is before the gateway.
type Place struct {
	Kind PlaceKind
	Name string // of the header, cookie or query parameter; empty for the others
}

// PlaceKind is a kind of place.
type PlaceKind string

// The places.
const (
	Authorization     PlaceKind = "authorization"      // "Authorization: Bearer <token>" (RFC 6750 section 2.1)
	Header            PlaceKind = "header"             // the whole value of a header
	Cookie            PlaceKind = "cookie"             // the value of a cookie
	Query             PlaceKind = "query"              // the value of a query parameter; it is taken out of Referer as well
	WebSocketProtocol PlaceKind = "websocket_protocol" // "Sec-WebSocket-Protocol: bearer, <token>", in one line or several
)

// Names of headers as http.Header has them.
const (
	authorization = "Authorization"
	cookies       = "Cookie"
	subprotocols  = "Sec-Websocket-Protocol"
	referer       = "Referer"
)

// String returns the place as people say it: it holds nothing of a request.
func (p Place) String() string {
	switch p.Kind {
	case Authorization:
		return "the Authorization header"
	case Header:
		return "the header " + p.Name
	case Cookie:
		return "the cookie " + p.Name
	case Query:
		return "the query parameter " + p.Name
	case WebSocketProtocol:
		return "Sec-WebSocket-Protocol"
	}
	return fmt.Sprintf("a place of the kind %.40q", string(p.Kind))
}

// Validate tells whether the place exists and, if its kind asks for one, has a name that can be found.
func (p Place) Validate() error {
	switch p.Kind {
	case Authorization, WebSocketProtocol:
		if p.Name != "" {
			return fmt.Errorf("token place %s has the name %.40q, want none", p.Kind, p.Name)
		}
		return nil
	case Header:
		return checkHeaderName(p.Name)
	case Cookie, Query:
		// Names that mean themselves, however often a server decodes them.
		if p.Name == "" || strings.ContainsFunc(p.Name, func(c rune) bool { return !plain(c) }) {
			return fmt.Errorf("token place %s has the name %.40q, want letters, digits, '-', '_' or '.'", p.Kind, p.Name)
		}
		return nil
	}
	return fmt.Errorf("token place is %.40q, want authorization, header, cookie, query or websocket_protocol", string(p.Kind))
}

// checkHeaderName refuses headers that have a meaning of their own, which Strip would take away with them.
func checkHeaderName(name string) error {
	if name == "" || strings.ContainsFunc(name, func(c rune) bool { return !plain(c) || c == '.' }) {
		return fmt.Errorf("header is %.40q, want the name of one, such as X-Token", name)
	}
	switch http.CanonicalHeaderKey(name) {
	case authorization, cookies, subprotocols:
		return fmt.Errorf("header %s holds more than a token: it is a place of its own", name)
	case "Connection", "Content-Length", "Content-Type", "Host", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return fmt.Errorf("header %s says how the request is to be read, and cannot hold a credential", name)
	}
	return nil
}

func plain(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_.", c)
}

// find looks for tokens in the place.
func (p Place) find(header http.Header, rawQuery string, f *found) {
	switch p.Kind {
	case Authorization:
		findBearer(header[authorization], f)
	case Header:
		for _, value := range header[p.Name] {
			f.add(value, p)
		}
	case Cookie:
		findCookie(header[cookies], p, f)
	case Query:
		findQuery(rawQuery, p, f)
	case WebSocketProtocol:
		findSubprotocol(header[subprotocols], p, f)
	}
}

// strip takes away what stands in the place, and leaves everything else as it is, byte for byte.
func (p Place) strip(header http.Header, rawQuery string) string {
	switch p.Kind {
	case Authorization:
		delete(header, authorization)
	case Header:
		delete(header, p.Name)
	case Cookie:
		stripCookie(header, p.Name)
	case Query:
		stripReferer(header, p.Name)
		return stripQuery(rawQuery, p.Name)
	case WebSocketProtocol:
		stripSubprotocol(header)
	}
	return rawQuery
}

// without returns the lines of a header that is a list, without the elements that are
// gone; a line of which nothing is left is left out. It does not touch
// lines, which the client's request shares.
func without(lines []string, separator string, gone func(element string) bool) []string {
	left := make([]string, 0, len(lines))
	for _, line := range lines {
		var kept []string
		count, first := 0, 0 // of all elements; of the first that is kept
		for element := range strings.SplitSeq(line, separator) {
			if !gone(trim(element)) {
				if len(kept) == 0 {
					first = count
				}
				kept = append(kept, element)
			}
			count++
		}
		if len(kept) == count {
			left = append(left, line)
			continue
		}
		if first > 0 { // the space was behind the separator before it
			kept[0] = strings.TrimLeft(kept[0], " \t")
		}
		if line = strings.Join(kept, separator); strings.Trim(line, separator+" \t") != "" {
			left = append(left, line)
		}
	}
	return left
}

// replace sets the lines of a header; none: the header goes.
func replace(header http.Header, name string, lines []string) {
	if len(lines) == 0 {
		delete(header, name)
		return
	}
	header[name] = lines
}

// trim takes away optional white space (RFC 9110 section 5.6.3).
func trim(s string) string { return strings.Trim(s, " \t") }
