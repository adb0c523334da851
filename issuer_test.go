package ctb_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
)

func TestUnverifiedIssuer(t *testing.T) {
	token := func(payload string) string { return "e30." + b64(payload) + ".AA" }
	for name, c := range map[string]struct {
		token, want string
		fault       ctb.Fault
	}{
		"an issuer":             {token(`{"sub":"a","iss":"https://idp.example.com/"}`), "https://idp.example.com/", ""},
		"an escaped issuer":     {token(`{"iss":"https:\/\/idp.example.com\u002f"}`), "https://idp.example.com/", ""},
		"an empty issuer":       {token(`{"iss":""}`), "", ""},
		"an issuer far below":   {token(`{"a":{"iss":"x"},"iss":"y"}`), "y", ""},
		"no issuer":             {token(`{"sub":"a"}`), "", ctb.WrongIssuer},
		"an issuer in capitals": {token(`{"ISS":"x"}`), "", ctb.WrongIssuer},
		"a number":              {token(`{"iss":1}`), "", ctb.Malformed},
		"an array":              {token(`{"iss":["x"]}`), "", ctb.Malformed},
		"no object":             {token(`["iss"]`), "", ctb.WrongIssuer},
		"no JSON":               {token(`iss`), "", ctb.WrongIssuer},
		"padding":               {"e30.e30=.AA", "", ctb.Malformed},
		"two parts":             {"e30.e30", "", ctb.Malformed},
		"a word":                {"hello", "", ctb.Malformed},
		"nothing":               {"", "", ctb.Malformed},
		"a token that is long":  {token(`{"iss":"x","a":"` + strings.Repeat("x", 16<<10) + `"}`), "", ctb.Malformed},
	} {
		got, err := ctb.UnverifiedIssuer(c.token)
		if got != c.want || ctb.FaultOf(err) != c.fault || (err != nil) != (c.fault != "") {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
		if err != nil && !errors.Is(err, ctb.ErrInvalidToken) {
			t.Errorf("%s: %v is not the token's fault", name, err)
		}
	}
}

// What the verifier of an issuer accepts is what the token was sorted by.
func FuzzUnverifiedIssuer(f *testing.F) {
	f.Add(`{"iss":"https://idp.example.com/"}`)
	f.Add(`{"a":{"iss":"x"},"iss":"y","exp":1}`)
	f.Add(`{"iss":"y","exp":1,"iss":"z"}`)
	f.Add(`{"iss":1}`)
	f.Add(`["iss"`)
	f.Fuzz(func(t *testing.T, payload string) {
		_, _ = ctb.UnverifiedIssuer(payload)
		name, err := ctb.UnverifiedIssuer("e30." + b64(payload) + ".AA")
		tok, parsed := ctb.UnverifiedToken([]byte(payload))
		if parsed == nil && len(payload) < 12000 && (err == nil || tok.Issuer != "") && (err != nil || tok.Issuer != name) {
			t.Errorf("sorted under %q, %v, but iss is %q", name, err, tok.Issuer)
		}
	})
}
