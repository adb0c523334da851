package ctb_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/confidential-token-broker/ctb"
)

// A service that accepts the tokens of an OpenID provider for itself.
func Example() {
	v, err := ctb.NewVerifier(ctb.Config{
		Issuer:   "https://idp.example.com/",
		Audience: "https://api.example.com",
		Keys:     ctb.DiscoverKeys("https://idp.example.com/", nil), // fetched when the first token comes
		Type:     ctb.IDToken,                                       // "typ" JWT or none, as most providers have it
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	reports := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := ctb.FromContext(r.Context())
		fmt.Fprintf(w, "reports of %s", token.Subject)
	})
	protected := v.Protect(reports, ctb.Scope("read:reports"), ctb.Claim("email_verified", true))

	answer := httptest.NewRecorder()
	protected.ServeHTTP(answer, httptest.NewRequest("GET", "/reports", nil))
	fmt.Println(answer.Code, answer.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer
}

// Keys in a PEM file, such as the notary server's, sign for one purpose alone.
func ExampleParsePEM() {
	key, err := ctb.ParsePEM([]byte(`-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9
q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==
-----END PUBLIC KEY-----`))
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := ctb.NewVerifier(ctb.Config{
		AnyIssuer: true, AnyAudience: true, Type: ctb.IDToken,
		Keys: ctb.StaticKeys{key},
	})
	fmt.Println(key.Algorithm, v != nil, err)
	// Output: ES256 true <nil>
}

// What a token would have to say, without a signature to say it.
func ExampleToken_Satisfies() {
	token, err := ctb.UnverifiedToken([]byte(`{"exp": 1900000000, "org": {"role": "auditor"}, "scope": "read:reports"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(token.Satisfies(ctb.Scope("read:reports"), ctb.Claim("org.role", "auditor", "admin")))
	fmt.Println(token.Satisfies(ctb.Scope("write:reports")))
	// Output:
	// <nil>
	// unexpected value for claim 'scope': expected all of [ 'write:reports' ]
}
