package pcs

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// chain reads an issuer chain, PEM that is URL-encoded, from the first of the
// headers that is there. API version 3 has one of them under another name.
func chain(h http.Header, names ...string) (string, error) {
	for _, name := range names {
		value := h.Get(name)
		if value == "" {
			continue
		}
		// In a path, '+' is itself. Intel writes a space as %20, and '+' is a digit of base64.
		text, err := url.PathUnescape(value)
		if err != nil {
			return "", fmt.Errorf("header %s: it is not URL-encoded", name)
		}
		if !strings.HasPrefix(text, "-----BEGIN CERTIFICATE-----") || !printable(text) {
			return "", fmt.Errorf("header %s: want a chain of PEM certificates, URL-encoded", name)
		}
		return text, nil
	}
	return "", fmt.Errorf("the header %s is missing", names[0])
}

// printable tells whether the text is ASCII, as PEM is, without control characters but line breaks.
func printable(text string) bool {
	for i := range len(text) {
		if c := text[i]; c > 0x7e || c < 0x20 && c != '\n' && c != '\r' {
			return false
		}
	}
	return true
}

// cut cuts the signed object called name out of an answer
// {name: {…}, "signature": "hex"}, byte for byte as it came, since the signature is
// over these bytes and no other spelling of them. What is inside the object is for dcap to
// read, which holds it to one form; of the answer itself no name may come twice.
func cut(body []byte, name string) (object string, signature []byte, err error) {
	members, err := membersOf(body)
	if err != nil {
		return "", nil, err
	}
	inner, ok := members[name]
	if !ok || inner[0] != '{' {
		return "", nil, fmt.Errorf("want an object with the object %q and its signature", name)
	}
	var digits string
	if json.Unmarshal(members["signature"], &digits) != nil || len(digits) != 128 {
		return "", nil, errors.New("want a signature of 128 hex digits")
	}
	if signature, err = hex.DecodeString(digits); err != nil {
		return "", nil, errors.New("signature: want hex digits")
	}
	return string(inner), signature, nil
}

// maxMembers bounds the members of an answer; there are two.
const maxMembers = 16

// membersOf returns the members of a JSON object, each value as it is written.
func membersOf(body []byte) (map[string]json.RawMessage, error) {
	// From here on there is one value, well-formed, and nothing behind it.
	if !json.Valid(body) {
		return nil, errors.New("malformed JSON")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') {
		return nil, errors.New("want a JSON object")
	}
	members := map[string]json.RawMessage{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, _ := key.(string)
		for other := range members {
			if strings.EqualFold(other, name) {
				return nil, fmt.Errorf("a name comes twice: %.40q", name)
			}
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if members[name] = value; len(members) > maxMembers {
			return nil, fmt.Errorf("got more than %d members", maxMembers)
		}
	}
	return members, nil
}

// revocationList reads a revocation list that is DER, as Intel sends it, or
// hex of that or PEM, as some PCCS do. Whether the list is anybody's is not asked here.
func revocationList(body []byte) ([]byte, error) {
	der := body
	if len(body) == 0 || body[0] != 0x30 { // no text form of one begins with the tag of a DER sequence, '0'
		text := bytes.TrimSpace(body)
		if block, rest := pem.Decode(text); block != nil && block.Type == "X509 CRL" && len(bytes.TrimSpace(rest)) == 0 {
			der = block.Bytes
		} else if decoded, err := hex.DecodeString(string(text)); err == nil {
			der = decoded
		}
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil || len(list.Raw) != len(der) {
		return nil, errors.New("want a certificate revocation list (DER, or hex or PEM of it)")
	}
	return der, nil
}
