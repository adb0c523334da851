package strictjson

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// explain turns the decoder's error into ours.
func explain(data []byte, target reflect.Type, err error) *Error {
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return explainSyntax(data, e)
	}
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		if e.GoType == nil {
			e.GoType = target
		}
		return at(data, e.ByteOffset, e.JSONPointer, explainMeaning(data, e))
	}
	return &Error{Line: 1, Column: 1, Message: bounded(err.Error())}
}

func explainSyntax(data []byte, e *jsontext.SyntacticError) *Error {
	switch {
	case errors.Is(e.Err, io.ErrUnexpectedEOF):
		return at(data, int64(len(data)), e.JSONPointer, "the text ends too early: a closing quote, ] or } is missing")
	case errors.Is(e.Err, jsontext.ErrDuplicateName):
		line, _ := position(data, locate(data, e.JSONPointer))
		return at(data, e.ByteOffset, e.JSONPointer,
			fmt.Sprintf("this key appears twice (first on line %d): remove one", line))
	}
	return at(data, e.ByteOffset, e.JSONPointer, explainCharacter(data, e))
}

// explainCharacter looks at what stands at the fault, for the slips that people make
// most.
func explainCharacter(data []byte, e *jsontext.SyntacticError) string {
	rest := data[min(max(e.ByteOffset, 0), int64(len(data))):]
	c, _ := utf8.DecodeRune(rest)
	text := bounded(e.Err.Error())
	switch {
	case strings.Contains(text, "in string"), strings.Contains(text, "UTF-8"), strings.Contains(text, "in number"):
		return text
	case strings.Contains(text, "after top-level value"):
		return "the JSON value ends before this: remove what follows"
	case c == ',' && closes(rest[1:]):
		return "a comma before a closing bracket: remove it"
	case c == '\'':
		return "JSON strings stand in double quotes, not in single ones"
	case c == '/' || c == '#':
		return "JSON has no comments: remove it"
	case strings.Contains(text, "at start of value") && isLetter(c):
		return "a name or string without double quotes, or a word that is none of true and false"
	}
	return text
}

func closes(rest []byte) bool {
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return len(rest) > 0 && (rest[0] == ']' || rest[0] == '}')
}

func isLetter(c rune) bool { return c == '_' || (c|0x20 >= 'a' && c|0x20 <= 'z') }

func explainMeaning(data []byte, e *json.SemanticError) string {
	switch {
	case errors.Is(e.Err, json.ErrUnknownName):
		return explainUnknown(e.JSONPointer.LastToken(), e.GoType)
	case errors.Is(e.Err, strconv.ErrSyntax), errors.Is(e.Err, strconv.ErrRange):
		return fmt.Sprintf("got %s, want %s", bounded(string(e.JSONValue)), want(e.GoType))
	}
	if e.JSONKind == 0 && e.ByteOffset < int64(len(data)) {
		e.JSONKind = jsontext.Value(data[e.ByteOffset:]).Kind()
	}
	if e.Err != nil && (e.JSONKind == '"' || !isText(e.GoType)) {
		return bounded(e.Err.Error())
	}
	return fmt.Sprintf("got %s, want %s", got(e.JSONKind), want(e.GoType))
}

func got(k jsontext.Kind) string {
	switch k {
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't', 'f':
		return k.String()
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "something else"
}

func want(t reflect.Type) string {
	if t == nil {
		return "something else"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if isText(t) {
		return "a string"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("a whole number that fits %d bits", t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number of 0 or more that fits %d bits", t.Bits())
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a string of base64"
		}
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "something else"
}

// isText tells whether t reads itself from a string.
func isText(t reflect.Type) bool {
	return t != nil && reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// maxText bounds what a message takes over from elsewhere.
const maxText = 200

func bounded(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}
