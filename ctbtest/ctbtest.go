// Package ctbtest has the other parties for your tests, as [net/http/httptest]
// has servers: an issuer of access tokens, an identity provider, and a broker
// with evidence on simulated hardware.
//
// To test a handler that [ctb.Verifier.Protect] guards, an [Issuer] is enough. It needs
// no network and no evidence:
//
//	func TestReports(t *testing.T) {
//		iss := ctbtest.NewIssuer(t)
//		h := iss.Verifier().Protect(reports, ctb.Scope("read:reports"))
//
//		w := httptest.NewRecorder()
//		h.ServeHTTP(w, iss.Request("GET", "/reports", ctbtest.Claims{"scope": "read:reports"}))
//		if w.Code != http.StatusOK {
//			t.Errorf("got %d, want 200", w.Code)
//		}
//	}
//
// To test a client of the broker, or a service in the way it will run, take a
// [Broker]: real sockets, real TLS, real evidence in the genuine format, only
// under a development root. To test what reads id tokens, take an [IdP]; it can
// be broken in every way that real ones break (see [Down] and its neighbours),
// and signs tokens of any shape.
//
// Everything stops by itself when the test ends, and what goes wrong in here
// fails the test. Nothing in this package may be used outside of tests: its
// keys are in nobody's hands but the test's, and its identity provider believes
// whatever it is told.
package ctbtest

// Claims is a claims set, or changes to one: a nil value takes a claim away.
// Values are what [encoding/json] can write.
type Claims = map[string]any

// What the tokens of this package say unless your test says otherwise.
const (
	Audience = "https://api.example.com" // of access tokens
	ClientID = "ctbtest-client"          // of id tokens and access tokens
	Subject  = "alice"                   // the user
)
