package credential_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/credential"
)

// Tokens of two issuers, each with keys of its own, in a header or, where a browser can set none, beside the
// subprotocols of a WebSocket.
func ExampleNewTokens() {
	var issuers []credential.Issuer
	for _, name := range []string{"https://idp.example.com/", "https://login.example.org/"} {
		keys, err := credential.Narrow(ctb.DiscoverKeys(name, nil), "RS256", "ES256") // fetched when the first token comes
		if err != nil {
			fmt.Println(err)
			return
		}
		v, err := ctb.NewVerifier(ctb.Config{Issuer: name, Audience: "https://api.example.com", Type: ctb.IDToken, Keys: keys})
		if err != nil {
			fmt.Println(err)
			return
		}
		issuers = append(issuers, credential.Issuer{Name: name, Verifier: v})
	}
	tokens, err := credential.NewTokens(issuers,
		credential.Place{Kind: credential.Authorization},
		credential.Place{Kind: credential.WebSocketProtocol},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest("GET", "/notarize", nil)
	r.Header.Set("Sec-WebSocket-Protocol", "chat, bearer, eyJhbGciOiJub25lIn0.e30.AA")
	_, err = tokens.Authenticate(r)
	fmt.Println(err)

	tokens.Strip(r.Header, "")
	fmt.Println(r.Header.Get("Sec-WebSocket-Protocol"))
	// Output:
	// invalid token: the token names no issuer: it has no iss
	// chat
}

// A whitelist in the notary server's form, and the same with its keys hashed.
func ExampleParseWhitelist() {
	text := []byte(`"Name","ApiKey","CreatedAt"
"Jonas Nielsen","test_api_key_0","2023-09-18T07:38:53Z"
`)
	list, err := credential.ParseWhitelist(text)
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := credential.NewKeys(list, "X-API-Key")
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-API-Key", "test_api_key_0")
	who, err := keys.Authenticate(r)
	fmt.Println(who.Name, err)

	hashed, err := credential.HashWhitelist(text)
	fmt.Printf("%s%v\n", hashed, err)
	// Output:
	// Jonas Nielsen <nil>
	// Name,ApiKeySha256,CreatedAt
	// Jonas Nielsen,423331c510205c5fcbb064a4b4d82545d685e9c7767f72f6271905f4237fc911,2023-09-18T07:38:53Z
	// <nil>
}

// While clients move from API keys to tokens, both are accepted.
func ExampleAny() {
	list, err := credential.ParseWhitelist([]byte("Name,ApiKey\nops,correct horse\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	keys, err := credential.NewKeys(list, "Authorization") // the whole value, as the notary server's first generations have it
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := ctb.NewVerifier(ctb.Config{Issuer: "https://idp.example.com/", AnyAudience: true, Keys: ctb.StaticKeys{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens, err := credential.NewTokens([]credential.Issuer{{Name: "https://idp.example.com/", Verifier: v}})
	if err != nil {
		fmt.Println(err)
		return
	}
	both := credential.Any{tokens, keys}
	for _, value := range []string{"correct horse", "battery staple", "Bearer no.such.token"} {
		who, err := both.Authenticate(&http.Request{Header: http.Header{"Authorization": {value}}, URL: httptest.NewRequest("GET", "/", nil).URL})
		if err != nil {
			fmt.Println(err.(*access.Refusal).Reason)
			continue
		}
		fmt.Println(who.Mode, who.Name)
	}
	// Output:
	// api_key ops
	// unknown_api_key
	// invalid_token
}
