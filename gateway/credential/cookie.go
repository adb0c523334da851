package credential

import (
	"net/http"
	"strings"
)

// findCookie reads the cookies of that name (RFC 6265 section 4.2.1). HTTP/2 may have
// them in several lines (RFC 9113 section 8.2.3).
func findCookie(lines []string, at Place, f *found) {
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			if value, ok := cookieValue(pair, at.Name); ok {
				f.add(value, at)
			}
		}
	}
}

// cookieValue returns the value of a pair of this name. Space about the name
// is no part of it: some servers see it so, and all who read the cookie must see the same.
func cookieValue(pair, name string) (value string, ok bool) {
	key, value, _ := strings.Cut(pair, "=")
	if trim(key) != name {
		return "", false
	}
	value = trim(value)
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1] // the quotes are allowed, and mean nothing
	}
	return value, true
}

func stripCookie(header http.Header, name string) {
	if lines := header[cookies]; len(lines) > 0 {
		replace(header, cookies, without(lines, ";", func(pair string) bool {
			_, ok := cookieValue(pair, name)
			return ok
		}))
	}
}
