package jose

import (
	"bytes"
	"errors"
)

// A JWS has an ECDSA signature as r ‖ s, each as long as the curve's order (RFC 7518 section 3.4), crypto/ecdsa has it as
// SEQUENCE { INTEGER r, INTEGER s } in DER (SEC 1 section C.8). Up to P-384 all lengths in there are of one byte.

const (
	tagInteger  = 0x02
	tagSequence = 0x30
)

// asn1ECDSA turns r ‖ s into DER.
func asn1ECDSA(raw []byte) []byte {
	size := len(raw) / 2
	der := append(make([]byte, 0, len(raw)+8), tagSequence, 0)
	der = appendInteger(der, raw[:size])
	der = appendInteger(der, raw[size:])
	der[1] = byte(len(der) - 2)
	return der
}

// appendInteger appends a number without a sign, big endian.
func appendInteger(der, n []byte) []byte {
	n = bytes.TrimLeft(n, "\x00")
	if len(n) == 0 || n[0] >= 0x80 { // would be no number, or a negative one
		return append(append(der, tagInteger, byte(len(n)+1), 0), n...)
	}
	return append(append(der, tagInteger, byte(len(n))), n...)
}

// rawECDSA turns DER into r ‖ s of so many bytes each.
func rawECDSA(der []byte, size int) ([]byte, error) {
	numbers, end, isSequence := element(der, tagSequence)
	r, after, hasR := element(numbers, tagInteger)
	s, more, hasS := element(after, tagInteger)
	if !isSequence || !hasR || !hasS || len(end) > 0 || len(more) > 0 {
		return nil, errors.New("signer gave no ECDSA signature")
	}
	raw := make([]byte, 2*size)
	if !fill(raw[:size], r) || !fill(raw[size:], s) {
		return nil, errors.New("signer gave an ECDSA signature of another curve")
	}
	return raw, nil
}

// element splits the first element off, whose length is of one byte.
func element(der []byte, tag byte) (content, rest []byte, ok bool) {
	if len(der) < 2 || der[0] != tag || der[1] >= 0x80 || int(der[1]) > len(der)-2 {
		return nil, nil, false
	}
	end := 2 + int(der[1])
	return der[2:end], der[end:], true
}

// fill writes a positive INTEGER to the end of to; false if it is not positive, or longer.
func fill(to, integer []byte) bool {
	n := bytes.TrimLeft(integer, "\x00")
	if len(n) == 0 || integer[0] >= 0x80 || len(n) > len(to) {
		return false
	}
	copy(to[len(to)-len(n):], n)
	return true
}
