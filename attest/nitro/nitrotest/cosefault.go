package nitrotest

import (
	"bytes"
	"encoding/asn1"
	"math/big"
	"slices"
)

// Faults of COSE_Sign1, which is around the document.
const (
	CoseTruncated      Fault = "cose-truncated"       // the last byte is missing
	CoseTrailing       Fault = "cose-trailing"        // a byte follows
	CoseIndefinite     Fault = "cose-indefinite"      // an array of indefinite length
	CoseLongForm       Fault = "cose-long-form"       // the array's length is not in the shortest form
	CoseFiveParts      Fault = "cose-five-parts"      // null follows the signature within the array
	CoseThreeParts     Fault = "cose-three-parts"     // the signature is missing
	CoseOtherTag       Fault = "cose-other-tag"       // tag 17, of COSE_Mac0
	CoseTwoTags        Fault = "cose-two-tags"        // tag 18 within tag 18
	CoseLongTag        Fault = "cose-long-tag"        // tag 18 is not in the shortest form
	PayloadText        Fault = "payload-text"         // the payload is a text
	PayloadNull        Fault = "payload-null"         // … is detached
	PayloadEmpty       Fault = "payload-empty"        // … is empty
	PayloadLarge       Fault = "payload-large"        // … has more than 16384 bytes
	PayloadAltered     Fault = "payload-altered"      // a byte of it was changed after signing
	SignatureNull      Fault = "signature-null"       // there is no signature
	SignatureEmpty     Fault = "signature-empty"      // an empty one
	SignatureShort     Fault = "signature-short"      // one of 95 bytes
	SignatureLong      Fault = "signature-long"       // one of 97 bytes
	SignatureZero      Fault = "signature-zero"       // r and s are zero
	SignatureDER       Fault = "signature-der"        // in the form of X.509, not of COSE
	SignatureForged    Fault = "signature-forged"     // of a key that nobody certified
	SignatureOfCA      Fault = "signature-of-ca"      // of the instance's key
	SignatureOfRoot    Fault = "signature-of-root"    // of the root's key
	SignatureOfContext Fault = "signature-of-context" // over the structure of COSE_Sign, not of COSE_Sign1
	SignatureOfPayload Fault = "signature-of-payload" // over the payload alone
)

// Faults of the headers of COSE_Sign1. The first six are signed as they are.
const (
	HeaderES256         Fault = "header-es256"          // the algorithm is ES256
	HeaderES512         Fault = "header-es512"          // … ES512
	HeaderText          Fault = "header-text"           // … "ES384", a text
	HeaderWithout       Fault = "header-without"        // there is none
	HeaderMore          Fault = "header-more"           // a key ID stands beside it
	HeaderLongForm      Fault = "header-long-form"      // its number is not in the shortest form
	HeaderEmpty         Fault = "header-empty"          // the protected header is an empty string, which stands for an empty map
	HeaderNull          Fault = "header-null"           // it is null
	HeaderUnprotected   Fault = "header-unprotected"    // the algorithm stands in the unprotected header, too
	HeaderMovedOut      Fault = "header-moved-out"      // … alone
	HeaderCritical      Fault = "header-critical"       // the unprotected header has a critical member
	UnprotectedBytes    Fault = "unprotected-bytes"     // the unprotected header is a byte string
	UnprotectedNull     Fault = "unprotected-null"      // it is null
	UnprotectedLongForm Fault = "unprotected-long-form" // its length is not in the shortest form
)

func coseFaults() []spoil {
	whole := func(change func([]byte) []byte) func(*Module, *plan) {
		return func(_ *Module, p *plan) { p.whole = change }
	}
	signed := func(change func(*sign1)) func(*Module, *plan) {
		return func(_ *Module, p *plan) { p.signed = change }
	}
	signature := func(change func([]byte) []byte) func(*Module, *plan) {
		return signed(func(s *sign1) { s.signature = change(s.signature) })
	}
	by := func(whose string) func(*Module, *plan) {
		return func(m *Module, p *plan) { p.by = m.keys.keys[whose] }
	}
	header := func(protected ...byte) func(*Module, *plan) {
		return func(_ *Module, p *plan) { p.protected = protected }
	}
	unprotected := func(b ...byte) func(*Module, *plan) {
		return func(_ *Module, p *plan) { p.unprotected = b }
	}
	return []spoil{
		{CoseTruncated, whole(func(b []byte) []byte { return b[:len(b)-1] })},
		{CoseTrailing, whole(func(b []byte) []byte { return append(b, 0) })},
		{CoseIndefinite, whole(replaceStart(0x84, []byte{0x9f}, []byte{0xff}))},
		{CoseLongForm, whole(replaceStart(0x84, []byte{0x98, 4}, nil))},
		{CoseFiveParts, whole(replaceStart(0x84, []byte{0x85}, []byte{0xf6}))},
		{CoseThreeParts, whole(func(b []byte) []byte {
			b = replaceStart(0x84, []byte{0x83}, nil)(b)
			return b[:len(b)-98] // the signature and its head
		})},
		{CoseOtherTag, whole(func(b []byte) []byte { return append([]byte{0xd1}, b...) })},
		{CoseTwoTags, func(_ *Module, p *plan) { p.tags = 2 }},
		{CoseLongTag, whole(func(b []byte) []byte { return append([]byte{0xd8, 18}, b...) })},

		{PayloadText, whole(func(b []byte) []byte { return replaceHead(b, payloadHead, 0x79) })},
		{PayloadNull, whole(func(b []byte) []byte {
			i := bytes.Index(b, payloadHead)
			return slices.Concat(b[:i+1], []byte{0xf6}, b[len(b)-98:])
		})},
		{PayloadEmpty, func(_ *Module, p *plan) { p.payload = func([]byte) []byte { return nil } }},
		{PayloadLarge, func(_ *Module, p *plan) {
			p.payload = func(b []byte) []byte { return append(b, make([]byte, 16<<10+1-len(b))...) }
		}},
		{PayloadAltered, signed(func(s *sign1) { s.payload = flipAfter(s.payload, "timestamp") })},

		{SignatureNull, whole(func(b []byte) []byte { return append(b[:len(b)-98], 0xf6) })},
		{SignatureEmpty, signature(func([]byte) []byte { return nil })},
		{SignatureShort, signature(func(b []byte) []byte { return b[:95] })},
		{SignatureLong, signature(func(b []byte) []byte { return append(b, 0) })},
		{SignatureZero, signature(func([]byte) []byte { return make([]byte, 96) })},
		{SignatureDER, signature(asDER)},
		{SignatureForged, by(stranger)},
		{SignatureOfCA, by(rankInstance)},
		{SignatureOfRoot, by(rankRoot)},
		{SignatureOfContext, func(_ *Module, p *plan) { p.context = "Signature" }},
		{SignatureOfPayload, func(_ *Module, p *plan) { p.bare = true }},

		{HeaderES256, header(0xa1, 0x01, 0x26)},
		{HeaderES512, header(0xa1, 0x01, 0x38, 0x23)},
		{HeaderText, header(append([]byte{0xa1, 0x01, 0x65}, "ES384"...)...)},
		{HeaderWithout, header(0xa0)},
		{HeaderMore, header(0xa2, 0x01, 0x38, 0x22, 0x04, 0x41, 0x31)},
		{HeaderLongForm, header(0xa1, 0x01, 0x39, 0x00, 0x22)},
		{HeaderEmpty, header()},
		{HeaderNull, whole(func(b []byte) []byte { return bytes.Replace(b, bytesOf(headerES384), []byte{0xf6}, 1) })},
		{HeaderUnprotected, unprotected(headerES384...)},
		{HeaderMovedOut, func(_ *Module, p *plan) { p.protected, p.unprotected = nil, headerES384 }},
		{HeaderCritical, unprotected(0xa1, 0x02, 0x81, 0x04)},
		{UnprotectedBytes, unprotected(0x40)},
		{UnprotectedNull, unprotected(0xf6)},
		{UnprotectedLongForm, unprotected(0xb8, 0x00)},
	}
}

// payloadHead is what stands before the payload's length: the empty unprotected header, and the head of a long byte string.
var payloadHead = []byte{0xa0, 0x59}

// replaceHead changes the head that ends with the bytes of what, which are found once, before the payload.
func replaceHead(b, what []byte, head byte) []byte {
	i := bytes.Index(b, what)
	b[i+len(what)-1] = head
	return b
}

// replaceStart puts other bytes in the place of the first, if it is the given one, or the second behind a tag, and some at the end.
func replaceStart(first byte, start, end []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		i := bytes.IndexByte(b[:2], first)
		return slices.Concat(b[:i], start, b[i+1:], end)
	}
}

// flipAfter changes the byte that follows the head of the value behind a name.
func flipAfter(b []byte, name string) []byte {
	b = bytes.Clone(b)
	b[bytes.Index(b, []byte(name))+len(name)+8] ^= 1
	return b
}

// asDER is a raw signature as X.509 has it.
func asDER(raw []byte) []byte {
	sig := struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:48]), new(big.Int).SetBytes(raw[48:])}
	der, err := asn1.Marshal(sig)
	if err != nil {
		panic("nitrotest: " + err.Error()) // two numbers always encode
	}
	return der
}
