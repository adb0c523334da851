package ctb

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/go-json-experiment/json/jsontext"
)

// Requirement is one claim rule. It is the same in Go code, in the broker's
// rules and in the gateway's configuration: the claim must be there, of the
// type, and with one of the values, if any are given.
type Requirement struct {
	Name   string    `json:"name,omitempty" yaml:"name"`             // the claim; a dot leads into an object. Or:
	Path   []string  `json:"path,omitempty" yaml:"path"`             // the same, for names that have dots themselves
	Values []any     `json:"values,omitempty" yaml:"values"`         // strings, numbers or bools, as Type says; none: any value
	Type   ValueType `json:"value_type,omitempty" yaml:"value_type"` // empty means String
}

// ValueType says which JSON values a Requirement compares.
type ValueType string

// The value types. In files, case and underscores do not matter: "String" and
// "StringArray" are understood.
const (
	String      ValueType = "string"       // equal to one of the values, exactly
	Int         ValueType = "int"          // an integer
	Number      ValueType = "number"       // compared as IEEE 754 double
	Bool        ValueType = "bool"         //
	StringArray ValueType = "string_array" // an array of strings that has one of the values
	ScopeList   ValueType = "scope"        // words in a string (RFC 8693 section 4.2) or an array of strings; it has all of the values
)

var valueTypes = []ValueType{String, Int, Number, Bool, StringArray, ScopeList}

// UnmarshalText reads a value type as people write it.
func (t *ValueType) UnmarshalText(text []byte) error {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	for _, known := range valueTypes {
		if plain(string(text)) == plain(string(known)) {
			*t = known
			return nil
		}
	}
	return fmt.Errorf("value_type is %.40q, want one of %v", text, valueTypes)
}

// Scope requires a scope, one word. Who needs two requires both, each by itself.
func Scope(scope string) Requirement {
	return Requirement{Name: "scope", Values: []any{scope}, Type: ScopeList}
}

// Claim requires a claim with one of the values, whose type follows from the
// first: String, Bool, Int or Number. Without values any string will do.
func Claim(name string, values ...any) Requirement {
	r := Requirement{Name: name, Values: values, Type: String}
	if len(values) > 0 {
		switch values[0].(type) {
		case bool:
			r.Type = Bool
		case float32, float64:
			r.Type = Number
		case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
			r.Type = Int
		}
	}
	return r
}

// Validate tells whether the requirement is well formed: exactly one of Name
// and Path, no empty step, a known type, and values of that type.
func (r Requirement) Validate() error {
	if (r.Name == "") == (len(r.Path) == 0) {
		return errors.New("a claim rule has either a name or a path")
	}
	if slices.Contains(r.Steps(), "") {
		return fmt.Errorf("claim %q: a step between the dots is empty; use path for names with dots", r)
	}
	if !slices.Contains(valueTypes, r.kind()) {
		return fmt.Errorf("claim %q: value_type is %.40q, want one of %v", r, r.Type, valueTypes)
	}
	if r.kind() == ScopeList && len(r.Values) == 0 {
		return fmt.Errorf("claim %q: values are missing: name the scopes", r)
	}
	for i, v := range r.Values {
		if !r.accepts(v) {
			return fmt.Errorf("claim %q: values[%d] is a %T, want %s", r, i, v, r.kind())
		}
	}
	return nil
}

// accepts tells whether v can be a value of the requirement's type.
func (r Requirement) accepts(v any) bool {
	switch r.kind() {
	case Bool:
		_, ok := v.(bool)
		return ok
	case Int:
		_, ok := integer(v)
		return ok
	case Number:
		_, ok := float(v)
		return ok
	}
	_, ok := v.(string)
	return ok
}

// String returns the name, or the path in dots.
func (r Requirement) String() string {
	if r.Name != "" {
		return r.Name
	}
	return strings.Join(r.Path, ".")
}

// Steps returns the path to the claim, however it is written: each step the name of a member.
func (r Requirement) Steps() []string {
	if len(r.Path) > 0 {
		return r.Path
	}
	return strings.Split(r.Name, ".")
}

func (r Requirement) kind() ValueType {
	if r.Type == "" {
		return String
	}
	return r.Type
}

// RequirementError says that a valid token does not suffice (403). Its text
// has the requirement's values, never the token's.
type RequirementError struct {
	Requirement Requirement
	Mismatch    Mismatch
}

// Mismatch says how a token misses a requirement.
type Mismatch int

// The mismatches.
const (
	MissingClaim Mismatch = iota + 1
	UnexpectedType
	UnexpectedValue
)

// Error returns the reason, in words of its own for each mismatch.
func (e *RequirementError) Error() string {
	r := e.Requirement
	switch e.Mismatch {
	case MissingClaim:
		return fmt.Sprintf("missing claim '%s'", r)
	case UnexpectedType:
		return fmt.Sprintf("unexpected type for claim '%s': want %s", r, r.kind())
	default:
		return fmt.Sprintf("unexpected value for claim '%s': expected %s", r, r.wanted())
	}
}

// Satisfies returns nil, or a *RequirementError for the first requirement
// that is not met. It expects requirements that [Requirement.Validate] accepts.
func (t *Token) Satisfies(reqs ...Requirement) error {
	for _, r := range reqs {
		if m := r.judge(t); m != 0 {
			return &RequirementError{r, m}
		}
	}
	return nil
}

// judge returns how the token misses the requirement, 0 if it does not.
func (r Requirement) judge(t *Token) Mismatch {
	value, ok := r.claim(t)
	if !ok {
		return MissingClaim
	}
	var typed, equal bool
	switch r.kind() {
	case Bool:
		typed, equal = r.matchBool(value)
	case Int:
		typed, equal = r.matchInt(value)
	case Number:
		typed, equal = r.matchNumber(value)
	default:
		typed, equal = r.matchStrings(value)
	}
	switch {
	case !typed:
		return UnexpectedType
	case !equal:
		return UnexpectedValue
	}
	return 0
}

// claim finds the claim, as Token.Claim does with r.Steps(), of which it makes no slice.
func (r Requirement) claim(t *Token) (jsontext.Value, bool) {
	if len(r.Path) > 0 {
		return t.Claim(r.Path...)
	}
	step, rest, more := strings.Cut(r.Name, ".")
	value, ok := t.member(step)
	for ok && more {
		step, rest, more = strings.Cut(rest, ".")
		value, ok = jose.Member(value, step)
	}
	return value, ok
}

func (r Requirement) wanted() string {
	quoted := make([]string, len(r.Values))
	for i, v := range r.Values {
		quoted[i] = fmt.Sprintf("'%v'", v)
	}
	how := "one of"
	if r.kind() == ScopeList {
		how = "all of"
	}
	return how + " [ " + strings.Join(quoted, ", ") + " ]"
}

// has tells whether a value satisfies equal, or no value is asked for.
func (r Requirement) has(equal func(want any) bool) bool {
	return len(r.Values) == 0 || slices.ContainsFunc(r.Values, equal)
}

func (r Requirement) matchBool(text jsontext.Value) (typed, equal bool) {
	got := text.Kind() == 't'
	return got || text.Kind() == 'f', r.has(func(want any) bool { return want == got })
}

func (r Requirement) matchInt(text jsontext.Value) (typed, equal bool) {
	if text.Kind() != '0' {
		return false, false
	}
	got, ok := parseInteger(string(text))
	return ok, r.has(func(want any) bool { w, ok := integer(want); return ok && w == got })
}

func (r Requirement) matchNumber(text jsontext.Value) (typed, equal bool) {
	if text.Kind() != '0' {
		return false, false
	}
	got, err := strconv.ParseFloat(string(text), 64)
	return err == nil, r.has(func(want any) bool { w, ok := float(want); return ok && w == got })
}

func (r Requirement) matchStrings(text jsontext.Value) (typed, equal bool) {
	if text.Kind() == '"' && bytes.IndexByte(text, '\\') < 0 { // the usual one: nothing to unescape, nothing to copy
		return r.matchString(text[1 : len(text)-1])
	}
	read, isArray := stringOrArray, text.Kind() == '['
	if r.kind() == ScopeList {
		read = words
	}
	list, err := read(nil, text)
	switch kind := r.kind(); {
	case err != nil, kind == String && isArray, kind == StringArray && !isArray:
		return false, false
	case kind == ScopeList:
		missing := func(want any) bool { s, ok := want.(string); return !ok || !slices.Contains(list, s) }
		return true, len(r.Values) > 0 && !slices.ContainsFunc(r.Values, missing)
	}
	return true, r.has(func(want any) bool { s, ok := want.(string); return ok && slices.Contains(list, s) })
}

// matchString compares a string, which of the types of strings is no array.
func (r Requirement) matchString(got []byte) (typed, equal bool) {
	switch r.kind() {
	case StringArray:
		return false, false
	case ScopeList:
		missing := func(want any) bool { s, ok := want.(string); return !ok || !hasWord(got, s) }
		return true, len(r.Values) > 0 && !slices.ContainsFunc(r.Values, missing)
	}
	return true, r.has(func(want any) bool { s, ok := want.(string); return ok && string(got) == s })
}

// hasWord tells whether a word stands in a list with spaces between them.
func hasWord(list []byte, word string) bool {
	for len(list) > 0 {
		var w []byte
		if w, list, _ = bytes.Cut(list, space); len(w) > 0 && string(w) == word { // of two spaces, nothing stands between
			return true
		}
	}
	return false
}

var space = []byte{' '}

// int65 is an integer from -2^63 to 2^64-1, which is what JSON issuers use.
type int65 struct {
	negative bool
	absolute uint64
}

func parseInteger(s string) (int65, bool) {
	digits, negative := strings.CutPrefix(s, "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	return int65{negative && n > 0, n}, err == nil
}

// integer reads a Go value that decoders and people give for an integer.
func integer(v any) (int65, bool) {
	switch v := v.(type) {
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return parseInteger(fmt.Sprint(v))
	case float32:
		return integer(float64(v))
	case float64: // how JSON decoders give all numbers; beyond 2^53 it may be another integer than the one that was written
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return int65{}, false
		}
		return parseInteger(strconv.FormatFloat(v, 'f', 0, 64))
	}
	return int65{}, false
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case float32:
		return float64(v), true
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		f, err := strconv.ParseFloat(fmt.Sprint(v), 64)
		return f, err == nil
	}
	return 0, false
}
