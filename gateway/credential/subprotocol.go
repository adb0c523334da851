package credential

import (
	"net/http"
	"strings"
)

// The subprotocol that says that the next one is a token: a browser can set no other header of a WebSocket.
const bearerProtocol = "bearer"

// subprotocol is one element of Sec-WebSocket-Protocol (RFC 6455 section 11.3.4), whose
// lines are one list.
type subprotocol int

const (
	ordinary subprotocol = iota
	announcing
	token
)

// sorter tells the elements of a list apart, in their order.
type sorter struct{ announced bool }

func (s *sorter) next(element string) subprotocol {
	switch {
	case element == "": // means nothing in a list (RFC 9110 section 5.6.1.2)
		return ordinary
	case s.announced:
		s.announced = false
		return token
	case strings.EqualFold(element, bearerProtocol):
		s.announced = true
		return announcing
	}
	return ordinary
}

func findSubprotocol(lines []string, at Place, f *found) {
	var s sorter
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			if element = trim(element); s.next(element) == token {
				f.add(element, at)
			}
		}
	}
	if s.announced {
		f.malformed("Sec-WebSocket-Protocol is malformed, want 'bearer, <token>'")
	}
}

func stripSubprotocol(header http.Header) {
	if lines := header[subprotocols]; len(lines) > 0 {
		var s sorter
		replace(header, subprotocols, without(lines, ",", func(element string) bool { return s.next(element) != ordinary }))
	}
}

// announcement returns the word before the token, as the client spells it; empty if there is none.
func announcement(header http.Header) string {
	var s sorter
	for _, line := range header[subprotocols] {
		for element := range strings.SplitSeq(line, ",") {
			if element = trim(element); s.next(element) == announcing {
				return element
			}
		}
	}
	return ""
}
