package nitro

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// strict gives what it reads one meaning: no member twice or of a name that nobody knows, names in their own case, nothing of
// indefinite length, no tags, nothing after the end. The bounds are the least that the library takes and far from any that it refuses.
var strict = must(cbor.DecOptions{
	DupMapKey:         cbor.DupMapKeyEnforcedAPF,
	ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	IndefLength:       cbor.IndefLengthForbidden,
	TagsMd:            cbor.TagsForbidden,
	UTF8:              cbor.UTF8RejectInvalid,
	MaxNestedLevels:   4,
	MaxArrayElements:  16,
	MaxMapPairs:       32, // as many as there are registers
}.DecMode())

// deterministic writes the one encoding of RFC 8949 section 4.2.1.
var deterministic = must(cbor.CoreDetEncOptions().EncMode())

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // fixed options, so a mistake here fails every test
	}
	return v
}

// byteString reads a byte string of so many bytes; what names it in errors. The library would also take an array of numbers for bytes.
func byteString(what string, raw cbor.RawMessage, least, most int) ([]byte, error) {
	const bytesMajor = 2
	switch {
	case isAbsent(raw):
		return nil, fmt.Errorf("document: %s: missing", what)
	case raw[0]>>5 != bytesMajor:
		return nil, fmt.Errorf("document: %s: got %s, want a byte string", what, majors[raw[0]>>5])
	}
	b := []byte{}
	if err := strict.Unmarshal(raw, &b); err != nil {
		return nil, fmt.Errorf("document: %s: %w", what, err)
	}
	if n := len(b); least == most && n != most {
		return nil, fmt.Errorf("document: %s: got %d bytes, want %d", what, n, most)
	} else if n < least || n > most {
		return nil, fmt.Errorf("document: %s: got %d bytes, want %d to %d", what, n, least, most)
	}
	return b, nil
}

// optional is a byteString that may be absent, and then is nil.
func optional(what string, raw cbor.RawMessage, least, most int) ([]byte, error) {
	if isAbsent(raw) {
		return nil, nil
	}
	return byteString(what, raw, least, most)
}

// isAbsent tells whether a member is not there, or null, which AWS's modules write for what an enclave did not give.
func isAbsent(raw cbor.RawMessage) bool {
	const null = 0xf6
	return len(raw) == 0 || len(raw) == 1 && raw[0] == null
}

// majors are the major types of CBOR in words (RFC 8949 section 3.1).
var majors = [8]string{"a number", "a negative number", "a byte string", "a text", "an array", "a map", "a tag", "a simple value"}
