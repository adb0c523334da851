package credential

import (
	"strings"

	"github.com/confidential-token-broker/ctb/gateway/access"
)

// found is what stands in the places of one request.
type found struct {
	count int    // of what stands where a token may stand, well formed or not
	token string // the last of them
	odd   string // why the last is no token; empty if it may be one
	other string // why what was found does not count: it is a credential of another kind
}

// add notes what stands in a place. An empty value shows nothing: cookies are emptied at logout.
func (f *found) add(token string, at Place) {
	if token == "" {
		return
	}
	f.count++
	f.token = token
	// A comma may join two lines that a proxy has made one; no token has white space.
	if strings.IndexByte(token, ' ') >= 0 || strings.IndexByte(token, ',') >= 0 || strings.IndexByte(token, '\t') >= 0 {
		f.odd = at.String() + " is malformed, want one token"
	}
}

// malformed notes what was meant to be a token, and can't be read.
func (f *found) malformed(why string) {
	f.count++
	f.odd = why
}

// one returns the token, if there is exactly one in all places together.
func (f *found) one() (string, *access.Refusal) {
	switch {
	case f.count > 1:
		// RFC 6750 section 2. Of two tokens, this end and the next might each read another one.
		return "", refuseToken(access.SeveralCredentials, "the request has more than one token, want one, in one place")
	case f.odd != "":
		return "", refuseToken(access.MalformedCredential, f.odd)
	case f.count == 1:
		return f.token, nil
	case f.other != "":
		return "", refuseToken(access.MalformedCredential, f.other)
	}
	return "", refuseToken(access.MissingCredential, "the request has no token")
}

func refuseToken(reason access.Reason, public string) *access.Refusal {
	return &access.Refusal{Reason: reason, Mode: access.JWT, Public: public}
}
