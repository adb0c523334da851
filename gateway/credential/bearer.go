package credential

import "strings"

const wantBearer = ", want 'Bearer <token>'"

// findBearer reads the Authorization header (RFC 6750 section 2.1, RFC 9110 section 11.4).
func findBearer(lines []string, f *found) {
	if len(lines) == 0 {
		return
	}
	if len(lines) > 1 { // of whatever scheme: this end and the next might each read another one
		f.count += len(lines)
		return
	}
	scheme, token, _ := strings.Cut(lines[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		f.other = "the Authorization header has another scheme" + wantBearer
		return
	}
	token = strings.Trim(token, " ")
	if token == "" {
		f.malformed("the Authorization header has no token" + wantBearer)
		return
	}
	f.add(token, Place{Kind: Authorization})
}
