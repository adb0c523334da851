package credential

import (
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// hmacSigned is a token whose HMAC key is the text of a public key, which everybody knows.
func hmacSigned(t *testing.T, kid, secret string) string {
	payload, err := json.Marshal(with(nil))
	if err != nil {
		t.Fatal(err)
	}
	text := b64(`{"typ":"JWT","alg":"HS256","kid":"`+kid+`"}`) + "." + b64(string(payload))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func publicPEM(t *testing.T, key crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// headed is a good token under another header: it is signed, and the signature counts for nothing.
func headed(t *testing.T, header string) string {
	parts := strings.Split(mint(t, "ES256", nil), ".")
	return b64(header) + "." + parts[1] + "." + parts[2]
}

// as is a token that is signed with one algorithm under the id of another's key.
func as(t *testing.T, alg, kid string) string {
	payload, _ := json.Marshal(with(nil))
	raw, err := jose.Sign(jose.Header{Algorithm: alg, KeyID: kid, Type: "JWT"}, payload, signers()[alg])
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestTokensRefuses(t *testing.T) {
	a := tokens(t)
	n := func(s string) json.Number { return json.Number(s) }
	claim := func(c claims) string { return mint(t, "ES256", c) }
	for name, c := range map[string]struct {
		token string
		fault ctb.Fault // empty: the token is good
	}{
		// When it ends.
		"exp of 2^64-1":           {claim(claims{"exp": n("18446744073709551615")}), ""},
		"exp of 2^64":             {claim(claims{"exp": n("18446744073709551616")}), ""},
		"exp beyond every float":  {claim(claims{"exp": n("1e999")}), ""},
		"a floating exp":          {claim(claims{"exp": float64(now.Unix()) + 0.5}), ""},
		"exp in exponent form":    {claim(claims{"exp": n("1.9e9")}), ""},
		"exp within the leeway":   {claim(claims{"exp": now.Unix() - 60}), ""},
		"exp beyond the leeway":   {claim(claims{"exp": now.Unix() - 61}), ctb.Expired},
		"a floating exp too late": {claim(claims{"exp": float64(now.Unix()) - 61.5}), ctb.Expired},
		"exp of 0":                {claim(claims{"exp": 0}), ctb.Expired},
		"a negative exp":          {claim(claims{"exp": -1}), ctb.Expired},
		"exp of -2^63-1":          {claim(claims{"exp": n("-9223372036854775809")}), ctb.Expired},
		"exp of -1e999":           {claim(claims{"exp": n("-1e999")}), ctb.Expired},
		"exp as a string":         {claim(claims{"exp": "1900000000"}), ctb.Malformed},
		"exp as a bool":           {claim(claims{"exp": true}), ctb.Malformed},
		"exp as null":             {signed(t, "ES256", `{"iss":"`+issuerName+`","aud":"`+audience+`","exp":null}`), ctb.Malformed},
		"no exp":                  {claim(claims{"exp": nil}), ctb.Malformed},
		"nbf to come":             {claim(claims{"nbf": now.Unix() + 61}), ctb.NotYetValid},

		// Whose it is, and for whom.
		"another issuer":   {claim(claims{"iss": "https://evil.example.com/"}), ctb.WrongIssuer},
		"no issuer":        {claim(claims{"iss": nil}), ctb.WrongIssuer},
		"another audience": {claim(claims{"aud": "https://other.example.com"}), ctb.WrongAudience},
		"no audience":      {claim(claims{"aud": nil}), ctb.WrongAudience},
		"an access token, where id tokens are asked for": {headed(t, `{"typ":"at+jwt","alg":"ES256","kid":"ES256"}`), ctb.WrongType},
		"a logout token": {headed(t, `{"typ":"logout+jwt","alg":"ES256","kid":"ES256"}`), ctb.WrongType},

		// Algorithms.
		"none":                           {headed(t, `{"alg":"none","kid":"ES256"}`), ctb.BadSignature},
		"nOnE without a signature":       {b64(`{"alg":"nOnE"}`) + "." + strings.Split(claim(nil), ".")[1] + ".", ctb.Malformed},
		"HS256 with an RSA key's PEM":    {hmacSigned(t, "RS256", publicPEM(t, signers()["RS256"].Public())), ctb.BadSignature},
		"HS256 with an EC key's PEM":     {hmacSigned(t, "ES256", publicPEM(t, signers()["ES256"].Public())), ctb.BadSignature},
		"HS256 with nothing":             {hmacSigned(t, "ES256", ""), ctb.BadSignature},
		"PS256 under a key for RS256":    {as(t, "PS256", "RS256"), ctb.BadSignature},
		"RS256 under an EC key":          {as(t, "RS256", "ES256"), ctb.BadSignature},
		"ES256 under an RSA key":         {as(t, "ES256", "RS256"), ctb.BadSignature},
		"ES256 under a key for ES384":    {as(t, "ES256", "ES384"), ctb.BadSignature},
		"EdDSA under an EC key":          {as(t, "EdDSA", "ES256"), ctb.BadSignature},
		"RS256 named ES256":              {headed(t, `{"alg":"RS256","kid":"ES256"}`), ctb.BadSignature},
		"an unknown key":                 {as(t, "ES256", "who"), ctb.UnknownKey},
		"a key that the token brings":    {headed(t, `{"alg":"ES256","jwk":{"kty":"EC"}}`), ctb.UnknownKey},
		"an address for keys":            {headed(t, `{"alg":"ES256","jku":"https://evil.example.com/"}`), ctb.UnknownKey},
		"a path as kid":                  {headed(t, `{"alg":"ES256","kid":"../../dev/null"}`), ctb.UnknownKey},
		"a good one, as a control":       {claim(nil), ""},
		"a good RS256, as a control":     {mint(t, "RS256", nil), ""},
		"a signature of zeros (ES256)":   {strings.Join(strings.Split(claim(nil), ".")[:2], ".") + "." + b64(strings.Repeat("\x00", 64)), ctb.BadSignature},
		"a signature in ASN.1 (ES256)":   {strings.Join(strings.Split(claim(nil), ".")[:2], ".") + "." + b64("\x30\x06\x02\x01\x01\x02\x01\x01"), ctb.BadSignature},
		"somebody else's signature":      {strings.Join(strings.Split(claim(nil), ".")[:2], ".") + "." + strings.Split(claim(claims{"sub": "bob"}), ".")[2], ctb.BadSignature},
		"the standard base64 alphabet":   {claim(nil)[:20] + "+/" + claim(nil)[22:], ctb.Malformed},
		"a token of more than 16 KiB":    {claim(claims{"x": strings.Repeat("x", 16<<10)}), ctb.Malformed},
		"16 MiB of nothing":              {strings.Repeat("a", 16<<20), ctb.Malformed},
		"a JWE":                          {"a.b.c.d.e", ctb.Malformed},
		"an unknown critical extension":  {headed(t, `{"alg":"ES256","kid":"ES256","crit":["x"],"x":1}`), ctb.Malformed},
		"a critical extension of ours":   {headed(t, `{"alg":"ES256","kid":"ES256","crit":["exp"]}`), ctb.Malformed},
		"no critical extensions":         {headed(t, `{"alg":"ES256","kid":"ES256","crit":[]}`), ctb.Malformed},
		"an unencoded payload":           {headed(t, `{"alg":"ES256","kid":"ES256","b64":false,"crit":["b64"]}`), ctb.Malformed},
		"an encoded payload, it says so": {headed(t, `{"alg":"ES256","kid":"ES256","b64":true}`), ctb.Malformed},
		"alg twice":                      {headed(t, `{"alg":"none","alg":"ES256","kid":"ES256"}`), ctb.Malformed},

		// Claims that two readers may read in two ways.
		"sub twice":             {signed(t, "ES256", `{"iss":"`+issuerName+`","aud":"`+audience+`","exp":1900000000,"sub":"alice","sub":"admin"}`), ctb.Malformed},
		"iss twice":             {signed(t, "ES256", `{"iss":"`+issuerName+`","iss":"`+issuerName+`","aud":"`+audience+`","exp":1900000000}`), ctb.Malformed},
		"a name twice, escaped": {signed(t, "ES256", `{"iss":"`+issuerName+`","aud":"`+audience+`","exp":1900000000,"sub":"a","s\u0075b":"b"}`), ctb.Malformed},
		"a name twice, below":   {signed(t, "ES256", `{"iss":"`+issuerName+`","aud":"`+audience+`","exp":1900000000,"x":{"y":1,"y":2}}`), ctb.Malformed},
	} {
		who, err := a.Authenticate(bearing(c.token))
		if c.fault == "" {
			if err != nil || who == nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		refusal := refused(t, who, err)
		if refusal.Reason != access.InvalidToken || refusal.Mode != access.JWT || refusal.Fault != c.fault {
			t.Errorf("%s: got %s %s: %v, want %s", name, refusal.Reason, refusal.Fault, refusal, c.fault)
		}
		if len(refusal.Fingerprint) != 12 || refusal.Fingerprint != hashed(c.token)[:12] {
			t.Errorf("%s: the fingerprint is %s", name, refusal.Fingerprint)
		}
		if len(c.token) > 20 && strings.Contains(refusal.Error()+refusal.Public, c.token[:20]) || !errors.Is(err, ctb.ErrInvalidToken) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
