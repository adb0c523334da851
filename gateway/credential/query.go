package credential

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Servers split a query at "&", and some at ";" as well (HTML 4.01 appendix B.2.2).
// A token is found, and taken away, as the most curious of them would.
const querySeparators = "&;"

// findQuery reads the query parameters of that name.
func findQuery(rawQuery string, at Place, f *found) {
	for rest, more := rawQuery, rawQuery != ""; more; {
		var pair string
		pair, _, rest, more = cutQuery(rest)
		value, ok := queryValue(pair, at.Name)
		if !ok {
			continue
		}
		if strings.ContainsAny(value, "%+") {
			var err error
			if value, err = url.QueryUnescape(value); err != nil {
				f.malformed(at.String() + " is malformed, want one token")
				continue
			}
		}
		f.add(value, at)
	}
}

// cutQuery returns the first pair of a query, the separator behind it, and the rest.
func cutQuery(query string) (pair, separator, rest string, more bool) {
	i := strings.IndexAny(query, querySeparators)
	if i < 0 {
		return query, "", "", false
	}
	return query[:i], query[i : i+1], query[i+1:], true
}

// queryValue returns the value, as it is written, of a pair of this name,
// which may be written with escapes: acces%73_token is access_token.
func queryValue(pair, name string) (value string, ok bool) {
	key, value, _ := strings.Cut(pair, "=")
	if key == name {
		return value, true
	}
	if !strings.Contains(key, "%") {
		return "", false
	}
	// What has a faulty escape is not the name, to whomever: no place's name has a percent sign.
	plain, err := url.QueryUnescape(key)
	return value, err == nil && plain == name
}

// stripQuery takes the parameters of that name away. All others stay in their
// order and spelling, for an upstream may have signed or hashed them.
func stripQuery(rawQuery, name string) string {
	left := make([]byte, 0, len(rawQuery))
	var before string // the separator
	for rest, more, first := rawQuery, true, true; more; {
		var pair, separator string
		pair, separator, rest, more = cutQuery(rest)
		if _, gone := queryValue(pair, name); !gone {
			if !first {
				left = append(left, before...)
			}
			left = append(left, pair...)
			first = false
		}
		before = separator
	}
	return string(left)
}

// stripReferer takes the parameters away from the page that a browser says it
// comes from: it was opened with such a token, perhaps this one.
func stripReferer(header http.Header, name string) {
	lines := slices.Clone(header[referer])
	for i, line := range lines {
		page, query, ok := strings.Cut(line, "?")
		if !ok {
			continue
		}
		if query = stripQuery(query, name); query != "" {
			page += "?" + query
		}
		lines[i] = page
	}
	replace(header, referer, lines)
}
