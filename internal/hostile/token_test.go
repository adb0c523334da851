package hostile

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/devidp"
)

// party is somebody whose tokens are accepted somewhere: the issuer of access
// tokens, or the identity provider. A faulty token is made by both.
type party struct {
	header   string         // of a good token
	claims   map[string]any // of a good token
	sign     func(header, payload string) string
	jwks     []byte
	stranger *devidp.Key
	typ      string
	other    string // a type that is not accepted
}

// pair is one fault in an access token and in an id token.
type pair struct{ access, id string }

func (w *world) pair(fault func(p party) string) pair {
	access := party{
		header: string(w.key.Header(ctb.AccessToken)), jwks: w.jwks, stranger: w.stranger, typ: ctb.AccessToken, other: "JWT",
		claims: map[string]any{
			"iss": issuer, "aud": ctbtest.Audience, "sub": ctbtest.Subject, "client_id": ctbtest.ClientID, "jti": "1",
			"iat": w.now.Unix(), "exp": w.now.Add(time.Hour).Unix(),
		},
		sign: func(header, payload string) string { return made(w.key.Sign([]byte(header), []byte(payload))) },
	}
	id := party{header: w.idp.Header(), jwks: w.idp.JWKS(), stranger: w.stranger, typ: "JWT", other: ctb.AccessToken, sign: w.idp.Sign}
	if err := json.Unmarshal(made(b64.DecodeString(strings.Split(w.idp.Token(nil), ".")[1])), &id.claims); err != nil {
		panic(err)
	}
	for _, name := range []string{"exp", "iat"} {
		id.claims[name] = access.claims[name] // whole numbers, not floats
	}
	return pair{fault(access), fault(id)}
}

var b64 = base64.RawURLEncoding

func (p party) good() string { return p.with(nil) }

// with changes claims of a good token; nil takes one away.
func (p party) with(changes map[string]any) string {
	return p.sign(p.header, p.payload(changes))
}

func (p party) payload(changes map[string]any) string {
	all := maps.Clone(p.claims)
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return string(made(json.Marshal(all)))
}

// said puts text at the beginning of the claims.
func (p party) said(text string) string {
	return p.sign(p.header, strings.Replace(p.payload(nil), "{", "{"+text+",", 1))
}

// headed replaces a text of the header.
func (p party) headed(old, new string) string {
	if !strings.Contains(p.header, old) {
		panic("no " + old + " in " + p.header)
	}
	return p.sign(strings.Replace(p.header, old, new, 1), p.payload(nil))
}

// cut returns the parts of a good token.
func (p party) cut() (header, payload, signature string) {
	parts := strings.Split(p.good(), ".")
	return parts[0], parts[1], parts[2]
}

// kid replaces the key id.
func (p party) kid(text string) string {
	_, rest, _ := strings.Cut(p.header, `"kid":`)
	id := rest[:strings.Index(rest[1:], `"`)+2]
	return p.headed(`"kid":`+id, `"kid":`+text)
}

// forged is signed by a key that nobody trusts.
func (p party) forged(header string) string {
	return made(p.stranger.Sign([]byte(header), []byte(p.payload(nil))))
}

func (p party) hmac() string {
	input := b64.EncodeToString([]byte(strings.Replace(p.header, "ES256", "HS256", 1))) + "." + b64.EncodeToString([]byte(p.payload(nil)))
	mac := hmac.New(sha256.New, p.jwks) // what an attacker knows, taken for a secret
	mac.Write([]byte(input))
	return input + "." + b64.EncodeToString(mac.Sum(nil))
}

// stray sets a bit of the last character that encodes nothing.
func stray(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(alphabet[strings.IndexByte(alphabet, token[last])+1])
}

func tokens(w *world) *table[pair] {
	const sts = "ctb-broker /stsToken"
	noIssuer := but{sts: "400 invalid_request"} // there is nobody to ask whether it is good
	noRule := but{sts: "403 invalid_request"}   // good, but for nobody here
	past, future := w.now.Add(-2*time.Minute).Unix(), w.now.Add(time.Hour).Unix()
	var faults []fault[pair]
	add := func(name, want string, but but, make func(p party) string) {
		faults = append(faults, fault[pair]{name, w.pair(make), want, but})
	}

	// Its form.
	add("one part", "token has 1 parts", noIssuer, func(p party) string { return "token" })
	add("two parts", "token has 2 parts", noIssuer, func(p party) string { h, b, _ := p.cut(); return h + "." + b })
	add("four parts", "token has 4 parts", nil, func(p party) string { return p.good() + ".e30" })
	add("encrypted", "token has 5 parts", noIssuer, func(p party) string { return "eyJhbGciOiJSU0EtT0FFUCJ9.x.x.x.x" })
	add("no signature", "token has no signature", nil, func(p party) string { h, b, _ := p.cut(); return h + "." + b + "." })
	add("padded", "signature: not base64url", nil, func(p party) string { return p.good() + "==" })
	add("stray bits", "signature: not base64url", nil, func(p party) string { return stray(p.good()) })
	add("standard base64", "payload: not base64url", noIssuer, func(p party) string { h, b, s := p.cut(); return h + "." + b[:8] + "+/" + b[10:] + "." + s })
	add("17 KiB", "at most 16384", noIssuer, func(p party) string { return p.with(map[string]any{"more": strings.Repeat("x", 13<<10)}) })
	add("spelt twice", "token has 5 parts", nil, func(p party) string { return p.good() + p.good() })

	// Its header.
	add("header is no base64", "header: not base64url", nil, func(p party) string { _, b, s := p.cut(); return "{}." + b + "." + s })
	add("header is no JSON", "header: not JSON at byte 0", nil, func(p party) string { return p.sign("alg=ES256", p.payload(nil)) })
	add("header is an array", "header: not a JSON object", nil, func(p party) string { return p.sign("["+p.header+"]", p.payload(nil)) })
	add("header with a byte order mark", "header: not JSON at byte 0", nil, func(p party) string { return p.sign("\ufeff"+p.header, p.payload(nil)) })
	add("two headers", "header: not JSON at byte", nil, func(p party) string { return p.sign(p.header+p.header, p.payload(nil)) })
	add("header nested without an end", "header: not JSON at byte", nil, func(p party) string { return p.sign(`{"x":`+strings.Repeat(`{"x":`, 1000), p.payload(nil)) })
	add("member twice", "a member name stands twice", nil, func(p party) string { return p.headed("{", `{"alg":"ES256",`) })
	add("member twice, escaped", "a member name stands twice", nil, func(p party) string { return p.headed("{", `{"\u0061lg":"ES256",`) })
	add("no algorithm", "alg is missing", nil, func(p party) string { return p.headed(`"alg"`, `"Alg"`) })
	add("algorithm as a number", "header: alg", nil, func(p party) string { return p.headed(`"ES256"`, "256") })
	add("alg none", "its key is for ES256 alone", nil, func(p party) string { return p.headed("ES256", "none") })
	add("alg none, unsigned", "token has no signature", nil, func(p party) string {
		return b64.EncodeToString([]byte(strings.Replace(p.header, "ES256", "none", 1))) + "." + b64.EncodeToString([]byte(p.payload(nil))) + "."
	})
	add("alg HS256, keyed with the JWKS", "its key is for ES256 alone", nil, func(p party) string { return p.hmac() })
	add("alg of another family", "its key is for ES256 alone", nil, func(p party) string { return p.headed("ES256", "RS256") })
	add("alg of another hash", "its key is for ES256 alone", nil, func(p party) string { return p.headed("ES256", "ES384") })
	add("alg in lower case", "its key is for ES256 alone", nil, func(p party) string { return p.headed("ES256", "es256") })
	add("crit", "crit is not supported", nil, func(p party) string { return p.headed("{", `{"crit":["exp"],`) })
	add("b64 false", "b64 is not supported", nil, func(p party) string { return p.headed("{", `{"b64":false,`) })
	add("another type", "of another type", nil, func(p party) string { return p.headed(`"`+p.typ+`"`, `"`+p.other+`"`) })
	add("type as a number", "header: typ", nil, func(p party) string { return p.headed(`"`+p.typ+`"`, "1") })
	add("unknown key id", "unknown key", nil, func(p party) string { return p.kid(`"mine"`) })
	add("key id is a path", "unknown key", nil, func(p party) string { return p.kid(`"../../../dev/null"`) })
	add("key id with control characters", "unknown key", nil, func(p party) string { return p.kid(`"a\r\nX-Admin: 1\u0000\u001b[2J"`) })
	add("key id of SQL", "unknown key", nil, func(p party) string { return p.kid(`"' OR 1=1 --"`) })
	add("key id of 4 KiB", "unknown key", nil, func(p party) string { return p.kid(`"` + strings.Repeat("k", 4096) + `"`) })
	add("key id as an array", "header: kid", nil, func(p party) string { return p.kid(`["mine"]`) })
	add("key id with a surrogate half", "header: ", nil, func(p party) string { return p.kid(`"\ud800"`) })

	// Its signature.
	add("forged", "signature is wrong", nil, func(p party) string { return p.forged(p.header) })
	add("forged, with the key inside", "signature is wrong", nil, func(p party) string {
		return p.forged(strings.Replace(p.header, "{", `{"jwk":`+jwk(p.stranger, "x")+`,`, 1))
	})
	add("forged, with a place for keys", "signature is wrong", nil, func(p party) string {
		return p.forged(strings.Replace(p.header, "{", `{"jku":"https://mallory.example/jwks","x5u":"https://mallory.example/x5u",`, 1))
	})
	add("payload of another token", "signature is wrong", nil, func(p party) string {
		h, _, s := p.cut()
		return h + "." + b64.EncodeToString([]byte(p.payload(map[string]any{"sub": "root"}))) + "." + s
	})
	add("header of another token", "signature is wrong", nil, func(p party) string {
		_, b, s := p.cut()
		return b64.EncodeToString([]byte(strings.Replace(p.header, "{", "{ ", 1))) + "." + b + "." + s
	})
	add("signature of zeros", "signature is wrong", nil, func(p party) string {
		h, b, _ := p.cut()
		return h + "." + b + "." + strings.Repeat("A", 86)
	})
	add("signature a byte short", "signature is wrong", nil, func(p party) string {
		h, b, s := p.cut()
		return h + "." + b + "." + b64.EncodeToString(made(b64.DecodeString(s))[:63])
	})
	add("signature a byte long", "signature is wrong", nil, func(p party) string {
		h, b, s := p.cut()
		return h + "." + b + "." + b64.EncodeToString(append([]byte{0}, made(b64.DecodeString(s))...))
	})
	add("signature in DER", "signature is wrong", nil, func(p party) string {
		h, b, s := p.cut()
		raw := made(b64.DecodeString(s))
		der := append([]byte{0x30, 70, 2, 33, 0}, raw[:32]...)
		return h + "." + b + "." + b64.EncodeToString(append(append(der, 2, 33, 0), raw[32:]...))
	})

	// Its claims.
	add("payload is empty", "not a JSON object", noIssuer, func(p party) string { return p.sign(p.header, "") })
	add("payload is an array", "not a JSON object", noIssuer, func(p party) string { return p.sign(p.header, "["+p.payload(nil)+"]") })
	add("payload with a byte order mark", "not JSON at byte 0", noIssuer, func(p party) string { return p.sign(p.header, "\ufeff"+p.payload(nil)) })
	add("payload of invalid UTF-8", "not JSON at byte 6", noIssuer, func(p party) string { return p.sign(p.header, "{\"a\":\"\xff\","+p.payload(nil)[1:]) })
	add("payload with a further object", "the text goes on behind the object", nil, func(p party) string { return p.sign(p.header, p.payload(nil)+"{}") })
	add("payload nested without an end", "not JSON at byte 6005", noIssuer, func(p party) string { return p.said(`"x":` + strings.Repeat("[", 6000)) })
	add("claim twice", "a member name stands twice", noIssuer, func(p party) string { return p.said(`"x":1,"x":2`) })
	add("issuer twice", "a member name stands twice", nil, func(p party) string { return p.said(fmt.Sprintf(`"iss":%q`, p.claims["iss"])) })
	add("expired", "has expired", nil, func(p party) string { return p.with(map[string]any{"exp": past}) })
	add("no expiry", "exp is missing", nil, func(p party) string { return p.with(map[string]any{"exp": nil}) })
	add("expiry as text", "exp has the wrong type", nil, func(p party) string { return p.with(map[string]any{"exp": fmt.Sprint(future)}) })
	add("expiry null", "exp has the wrong type", nil, func(p party) string {
		return p.sign(p.header, `{"exp":null,`+p.payload(map[string]any{"exp": nil})[1:])
	})
	add("expiry below all time", "has expired", nil, func(p party) string { return p.with(map[string]any{"exp": json.RawMessage("-1e400")}) })
	add("not yet valid", "not yet valid", nil, func(p party) string { return p.with(map[string]any{"nbf": future}) })
	add("valid from the end of time", "not yet valid", nil, func(p party) string { return p.with(map[string]any{"nbf": json.RawMessage("1e400")}) })
	add("issued at a text", "iat has the wrong type", nil, func(p party) string { return p.with(map[string]any{"iat": "now"}) })
	add("another issuer", "another issuer", nil, func(p party) string { return p.with(map[string]any{"iss": "https://mallory.example"}) })
	add("issuer with another slash", "another issuer", nil, func(p party) string { return p.with(map[string]any{"iss": fmt.Sprint(p.claims["iss"], "/")}) })
	add("no issuer", "another issuer", noIssuer, func(p party) string { return p.with(map[string]any{"iss": nil}) })
	add("a list of issuers", "iss", noIssuer, func(p party) string { return p.with(map[string]any{"iss": []any{p.claims["iss"]}}) })
	add("another audience", "another audience", noRule, func(p party) string { return p.with(map[string]any{"aud": "https://mallory.example"}) })
	add("no audience", "another audience", noRule, func(p party) string { return p.with(map[string]any{"aud": nil}) })
	add("audience with a space", "another audience", noRule, func(p party) string { return p.with(map[string]any{"aud": fmt.Sprint(p.claims["aud"], " ")}) })
	add("audience as a number", "aud has the wrong type", nil, func(p party) string { return p.with(map[string]any{"aud": 7}) })
	add("audience within an array", "wrong type", nil, func(p party) string { return p.with(map[string]any{"aud": []any{[]any{p.claims["aud"]}}}) })
	add("subject as a number", "sub", nil, func(p party) string { return p.with(map[string]any{"sub": 7}) })
	add("scope as an object", "scope has the wrong type", nil, func(p party) string { return p.with(map[string]any{"scope": map[string]any{"admin": true}}) })

	return &table[pair]{
		kind: "token", faults: faults, doors: tokenDoors(w),
		good: w.pair(party.good),
		secret: func(x pair) []string { // whole tokens, and signatures
			var all []string
			for _, token := range []string{x.access, x.id} {
				if parts := strings.Split(token, "."); len(token) > 64 && len(parts) > 2 && len(parts[2]) > 64 {
					all = append(all, token, parts[2])
				}
			}
			return all
		},
	}
}

func tokenDoors(w *world) []door[pair] {
	config := ctb.Config{Issuer: issuer, Audience: ctbtest.Audience, Keys: made(ctb.ParseKeys(w.jwks))}
	verifier := made(ctb.NewVerifier(config))
	server := httptest.NewServer(verifier.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	w.t.Cleanup(server.Close)
	gateway := w.startGateway()
	verify := func(flags ...string) func(t *testing.T, x pair) answer {
		flags = append([]string{"verify", "-", "--json", "--jwks", w.path("jwks.json"), "--issuer", issuer, "--audience", ctbtest.Audience}, flags...)
		return func(t *testing.T, x pair) answer { return call(t, []byte(x.access), exits{1}, "ctb", flags...) }
	}
	return []door[pair]{
		{name: "ctb.Verifier", open: func(t *testing.T, x pair) answer {
			_, err := verifier.Verify(t.Context(), x.access)
			return of(err)
		}},
		{name: "ctb.Protect", want: "401 invalid_token", open: func(t *testing.T, x pair) answer {
			return ask(t, w.client(w.trust), bearer(t, server.URL, x.access))
		}},
		{name: "ctb-gateway", want: "401 invalid_token", open: func(t *testing.T, x pair) answer {
			return ask(t, w.client(w.trust), bearer(t, "https://"+gateway+"/page", x.access))
		}},
		{name: "ctb verify --unattested", open: verify("--unattested")},
		{name: "ctb verify --policy", open: verify("--policy", w.path("policy.yaml"), "--collateral", w.path("collateral.json"))},
		{name: "ctb-broker /token", want: "400 invalid_request", open: func(t *testing.T, x pair) answer {
			return w.post(t, "/token", "application/x-www-form-urlencoded", form(x.id).Encode())
		}},
		{name: "ctb-broker /stsToken", want: "401 invalid_request", open: func(t *testing.T, x pair) answer {
			return w.post(t, "/stsToken", "application/json", string(made(json.Marshal(map[string]string{"id_token": x.id}))))
		}},
	}
}

// form is a good request for an id token.
func form(id string) url.Values {
	return url.Values{"grant_type": {exchange.GrantType}, "subject_token": {id}, "subject_token_type": {exchange.TypeIDToken}}
}

// post sends a body to the running broker.
func (w *world) post(t *testing.T, path, contentType, body string) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "https://"+w.broker(t)+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	return ask(t, w.client(nil), r)
}

// startGateway runs ctb-gateway before the attested key set, for as long as the world is.
func (w *world) startGateway() string {
	config := w.beside(w.t, "gateway.yaml", []byte(w.gatewayText(w.files.once(w.jwks))), gatewayFiles...)
	s := start(w.t, "ctb-gateway", "-config", config)
	address, ok := s.address(w.t, `"msg":"listening"`)
	if !ok {
		w.t.Fatalf("ctb-gateway does not start: %s", s.logged())
	}
	return address
}
