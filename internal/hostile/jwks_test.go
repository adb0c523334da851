package hostile

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/ctbtest"
)

// member returns the good key with a member of its JWK replaced; an empty text takes it away.
func (w *world) member(name, text string) string {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(jwk(w.key, w.key.ID, w.cert.Raw)), &members); err != nil {
		panic(err)
	}
	if members[name] = json.RawMessage(text); text == "" {
		delete(members, name)
	}
	return string(made(json.Marshal(members)))
}

// published is a key set, and the token that somebody wants to verify with it.
type published struct {
	jwks  []byte
	token string
}

// keySets are key sets in which the key that is wanted cannot be used by anybody.
func keySets(w *world) *table[published] {
	good := jwk(w.key, w.key.ID, w.cert.Raw)
	quoted := func(b []byte) string { return `"` + b64.EncodeToString(b) + `"` }
	point := made(w.key.Private.Public().(*ecdsa.PublicKey).Bytes())
	weak := made(rsa.GenerateKey(rand.Reader, 2048)).PublicKey
	weak.N.Rsh(weak.N, 1024)
	n := func(b []byte) string { return fmt.Sprintf(`{"kty":"RSA","kid":"k","e":"AQAB","n":%s}`, quoted(b)) }
	p384 := made(made(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)).PublicKey.Bytes())
	inspectText := but{"ctb inspect": "got neither evidence"}
	texts := []fault[[]byte]{
		// The text.
		{"empty", []byte{}, "JWK set: ", but{"ctb inspect": "got nothing", "ctb verify": "JWK set: "}},
		{"a web page", []byte("<html><body>Log in</body></html>"), "JWK set: ", inspectText},
		{"cut off", w.jwks[:len(w.jwks)-3], "JSON", nil},
		{"two documents", append(set(good), set(good)...), "JSON", nil},
		{"a byte order mark", append([]byte("\ufeff"), w.jwks...), "JSON", inspectText},
		{"UTF-16", []byte("{\x00\"\x00k\x00"), "JSON", nil},
		{"an array", []byte("[" + good + "]"), "JWK set: ", inspectText},
		{"null", []byte("null"), `JWK set has no "keys"`, inspectText},
		{"one key", []byte(good), `no "keys"`, but{"ctb inspect": "a single key"}},
		{"keys twice", []byte(`{"keys":[],"keys":[` + good + `]}`), "JSON", nil},
		{"keys as an object", []byte(`{"keys":{"1":` + good + `}}`), "JWK set: ", nil},
		{"keys in capitals", []byte(`{"Keys":[` + good + `]}`), `no "keys"`, but{"ctb inspect": `without "keys"`}},
		{"keys nested deeply", []byte(`{"keys":` + strings.Repeat("[", 20000)), "JSON", nil},
		{"1 MiB", set(strings.Repeat(" ", 1<<20) + good), "", but{
			"ctb.ParseKeys": "at most 1048576", "attest.ParseKeys": "at most 1048576", "ctb.RemoteKeys": "answer has more than 1048576 bytes",
			"attest.KeySet": "answer has more than 1048576 bytes", "ctb verify": "at most 1048576", "ctb-gateway": "answer has more than 1048576 bytes",
			"ctb inspect": "at most 1048576", "ctb.Protect": "503 temporarily_unavailable"}},
		{"101 keys", set(strings.Split(strings.Repeat(good+"\n", 100)+good, "\n")...), "101 keys, at most 100", nil},

		// The key.
		{"another type of key", set(w.member("kty", `"oct"`)), "not supported", nil},
		{"type in lower case", set(w.member("kty", `"ec"`)), "not supported", nil},
		{"type as a number", set(w.member("kty", "2")), "wrong type", nil},
		{"kty of RSA, members of EC", set(w.member("kty", `"RSA"`)), `"n" is missing`, nil},
		{"another curve", set(w.member("crv", `"secp256k1"`)), "not supported", nil},
		{"curve and coordinates differ", set(w.member("crv", `"P-384"`)), "want 48 each", nil},
		{"coordinates of P-384", set(strings.Replace(w.member("x", quoted(p384[1:49])), `"y":"`, `"y":`+quoted(p384[49:])+`,"z":"`, 1)), "want 32 each", nil},
		{"a point beside the curve", set(w.member("x", quoted(append([]byte{point[1] ^ 1}, point[2:33]...)))), "not on P-256", nil},
		{"the point of zeros", set(strings.Replace(w.member("x", quoted(make([]byte, 32))), `"y":"`, `"y":`+quoted(make([]byte, 32))+`,"z":"`, 1)), "not on P-256", nil},
		{"a coordinate with padding", set(w.member("x", `"`+base64.URLEncoding.EncodeToString(point[1:33])+`"`)), "not base64url", nil},
		{"no coordinate", set(w.member("y", "")), `"y" is missing`, nil},
		{"a private key", set(w.member("d", quoted(point[1:33]))), "private or symmetric key", nil},
		{"a symmetric key", set(w.member("k", quoted(point[1:33]))), "private or symmetric key", nil},
		{"for encryption", set(w.member("use", `"enc"`)), `"use" is "enc"`, nil},
		{"use with control characters", set(w.member("use", `"\u001b[2Jenc"`)), `"use" is `, nil},
		{"for signing, not verifying", set(w.member("key_ops", `["sign"]`)), `"key_ops"`, nil},
		{"alg of another type of key", set(w.member("alg", `"RS256"`)), "RS256", nil},
		{"alg of another curve", set(w.member("alg", `"ES384"`)), "ES384", nil},
		{"alg of HMAC", set(w.member("alg", `"HS256"`)), "HS256", nil},
		{"alg none", set(w.member("alg", `"none"`)), "none", nil},
		{"an RSA key of 1024 bits", set(n(weak.N.Bytes())), "1024 bits", nil},
		{"an RSA key of 16384 bits", set(n(append([]byte{1}, make([]byte, 2048)...))), "at most 1024", nil},
		{"an RSA exponent of 2^40", set(strings.Replace(n(make([]byte, 256)), "AQAB", "AQAAAAAA", 1)), "2^31-1", nil},
		{"an RSA exponent of 1", set(strings.Replace(n(append([]byte{0x81}, append(make([]byte, 254), 1)...)), "AQAB", "AQ", 1)), "exponent", nil},
		{"kid as a number", set(w.member("kid", "7")), "wrong type", nil},
		{"a member twice", set(strings.Replace(good, "{", `{"kty":"EC",`, 1)), "a member name stands twice", nil},
		{"the same kid, another key behind", set(good, jwk(w.stranger, w.key.ID)), "same kid", nil},
		{"the same kid, another key before", set(jwk(w.stranger, w.key.ID), good), "same kid", nil},
		{"11 certificates", set(jwk(w.key, w.key.ID, slices.Repeat([][]byte{w.cert.Raw}, 11)...)), "at most 10", nil},
		{"a certificate in base64url", set(w.member("x5c", `["`+base64.RawURLEncoding.EncodeToString(w.cert.Raw)+`"]`)), "not base64", nil},
	}
	var faults []fault[published]
	for _, f := range texts {
		faults = append(faults, fault[published]{f.name, published{f.input, w.token()}, f.want, f.but})
	}
	return &table[published]{
		kind: "key set", good: published{w.jwks, w.token()}, faults: faults, secret: w.tokenOf,
		doors: append(keySetDoors(w), attestedDoors(w)...),
	}
}

// tokenOf is what is secret of a key set: the token that came with it.
func (w *world) tokenOf(p published) []string { return []string{p.token} }

// attestedKeySets are key sets that are good for who asks for no evidence.
func attestedKeySets(w *world) *table[published] {
	good := jwk(w.key, w.key.ID, w.cert.Raw)
	kid := w.stranger.ID
	// The token is signed by a second key of the set, which has this certificate.
	second := func(chain ...[]byte) published {
		token := made(w.stranger.Sign(w.stranger.Header(ctb.AccessToken), []byte(w.payload())))
		return published{set(good, jwk(w.stranger, kid, chain...)), token}
	}
	bound := func(change func(*attest.Binding)) published {
		b := w.binding(attest.UseSignature)
		change(&b)
		return second(w.certify(w.platform, w.stranger, b).Raw)
	}
	named := func(id string) published {
		header := strings.Replace(string(w.key.Header(ctb.AccessToken)), w.key.ID, id, 1)
		return published{set(jwk(w.key, id, w.cert.Raw)), made(w.key.Sign([]byte(header), []byte(w.payload())))}
	}
	// inspect tells of a key's validity, and judges its evidence; verify says both times of it.
	// A key whose time is over, or to come, is as good as none while another can be used.
	const unknown = "the token is signed with an unknown key"
	anyTime := but{
		"attest.ParseKeys": unknown, "attest.KeySet": unknown, "ctb-gateway": "401 invalid_token: " + unknown,
		"ctb verify": "the key is not valid at this time",
	}
	otherName := but{"ctb inspect": "kid: got", "ctb verify": "policy: kid: "}
	own := w.certify(w.platform, w.stranger, w.binding(attest.UseSignature)).Raw
	faults := []fault[published]{
		{"no evidence", published{set(jwk(w.key, w.key.ID)), w.token()}, `no "x5c"`, but{"attest.ParseKeys": `no evidence: the JWK`, "attest.KeySet": `no evidence: the JWK`, "ctb-gateway": `no evidence: the JWK`}},
		{"an empty chain", published{set(w.member("x5c", "[]")), w.token()}, `"x5c"`, nil},
		{"evidence of another key", published{set(jwk(w.key, w.key.ID, own)), w.token()}, "another key", nil},
		{"evidence of another key, ours behind it", published{set(jwk(w.key, w.key.ID, own, w.cert.Raw)), w.token()}, "another key", nil},
		{"another key under our name, our evidence", published{set(jwk(w.stranger, w.key.ID, w.cert.Raw)), made(w.stranger.Sign(w.key.Header(ctb.AccessToken), []byte(w.payload())))}, "another key", nil},
		{"another key under our name, its own evidence", published{set(jwk(w.stranger, w.key.ID, own)), made(w.stranger.Sign(w.key.Header(ctb.AccessToken), []byte(w.payload())))}, "thumbprint", otherName},
		{"a certificate that cannot be read", published{set(jwk(w.key, w.key.ID, []byte{0x30, 0x03, 1, 2, 3})), w.token()}, "x509: ", nil},
		{"a name that is not the thumbprint", named("1"), "thumbprint", otherName},
		{"a name of 200 characters", named(strings.Repeat("k", 200)), "thumbprint", otherName},
		{"a bare key beside the attested one", second(), `"x5c"`, nil},
		{"a key with the other's evidence", second(w.cert.Raw), "another key", nil},
		{"a TLS key beside", bound(func(b *attest.Binding) { b.Use = attest.UseTLS }), "use", nil},
		{"a key of another issuer beside", bound(func(b *attest.Binding) { b.Issuer = "https://mallory.example" }), "https://mallory.example", nil},
		{"a key of other rules beside", bound(func(b *attest.Binding) { b.RulesDigest[0]++ }), "sha256:accd", nil},
		{"a key for later beside", bound(func(b *attest.Binding) {
			b.Issued, b.Expires = w.now.Add(time.Hour), w.now.Add(2*time.Hour)
		}), "not valid before", anyTime},
		{"a retired key beside", bound(func(b *attest.Binding) {
			b.Issued, b.Expires = w.now.Add(-2*time.Hour), w.now.Add(-time.Hour)
		}), "expired at", anyTime},
	}
	return &table[published]{
		kind: "attested key set", faults: faults, secret: w.tokenOf, doors: attestedDoors(w),
		good: published{set(jwk(w.stranger, kid, own), good), w.token()}, // two brokers' instances, say
	}
}

// usable tells whether a token passes with these keys.
func usable(t *testing.T, keys ctb.KeySet, token string) answer {
	t.Helper()
	v, err := ctb.NewVerifier(ctb.Config{Issuer: issuer, Audience: ctbtest.Audience, Keys: keys})
	if err != nil {
		return of(err)
	}
	_, err = v.Verify(t.Context(), token)
	return of(err)
}

// token is a good access token, and payload its claims.
func (w *world) token() string { return w.pair(party.good).access }
func (w *world) payload() string {
	return string(made(b64.DecodeString(strings.Split(w.token(), ".")[1])))
}

// keySetDoors read keys without their evidence.
func keySetDoors(w *world) []door[published] {
	return []door[published]{
		{name: "ctb.ParseKeys", open: func(t *testing.T, x published) answer {
			keys, err := ctb.ParseKeys(x.jwks)
			if err != nil {
				return of(err)
			}
			return usable(t, keys, x.token)
		}},
		{name: "ctb.RemoteKeys", open: func(t *testing.T, x published) answer {
			return usable(t, ctb.NewRemoteKeys(w.files.once(x.jwks), w.client(w.trust)), x.token)
		}},
		{name: "ctb.Protect", want: "503 temporarily_unavailable", open: func(t *testing.T, x published) answer {
			keys := ctb.NewRemoteKeys(w.files.once(x.jwks), w.client(w.trust))
			v := made(ctb.NewVerifier(ctb.Config{Issuer: issuer, Audience: ctbtest.Audience, Keys: keys}))
			s := httptest.NewServer(v.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
			defer s.Close()
			return ask(t, w.client(w.trust), bearer(t, s.URL, x.token))
		}},
	}
}

// attestedDoors want evidence of the key.
func attestedDoors(w *world) []door[published] {
	evidence := []string{"--json", "--policy", w.path("policy.yaml"), "--collateral", w.path("collateral.json")}
	return []door[published]{
		{name: "attest.ParseKeys", open: func(t *testing.T, x published) answer {
			keys, err := attest.ParseKeys(t.Context(), x.jwks, w.attested())
			if err != nil {
				return of(err)
			}
			return usable(t, keys, x.token)
		}},
		{name: "attest.KeySet", open: func(t *testing.T, x published) answer {
			c := w.attested()
			c.URL = w.files.once(x.jwks)
			return usable(t, made(attest.NewKeySet(c)), x.token)
		}},
		{name: "ctb-gateway", open: func(t *testing.T, x published) answer {
			config := w.beside(t, "gateway.yaml", []byte(w.gatewayText(w.files.once(x.jwks))), gatewayFiles...)
			a := w.gateway(t, config, x.token)
			if !a.accepted && !strings.HasPrefix(a.text, "503 temporarily_unavailable") && !strings.Contains(a.text, "unknown key") {
				t.Errorf("ctb-gateway: it says %s, want 503, for this is not the token's fault", clip(a.text))
			}
			return a
		}},
		{name: "ctb inspect", open: func(t *testing.T, x published) answer {
			return call(t, x.jwks, exits{1}, "ctb", append([]string{"inspect", "-"}, evidence...)...)
		}},
		{name: "ctb verify", open: func(t *testing.T, x published) answer {
			file := temp(t, "jwks.json", x.jwks)
			return call(t, []byte(x.token), exits{1}, "ctb", append([]string{"verify", "-", "--jwks", file, "--issuer", issuer, "--audience", ctbtest.Audience}, evidence...)...)
		}},
	}
}
