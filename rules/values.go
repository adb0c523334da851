package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// label checks the optional name; without one a rule is known by its place.
func (p *parser) label(name *string, i int) string {
	place := fmt.Sprintf("configs[%d]", i)
	if name == nil {
		return place
	}
	at := []any{"configs", i, "name"}
	p.text(*name, maxName, at)
	if strings.HasPrefix(*name, "configs[") {
		p.fault("a name must not look like the place of a rule: want another", at...)
	}
	return *name
}

func (p *parser) clientID(id *string, at []any) string {
	if id == nil {
		p.fault("the key is missing: want the client id that the identity provider knows", at...)
		return ""
	}
	p.text(*id, maxClientID, at)
	return *id
}

func (p *parser) audience(list []string, at []any) []string {
	switch {
	case list == nil:
		p.fault("the key is missing: want the list of the access token's audiences", at...)
	case len(list) == 0:
		p.fault("the list is empty: want at least one audience", at...)
	case len(list) > maxAudiences:
		p.fault(fmt.Sprintf("got %d audiences, want at most %d", len(list), maxAudiences), at...)
		return nil
	}
	for i, a := range list {
		at := append(slices.Clone(at), i)
		p.text(a, maxURL, at)
		if j := slices.Index(list, a); j < i {
			p.fault(fmt.Sprintf("the same audience stands at index %d: remove one", j), at...)
		}
	}
	return list
}

// scope splits the scope at spaces. It may be empty: an access token without any.
func (p *parser) scope(text *string, at []any) []string {
	if text == nil {
		p.fault(`the key is missing: want the scope, which may be ""`, at...)
		return nil
	}
	if len(*text) > maxScope {
		p.fault(fmt.Sprintf("got %d bytes, want at most %d", len(*text), maxScope), at...)
		return nil
	}
	var list []string
	for scope := range strings.SplitSeq(*text, " ") {
		switch {
		case scope == "": // [Set.Check] warns of surplus spaces
		case !isScope(scope):
			p.fault(fmt.Sprintf("%q is no scope: want printable ASCII without \" and \\, separated by spaces (RFC 6749 section 3.3)", scope), at...)
			return nil
		case slices.Contains(list, scope):
			p.fault(fmt.Sprintf("the scope %q stands there twice: remove one", scope), at...)
			return nil
		default:
			list = append(list, scope)
		}
	}
	return list
}

// isScope tells whether s is a scope-token (RFC 6749 section 3.3).
func isScope(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

func (p *parser) lifetime(seconds *int64, at []any) time.Duration {
	const most = int64(MaxExpiration / time.Second)
	switch {
	case seconds == nil:
		p.fault("the key is missing: want the access token's lifetime in seconds", at...)
	case *seconds < 1 || *seconds > most:
		p.fault(fmt.Sprintf("got %d, want 1 to %d seconds", *seconds, most), at...)
	default:
		return time.Duration(*seconds) * time.Second
	}
	return 0
}

// text checks a string that is compared byte by byte: what cannot be seen must not be
// in it.
func (p *parser) text(s string, most int, at []any) {
	switch {
	case s == "":
		p.fault("the string is empty: want a value", at...)
	case len(s) > most:
		p.fault(fmt.Sprintf("got %d bytes, want at most %d", len(s), most), at...)
	case strings.TrimSpace(s) != s:
		p.fault("white space at the start or the end: remove it, strings are compared exactly", at...)
	case strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }):
		p.fault("a character that cannot be seen: remove it, strings are compared exactly", at...)
	}
}
