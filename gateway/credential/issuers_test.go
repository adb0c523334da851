package credential

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// several are three issuers, each with a key, an audience and a type of its own; all keys have one id.
func several(t *testing.T) *Tokens {
	t.Helper()
	var issuers []Issuer
	for i, alg := range []string{"ES256", "RS256", "EdDSA"} {
		key := keyFor(alg)
		key.ID = "1"
		issuers = append(issuers, Issuer{Name: fmt.Sprintf("https://idp%d.example.com/", i), Verifier: verifier(t, func(c *ctb.Config) {
			c.Issuer, c.Audience, c.Keys, c.Type = fmt.Sprintf("https://idp%d.example.com/", i), fmt.Sprint("api", i), ctb.StaticKeys{key}, []string{ctb.IDToken, ctb.AccessToken, "x+jwt"}[i]
		})})
	}
	a, err := NewTokens(issuers)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestSeveralIssuers(t *testing.T) {
	a := several(t)
	token := func(iss, aud, typ, alg string) string {
		payload, _ := json.Marshal(with(claims{"iss": iss, "aud": aud}))
		raw, err := jose.Sign(jose.Header{Algorithm: alg, KeyID: "1", Type: typ}, payload, signers()[alg])
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	const idp0, idp1, idp2 = "https://idp0.example.com/", "https://idp1.example.com/", "https://idp2.example.com/"
	for name, c := range map[string]struct {
		token string
		fault ctb.Fault
	}{
		"the first's":                {token(idp0, "api0", "JWT", "ES256"), ""},
		"the second's":               {token(idp1, "api1", "at+jwt", "RS256"), ""},
		"the third's":                {token(idp2, "api2", "x+jwt", "EdDSA"), ""},
		"another's key":              {token(idp0, "api0", "JWT", "RS256"), ctb.BadSignature},
		"another's audience":         {token(idp0, "api1", "JWT", "ES256"), ctb.WrongAudience},
		"another's type":             {token(idp0, "api0", "at+jwt", "ES256"), ctb.WrongType},
		"an unknown issuer":          {token("https://evil.example.com/", "api0", "JWT", "ES256"), ctb.WrongIssuer},
		"no issuer":                  {mint(t, "ES256", claims{"iss": nil}), ctb.WrongIssuer},
		"an empty issuer":            {mint(t, "ES256", claims{"iss": ""}), ctb.WrongIssuer},
		"an issuer without a slash":  {token("https://idp0.example.com", "api0", "JWT", "ES256"), ctb.WrongIssuer},
		"an issuer that is a number": {mint(t, "ES256", claims{"iss": 1}), ctb.Malformed},
		"two issuers":                {signed(t, "ES256", `{"iss":"`+idp0+`","iss":"`+idp1+`","aud":"api0","exp":1900000000}`), ctb.Malformed},
		"no token":                   {"hello", ctb.Malformed},
	} {
		for range 2 {
			who, err := a.Authenticate(bearing(c.token))
			if c.fault == "" {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			if refusal := refused(t, who, err); refusal.Reason != access.InvalidToken || refusal.Fault != c.fault {
				t.Errorf("%s: got %s: %v, want %s", name, refusal.Fault, refusal, c.fault)
			}
		}
	}
}

func TestAnIssuerIsAskedForAlsoIfItsVerifierAcceptsAny(t *testing.T) {
	lax := verifier(t, func(c *ctb.Config) { c.Issuer, c.AnyIssuer = "", true })
	for name, c := range map[string]struct {
		issuer string
		fault  ctb.Fault
	}{"any issuer": {"", ""}, "this issuer": {issuerName, ""}, "another": {"https://other.example.com/", ctb.WrongIssuer}} {
		a, err := NewTokens([]Issuer{{c.issuer, lax}})
		if err != nil {
			t.Fatal(err)
		}
		who, err := a.Authenticate(bearing(mint(t, "ES256", nil)))
		if c.fault == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if refusal := refused(t, who, err); refusal.Fault != c.fault {
			t.Errorf("%s: got %v", name, refusal)
		}
	}
}

func TestNewTokensRefuses(t *testing.T) {
	v := verifier(t, nil)
	one := []Issuer{{issuerName, v}}
	for want, c := range map[string]struct {
		issuers []Issuer
		places  []Place
	}{
		"issuers: none":                     {},
		"issuers[0]: has no verifier":       {issuers: []Issuer{{Name: issuerName}}},
		"issuers[1]: has no name":           {issuers: []Issuer{{issuerName, v}, {"", v}}},
		"issuers[0]: has no name":           {issuers: []Issuer{{"", v}, {issuerName, v}}},
		`issuers[1]: "https://idp.example`:  {issuers: []Issuer{{issuerName, v}, {issuerName, v}}},
		"token place is \"body\"":           {issuers: one, places: []Place{{Kind: "body"}}},
		"token places[1]: the header X-Tok": {issuers: one, places: []Place{{Header, "X-Token"}, {Header, "x-token"}}},
		"token places[2]: the cookie a":     {issuers: one, places: []Place{{Cookie, "a"}, {Cookie, "A"}, {Cookie, "a"}}},
	} {
		if _, err := NewTokens(c.issuers, c.places...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestNarrow(t *testing.T) {
	narrow, err := Narrow(keySet(), "ES256", "PS256")
	if err != nil {
		t.Fatal(err)
	}
	a, err := NewTokens([]Issuer{{issuerName, verifier(t, func(c *ctb.Config) { c.Keys = narrow })}})
	if err != nil {
		t.Fatal(err)
	}
	for alg, fault := range map[string]ctb.Fault{"ES256": "", "RS256": ctb.UnknownKey, "EdDSA": ctb.UnknownKey} {
		_, err := a.Authenticate(bearing(mint(t, alg, nil)))
		if ctb.FaultOf(err) != fault || (err != nil) != (fault != "") {
			t.Errorf("%s: got %v", alg, err)
		}
		if err != nil && !strings.Contains(err.Error(), alg+", and accepted are ES256, PS256") {
			t.Errorf("%s: got %v", alg, err)
		}
	}
	if _, err := narrow.Key(t.Context(), "who"); err != ctb.ErrUnknownKey {
		t.Errorf("got %v", err)
	}
	trouble, err := Narrow(failing{}, "ES256")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trouble.Key(t.Context(), "ES256"); err == nil || errors.Is(err, ctb.ErrUnknownKey) {
		t.Errorf("keys that can't be had became unknown: %v", err)
	}
	for want, algorithms := range map[string][]string{"one algorithm at least": nil, `algorithm is "HS256", want one of RS256`: {"ES256", "HS256"}, `algorithm is "none"`: {"none"}, `algorithm is "es256"`: {"es256"}} {
		if _, err := Narrow(keySet(), algorithms...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", algorithms, err, want)
		}
	}
}
