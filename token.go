package ctb

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Token holds the claims of a token. It is shared: do not modify it.
type Token struct {
	Issuer    string    // iss
	Subject   string    // sub
	ID        string    // jti
	ClientID  string    // client_id
	Audience  []string  // aud
	Scope     []string  // scope: split at spaces (RFC 8693 section 4.2), or an array as it is
	IssuedAt  time.Time // iat, zero if absent
	NotBefore time.Time // nbf, zero if absent
	Expiry    time.Time // exp
	KeyID     string    // the header's kid

	payload []byte
	members []member // where the payload's first ones are, so that a rule costs no second parse
	more    bool     // there are others, which must be looked for
	kind    string   // the Config.Type that it was accepted as
	key     Key      // that its signature was verified with; zero if it was not
}

// UnverifiedToken reads a JSON claims set that no signature vouches for. It
// serves to ask what would be decided, and never to decide.
func UnverifiedToken(claims []byte) (*Token, error) {
	t, err := parseToken(claims)
	if err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return t, nil
}

// Claims decodes the whole claims set into v, as encoding/json would, but that
// names are case-sensitive.
func (t *Token) Claims(v any) error { return json.Unmarshal(t.payload, v) }

// Claim returns the JSON text of the claim at path, each step the name of a
// member. Do not modify it.
func (t *Token) Claim(path ...string) ([]byte, bool) {
	if len(path) == 0 {
		return t.payload, true
	}
	value, ok := t.member(path[0])
	for _, step := range path[1:] {
		if !ok {
			return nil, false
		}
		value, ok = jose.Member(value, step) // checked as a whole when it was parsed
	}
	return value, ok
}

// member tells where in the payload a name (between its quotes) and its value are. A token that
// was verified is shorter than that.
type member struct{ name, nameEnd, value, valueEnd uint16 }

// Tokens have some ten claims. More than mostMembers are not noted, so that many
// small ones cannot make a token much larger than its payload.
const (
	usualMembers = 10
	mostMembers  = 24
)

// member finds a claim of the payload's first level.
func (t *Token) member(name string) (jsontext.Value, bool) {
	for _, m := range t.members {
		if string(t.payload[m.name:m.nameEnd]) == name {
			return t.payload[m.value:m.valueEnd], true
		}
	}
	if !t.more {
		return nil, false
	}
	return jose.Member(t.payload, name)
}

// note remembers where a member is, if it can be found by the name as it is written.
func (t *Token) note(name, value, nameAt, at int) {
	if len(t.members) == mostMembers || nameAt < 0 || at+value > math.MaxUint16 {
		t.more = true
		return
	}
	t.members = append(t.members, member{uint16(nameAt), uint16(nameAt + name), uint16(at), uint16(at + value)})
}

// parseToken reads a claims set (RFC 7519 section 4.1). Every claim that is
// used here must be of its type; "exp" must be there.
func parseToken(payload []byte) (*Token, error) {
	t := &Token{payload: payload, members: make([]member, 0, usualMembers)}
	var hasExpiry bool
	err := jose.EachMemberAt(payload, func(name []byte, value jsontext.Value, nameAt, at int) (err error) {
		t.note(len(name), len(value), nameAt, at)
		switch string(name) {
		case "iss":
			t.Issuer, err = jose.StringValue(name, value)
		case "sub":
			t.Subject, err = jose.StringValue(name, value)
		case "jti":
			t.ID, err = jose.StringValue(name, value)
		case "client_id":
			t.ClientID, err = jose.StringValue(name, value)
		case "aud":
			t.Audience, err = stringOrArray(name, value)
		case "scope":
			t.Scope, err = words(name, value)
		case "exp":
			hasExpiry = true
			t.Expiry, err = numericDate(name, value)
		case "nbf":
			t.NotBefore, err = numericDate(name, value)
		case "iat":
			t.IssuedAt, err = numericDate(name, value)
		}
		return err
	})
	if err == nil && !hasExpiry {
		err = errors.New("exp is missing: a token that never expires is not accepted")
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// The instants that a claim can name: those that RFC 3339 can write. Later
// ones, such as the 2^64-1 of some issuers, mean the latest.
const (
	firstSecond = -62135596800
	lastSecond  = 253402300799
)

// numericDate reads seconds since 1970, with or without a fraction (RFC 7519 section 2).
func numericDate(name []byte, text jsontext.Value) (time.Time, error) {
	if text.Kind() != '0' {
		return time.Time{}, fmt.Errorf("%s has the wrong type, want a number", name)
	}
	if seconds, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		return time.Unix(min(max(seconds, firstSecond), lastSecond), 0), nil
	}
	// A fraction, an exponent or a very large number: within a float's reach, or infinite.
	seconds, _ := strconv.ParseFloat(string(text), 64)
	whole, fraction := math.Modf(min(max(seconds, firstSecond), lastSecond))
	return time.Unix(int64(whole), int64(fraction*1e9)), nil
}

// words reads a scope: a string of words (RFC 8693 section 4.2), or an array of them.
func words(name []byte, text jsontext.Value) ([]string, error) {
	if text.Kind() != '"' {
		return stringOrArray(name, text)
	}
	s, err := jose.StringValue(name, text)
	return strings.FieldsFunc(s, func(c rune) bool { return c == ' ' }), err
}

func stringOrArray(name []byte, text jsontext.Value) ([]string, error) {
	switch text.Kind() {
	case '"':
		s, err := jose.StringValue(name, text)
		return []string{s}, err
	case '[':
		return stringArray(name, text)
	}
	return nil, fmt.Errorf("%s has the wrong type, want a string or an array of strings", name)
}

func stringArray(name []byte, text jsontext.Value) ([]string, error) {
	var elements []jsontext.Value
	if err := json.Unmarshal(text, &elements); err != nil {
		return nil, jose.JSONError(err)
	}
	list := make([]string, len(elements))
	for i, e := range elements {
		var err error
		if list[i], err = jose.StringValue(name, e); err != nil {
			return nil, fmt.Errorf("%s[%d] has the wrong type, want a string", name, i)
		}
	}
	return list, nil
}
