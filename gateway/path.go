package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// checkShape refuses requests that no upstream should be asked to interpret,
// whoever asks. pathsDecide says that routes or sessions depend on the path.
func checkShape(r *http.Request, pathsDecide bool) *access.Refusal {
	switch {
	case r.Method == http.MethodConnect:
		return &access.Refusal{Reason: access.BadMethod, Public: "this is not a forward proxy"}
	case r.URL.Opaque != "":
		// "GET scheme:x" would go on as "GET x", which is none of the paths that were looked at.
		return badRequest("the request target has no path")
	case r.URL.Path != "" && r.URL.Path[0] != '/':
		return badRequest("the path does not begin with a slash") // "OPTIONS *" is for a server, not for what is behind it
	case hasDotSegment(r.URL.Path):
		// It might leave the upstream's base path after somebody resolves it (RFC 3986 section 5.2.4).
		return badRequest("the path has a segment of . or .., resolve it before sending")
	case r.ContentLength != 0 && upgrades(r.Header.Get("Upgrade")):
		// The body would have to pass before the protocol changes, and what follows would be read as either.
		return badRequest("a request that upgrades its connection can have no body")
	}
	if !pathsDecide {
		return nil
	}
	if fault := ambiguousURL(r.URL); fault != "" {
		return badRequest("the path has " + fault + ", which could be read in two ways")
	}
	return nil
}

func badRequest(public string) *access.Refusal {
	return &access.Refusal{Reason: access.BadRequest, Public: public}
}

// ambiguousURL returns what in a path could be read otherwise by an upstream
// than by the gateway; empty if nothing.
func ambiguousURL(u *url.URL) string {
	// RawPath is empty unless the client encoded otherwise than Go would, as here.
	if strings.Contains(u.RawPath, "%2f") || strings.Contains(u.RawPath, "%2F") {
		return "an encoded slash"
	}
	return ambiguous(u.Path)
}

// ambiguous looks at the decoded path. Upstreams differ in whether they merge
// slashes, cut off parameters, take a backslash for a slash, decode twice, stop at a NUL, or
// accept overlong UTF-8.
func ambiguous(path string) string {
	for i := range len(path) {
		switch c := path[i]; {
		case c == '/' && i > 0 && path[i-1] == '/':
			return "two slashes in a row"
		case c == '\\':
			return "a backslash"
		case c == '?':
			return "an encoded question mark"
		case c == '#': // raw, as sent or as somebody on the way decodes it, it is no part of a target (RFC 9112 section 3.2) and ends the path for some
			return "a number sign"
		case c == ';':
			return "a semicolon"
		case c < ' ' || c == 0x7f:
			return "a control character"
		case c == '%' && i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]):
			return "a character that is encoded twice"
		}
	}
	if !utf8.ValidString(path) {
		return "bytes that are not UTF-8"
	}
	return ""
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// hasDotSegment looks at the decoded path, so %2e%2e and ..%2f are found as
// well, and takes a backslash for a slash, as some servers do.
func hasDotSegment(path string) bool {
	if !strings.Contains(path, ".") {
		return false
	}
	for segment := range strings.FieldsFuncSeq(path, func(c rune) bool { return c == '/' || c == '\\' }) {
		// What follows a semicolon is a parameter to some servers, so "..;x" is ".." to them.
		name, _, _ := strings.Cut(segment, ";")
		if name == "." || name == ".." {
			return true
		}
	}
	return false
}
