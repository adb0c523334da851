// Package httptoken knows the form of HTTP's tokens, as methods and header names are.
package httptoken

import "strings"

// Valid tells whether s is a token (RFC 9110 section 5.6.2).
func Valid(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
