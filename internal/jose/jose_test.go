package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"
)

// testKeys has one key for each family, made once.
var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	must := func(k crypto.Signer, err error) crypto.Signer {
		if err != nil {
			panic(err)
		}
		return k
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	r := must(rsa.GenerateKey(rand.Reader, 2048))
	return map[string]crypto.Signer{
		RS256: r, RS384: r, RS512: r, PS256: r, PS384: r, PS512: r,
		ES256: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
		ES384: must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		EdDSA: must(ed, err),
	}
})

func TestSignedTokensVerifyHereAndInGoJose(t *testing.T) {
	for _, alg := range Algorithms() {
		key := testKeys()[alg]
		raw, err := Sign(Header{Algorithm: alg, KeyID: "k1", Type: "at+jwt"}, []byte(`{"a":1}`), key)
		if err != nil {
			t.Fatal(alg, err)
		}
		m, err := Parse(raw)
		if err != nil {
			t.Fatal(alg, err)
		}
		if want := (Header{Algorithm: alg, KeyID: "k1", Type: "at+jwt"}); m.Header != want || string(m.Payload) != `{"a":1}` {
			t.Errorf("%s: got %+v and %q", alg, m.Header, m.Payload)
		}
		if err := m.Verify(alg, key.Public()); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		theirs, err := gojose.ParseSignedCompact(raw, []gojose.SignatureAlgorithm{gojose.SignatureAlgorithm(alg)})
		if err != nil {
			t.Fatal(alg, err)
		}
		if payload, err := theirs.Verify(key.Public()); err != nil || string(payload) != `{"a":1}` {
			t.Errorf("%s: go-jose got %q, %v", alg, payload, err)
		}
	}
}

func TestGoJoseTokensVerify(t *testing.T) {
	for _, alg := range Algorithms() {
		key := testKeys()[alg]
		signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.SignatureAlgorithm(alg), Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := signer.Sign([]byte("payload"))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse(raw)
		if err != nil {
			t.Fatal(alg, err)
		}
		if err := m.Verify(alg, key.Public()); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		for i := range m.Signature {
			m.Signature[i] ^= 1
			if m.Verify(alg, key.Public()) == nil {
				t.Errorf("%s: accepted with bit 0 of signature byte %d flipped", alg, i)
			}
			m.Signature[i] ^= 1
		}
	}
}

func TestKeyDecidesTheAlgorithm(t *testing.T) {
	for signed, key := range testKeys() {
		raw, err := Sign(Header{Algorithm: signed}, []byte("x"), key)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range append(Algorithms(), "none", "HS256", "") {
			if err := m.Verify(want, key.Public()); (err == nil) != (want == signed) {
				t.Errorf("signed with %s, verified as %s: %v", signed, want, err)
			}
		}
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestParseRefuses(t *testing.T) {
	const sig = ".c2ln"
	good := b64(`{"alg":"ES256"}`) + "." + b64(`{}`)
	for name, c := range map[string]struct{ token, want string }{
		"nothing":                      {"", "1 parts"},
		"one part":                     {"abc", "1 parts"},
		"two parts":                    {good, "2 parts"},
		"four parts":                   {good + sig + sig, "4 parts"},
		"an empty signature":           {good + ".", "no signature"},
		"an oversize token":            {good + "." + strings.Repeat("A", MaxSize), "at most 16384"},
		"padding in the header":        {"eyJhbGciOiJFUzI1NiJ9=." + b64("{}") + sig, "header: not base64url at byte 20"},
		"padding in the payload":       {b64(`{"alg":"ES256"}`) + ".e30=" + sig, "payload: not base64url at byte 3"},
		"padding in the signature":     {good + ".c2lnYQ==", "signature: not base64url at byte 6"},
		"stray bits in the signature":  {good + ".c2lnYR", "signature: not base64url at byte 4"},
		"the standard alphabet":        {good + ".+/+/", "signature: not base64url at byte 0"},
		"a line break":                 {good + ".c2\nln", "signature: line break at byte 2"},
		"a trailing line break":        {good + sig + "\n", "signature: line break at byte 4"},
		"a space":                      {good + ". c2ln", "not base64url"},
		"a header that is no JSON":     {b64("alg") + ".e30" + sig, "header: not JSON at byte 0"},
		"an empty header":              {".e30" + sig, "header: not a JSON object"},
		"a header that is an array":    {b64(`["ES256"]`) + ".e30" + sig, "not a JSON object"},
		"no alg":                       {b64(`{}`) + ".e30" + sig, "alg is missing"},
		"ALG":                          {b64(`{"ALG":"ES256"}`) + ".e30" + sig, "alg is missing"},
		"an alg that is a number":      {b64(`{"alg":1}`) + ".e30" + sig, "alg has the wrong type"},
		"alg null":                     {b64(`{"alg":null}`) + ".e30" + sig, "alg has the wrong type"},
		"alg twice":                    {b64(`{"alg":"ES256","alg":"none"}`) + ".e30" + sig, "stands twice"},
		"alg twice, once in escapes":   {b64(`{"alg":"ES256","\u0061lg":"none"}`) + ".e30" + sig, "stands twice"},
		"an unknown name twice":        {b64(`{"alg":"ES256","x":1,"x":2}`) + ".e30" + sig, "stands twice"},
		"crit":                         {b64(`{"alg":"ES256","crit":["exp"]}`) + ".e30" + sig, "crit is not supported"},
		"an empty crit":                {b64(`{"alg":"ES256","crit":[]}`) + ".e30" + sig, "crit is not supported"},
		"a null crit":                  {b64(`{"alg":"ES256","crit":null}`) + ".e30" + sig, "crit is not supported"},
		"b64 false":                    {b64(`{"alg":"ES256","b64":false}`) + ".e30" + sig, "b64 is not supported"},
		"b64 true":                     {b64(`{"alg":"ES256","b64":true}`) + ".e30" + sig, "b64 is not supported"},
		"two JSON values":              {b64(`{"alg":"ES256"}{}`) + ".e30" + sig, "not JSON"},
		"invalid UTF-8 in the header":  {b64("{\"alg\":\"ES256\",\"x\":\"\xff\"}") + ".e30" + sig, "not JSON"},
		"a kid that is a number":       {b64(`{"alg":"ES256","kid":7}`) + ".e30" + sig, "kid has the wrong type"},
		"the JSON serialisation":       {`{"payload":"e30","signatures":[]}`, "1 parts"},
		"JSON with dots in its string": {`{"payload":"a.b.c"}`, "header: not base64url"},
	} {
		m, err := Parse(c.token)
		if err == nil {
			t.Errorf("%s: accepted: %+v", name, m)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, want %q in it", name, err, c.want)
		}
	}
}

func TestThumbprint(t *testing.T) {
	// The example of RFC 7638 section 3.1 and that of RFC 8037 appendix A.3.
	set, err := ParseSet([]byte(`{"keys":[
		{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"},
		{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"ed"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"} {
		if got, err := Thumbprint(set[i].Key); err != nil || got != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}

func TestKeysSurviveTheirJWK(t *testing.T) {
	for _, alg := range Algorithms() {
		want := JWK{KeyID: "k", Algorithm: alg, Key: testKeys()[alg].Public(), Certificate: [][]byte{{1, 2, 3}, {4}}}
		text, err := MarshalJWK(want)
		if err != nil {
			t.Fatal(err)
		}
		var theirs gojose.JSONWebKey
		if bare, _ := MarshalJWK(JWK{KeyID: "k", Algorithm: alg, Key: want.Key}); theirs.UnmarshalJSON(bare) != nil || !theirs.Valid() || !SameKey(theirs.Key, want.Key) {
			t.Errorf("%s: go-jose does not read %s", alg, bare)
		}
		set, err := ParseSet([]byte(`{"keys":[` + string(text) + `]}`))
		if err != nil || len(set) != 1 || set[0].Err != nil {
			t.Fatal(alg, err, set)
		}
		got := set[0]
		if got.KeyID != want.KeyID || got.Algorithm != alg || !SameKey(got.Key, want.Key) || len(got.Certificate) != 2 || !bytes.Equal(got.Certificate[0], want.Certificate[0]) {
			t.Errorf("%s: got %+v", alg, got)
		}
	}
}

func TestParseSetKeepsGoingPastOddKeys(t *testing.T) {
	ec, err := MarshalJWK(JWK{KeyID: "good", Algorithm: ES256, Key: testKeys()[ES256].Public()})
	if err != nil {
		t.Fatal(err)
	}
	good := strings.TrimSuffix(string(ec), "}")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Skip("this machine makes no 1024-bit RSA keys:", err)
	}
	short, _ := MarshalJWK(JWK{KeyID: "x", Algorithm: RS256, Key: &small.PublicKey})
	for name, c := range map[string]struct{ key, want string }{
		"symmetric":              {`{"kty":"oct","kid":"x","k":"AAAA"}`, "private or symmetric"},
		"private":                {good + `,"kid2":1,"d":"AAAA"}`, "private or symmetric"},
		"for encryption":         {strings.Replace(good, `"sig"`, `"enc"`, 1) + "}", `want "sig"`},
		"key_ops without verify": {good + `,"key_ops":["sign"]}`, `don't have "verify"`},
		"another alg":            {strings.Replace(good, `"ES256"`, `"RS256"`, 1) + "}", "can't be used with RS256"},
		"HS256 over an EC key":   {strings.Replace(good, `"ES256"`, `"HS256"`, 1) + "}", "not supported"},
		"alg none":               {strings.Replace(good, `"ES256"`, `"none"`, 1) + "}", "not supported"},
		"another curve":          {strings.Replace(good, `"P-256"`, `"P-521"`, 1) + "}", `curve "P-521" is not supported`},
		"secp256k1":              {strings.Replace(good, `"P-256"`, `"secp256k1"`, 1) + "}", "is not supported"},
		"off the curve":          {`{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 42) + `E","y":"` + strings.Repeat("A", 42) + `E"}`, "not on P-256"},
		"a short coordinate":     {`{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}`, "want 32 each"},
		"no coordinate":          {`{"kty":"EC","crv":"P-256"}`, `"x" is missing`},
		"RSA of 1024 bits":       {string(short), "has 1024 bits"},
		"RSA without e":          {`{"kty":"RSA","n":"AQAB"}`, `"e" is missing`},
		"RSA with an even e":     {`{"kty":"RSA","n":"` + strings.Repeat("_", 341) + `w","e":"Ag"}`, "exponent"},
		"RSA with a huge e":      {`{"kty":"RSA","n":"` + strings.Repeat("_", 341) + `w","e":"_____w"}`, "above 2^31-1"},
		"RSA with a huge n":      {`{"kty":"RSA","n":"` + strings.Repeat("_", 4000) + `","e":"AQAB"}`, "at most 1024"},
		"a number for kid":       {`{"kty":"EC","kid":1}`, "/kid has the wrong type"},
		"kty twice":              {`{"kty":"EC","kty":"RSA"}`, "stands twice"},
		"no object":              {`7`, "not a JSON object"},
		"x5c that is no base64":  {good + `,"x5c":["*"]}`, `"x5c"[0] is not base64`},
		"x5c with line breaks":   {good + `,"x5c":["AA\nAA"]}`, `"x5c"[0] is not base64`},
		"too long a chain":       {good + `,"x5c":[` + strings.Repeat(`"",`, 10) + `""]}`, "at most 10"},
		"Ed25519 of 31 bytes":    {`{"kty":"OKP","crv":"Ed25519","x":"` + strings.Repeat("A", 42) + `"}`, "has 31 bytes"},
		"X25519":                 {`{"kty":"OKP","crv":"X25519","x":"AAAA"}`, "not supported"},
	} {
		if c.key == `{"kty":"EC","kty":"RSA"}` { // a duplicate name makes the whole text ambiguous
			if _, err := ParseSet([]byte(`{"keys":[` + c.key + `]}`)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", name, err, c.want)
			}
			continue
		}
		odd := strings.Replace(c.key, `"kid":"good"`, `"kid":"odd"`, 1)
		set, err := ParseSet([]byte(`{"keys":[` + odd + "," + string(ec) + `]}`))
		if err != nil || len(set) != 2 {
			t.Errorf("%s: %v, %d keys", name, err, len(set))
			continue
		}
		if set[0].Err == nil || !strings.Contains(set[0].Err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, set[0].Err, c.want)
		}
		if set[0].Key != nil || set[1].Err != nil || set[1].Key == nil {
			t.Errorf("%s: the odd key is usable or the good one is not: %+v", name, set)
		}
	}
}

func TestParseSetRefuses(t *testing.T) {
	for name, c := range map[string]struct{ set, want string }{
		"HTML":          {"<html>", "not JSON"},
		"an array":      {"[]", "not a JSON object"},
		"no keys":       {"{}", `has no "keys"`},
		"keys null":     {`{"keys":null}`, `has no "keys"`},
		"keys a string": {`{"keys":"x"}`, "/keys has the wrong type"},
		"too many keys": {`{"keys":[` + strings.Repeat("{},", MaxKeys) + `{}]}`, "at most 100"},
		"too large":     {`{"keys":[` + strings.Repeat(" ", MaxSetSize) + `]}`, "at most 1048576"},
		"keys twice":    {`{"keys":[],"keys":[]}`, "stands twice"},
	} {
		if _, err := ParseSet([]byte(c.set)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
	}
	if set, err := ParseSet([]byte(`{"keys":[]}`)); err != nil || len(set) != 0 {
		t.Errorf("an empty set is valid, and empty: got %v, %v", set, err)
	}
}

func TestTwoKeysOfOneIDAreAmbiguous(t *testing.T) {
	a, _ := MarshalJWK(JWK{KeyID: "same", Algorithm: ES256, Key: testKeys()[ES256].Public()})
	b, _ := MarshalJWK(JWK{KeyID: "same", Algorithm: EdDSA, Key: testKeys()[EdDSA].Public()})
	set, err := ParseSet([]byte(`{"keys":[` + string(a) + "," + string(b) + `]}`))
	if err != nil || set[0].Err == nil || set[1].Err == nil {
		t.Errorf("got %v, %v", set, err)
	}
	set, err = ParseSet([]byte(`{"keys":[` + string(a) + "," + string(a) + `]}`))
	if err != nil || set[0].Err != nil || set[1].Err != nil {
		t.Errorf("the same key twice: got %v, %v", set, err)
	}
}

type brokenSigner struct{ crypto.Signer }

func (brokenSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("token slot is gone")
}

func TestSignRefuses(t *testing.T) {
	if _, err := Sign(Header{Algorithm: RS256}, nil, testKeys()[ES256]); err == nil {
		t.Error("RS256 with an EC key: accepted")
	}
	if _, err := Sign(Header{Algorithm: "none"}, nil, testKeys()[ES256]); err == nil {
		t.Error("none: accepted")
	}
	if _, err := Sign(Header{Algorithm: ES256, KeyID: "\xff"}, nil, testKeys()[ES256]); err == nil {
		t.Error("a kid that is no UTF-8: accepted")
	}
	if _, err := Sign(Header{Algorithm: ES256}, nil, brokenSigner{testKeys()[ES256]}); err == nil || !strings.Contains(err.Error(), "slot is gone") {
		t.Errorf("a broken signer: got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, key := range []string{RS256, ES256, EdDSA} {
		raw, err := Sign(Header{Algorithm: key, KeyID: "k", Type: "JWT"}, []byte(`{"iss":"x"}`), testKeys()[key])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, raw string) {
		m, err := Parse(raw)
		if err != nil {
			return
		}
		// Strict base64url has one spelling: what parses encodes to what was read.
		again := string(m.signed) + "." + base64url.EncodeToString(m.Signature)
		if again != raw || !strings.HasSuffix(string(m.signed), "."+base64url.EncodeToString(m.Payload)) {
			t.Errorf("%q parses, but encodes to %q", raw, again)
		}
		for alg, key := range testKeys() {
			_ = m.Verify(alg, key.Public())
		}
	})
}

func FuzzParseSet(f *testing.F) {
	for alg, key := range testKeys() {
		text, err := MarshalJWK(JWK{KeyID: "k", Algorithm: alg, Key: key.Public()})
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(`{"keys":[` + string(text) + `]}`))
	}
	f.Add([]byte(`{"keys":[{"kty":"oct"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","kid":"\u2028\ufeff","x5c":["","AA=="]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := ParseSet(data)
		if err != nil {
			return
		}
		for _, k := range set {
			if k.Err != nil {
				continue
			}
			if err := CheckKey(k.Algorithm, k.Key); err != nil {
				t.Errorf("an unusable key came through: %v", err)
			}
			text, err := MarshalJWK(k)
			if err != nil {
				t.Fatal(err)
			}
			// By itself: with what its set may leave out, it may be longer than a set.
			if again := parseJWK(text); again.Err != nil || !sameKey(again, k) || again.KeyID != k.KeyID || !reflect.DeepEqual(again.Certificate, k.Certificate) {
				t.Errorf("%s reads as another key: %v", text, again.Err)
			}
		}
	})
}
