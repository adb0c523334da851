// Package strictjson reads JSON that people write: names are case-sensitive,
// duplicate and unknown ones are refused, and every error says where (line,
// column, path) and what would be right.
//
// It is for files whose every key is known: rules, policies, settings. It is
// not for documents in which unknown members must be ignored, such as a JWKS or
// a claims set. The size of the input is the caller's to bound.
package strictjson

import (
	"bytes"
	"errors"
	"reflect"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/confidential-token-broker/ctb/internal/saved"
)

// Unmarshal decodes data, which is one JSON value and nothing else, into the
// value that v points to. The error is an *Error; v is then undefined.
//
// Beyond RFC 8259 it refuses: a byte order mark, invalid UTF-8, duplicate
// names, names that v doesn't have, names in another case, and null (a key that
// has no value is left out).
//
// A number that goes into an any becomes an int64, or a uint64, if it is written as a
// whole number, so that no digit is lost; else a float64.
func Unmarshal(data []byte, v any) error {
	if err := checkEncoding(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v, json.RejectUnknownMembers(true), exactNumbers); err != nil {
		return explain(data, reflect.TypeOf(v), err)
	}
	return refuseNull(data)
}

// checkEncoding refuses what an editor may have added or chosen, by its name.
func checkEncoding(data []byte) error {
	fault := saved.Fault(data)
	if fault == "" && len(bytes.TrimLeft(data, " \t\r\n")) == 0 {
		fault = "the text is empty: want a JSON value"
	}
	if fault != "" {
		return &Error{Line: 1, Column: 1, Message: fault}
	}
	return nil
}

// refuseNull looks for null in data, which is valid JSON. The decoder takes null for
// "leave the field as it is", which would turn a required key into an absent one.
func refuseNull(data []byte) error {
	if !bytes.Contains(data, []byte("null")) {
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		t, err := d.ReadToken()
		if err != nil {
			return nil // the end: data has been decoded before
		}
		if t.Kind() == 'n' {
			return at(data, d.InputOffset()-int64(len("null")), d.StackPointer(),
				"got null: give a value or leave the key out")
		}
	}
}

var errTooManyDigits = errors.New("the number has more digits than can be held exactly")

// exactNumbers keeps whole numbers whole where the target is an any: as float64,
// 9007199254740993 would silently become ...992.
var exactNumbers = json.WithUnmarshalers(json.UnmarshalFromFunc(func(d *jsontext.Decoder, v *any) error {
	if d.PeekKind() != '0' {
		return errors.ErrUnsupported // the default does it
	}
	text, err := d.ReadValue()
	if err != nil {
		return err
	}
	*v, err = number(string(text))
	return err
}))

func number(s string) (any, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, nil
	}
	if u, err := strconv.ParseUint(s, 10, 64); err == nil {
		return u, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || isWhole(s) {
		return nil, errTooManyDigits
	}
	return f, nil
}

// isWhole tells whether a JSON number has neither fraction nor exponent.
func isWhole(s string) bool {
	for _, c := range s {
		if c != '-' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
