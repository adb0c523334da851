package credential

import (
	"fmt"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
)

func TestHolder(t *testing.T) {
	id := func(payload string) string {
		t.Helper()
		tok, err := ctb.UnverifiedToken([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		id := holderOf(tok)
		if len(id) > 64 || !strings.HasPrefix(id, "jwt:") {
			t.Errorf("%s: got %s", payload, id)
		}
		return id
	}
	alice := id(`{"exp":1,"iss":"a","sub":"alice"}`)
	for name, payload := range map[string]string{
		"another token":  `{"exp":2,"iss":"a","sub":"alice","jti":"2"}`,
		"another client": `{"exp":1,"iss":"a","sub":"alice","client_id":"app"}`,
	} {
		if id(payload) != alice {
			t.Errorf("%s makes somebody else", name)
		}
	}
	seen := map[string]string{alice: "alice"}
	for _, payload := range []string{
		`{"exp":1,"iss":"b","sub":"alice"}`,
		`{"exp":1,"iss":"a","sub":"bob"}`,
		`{"exp":1,"iss":"aa","sub":"lice"}`,
		`{"exp":1,"iss":"","sub":"aalice"}`,
		`{"exp":1,"sub":"alice"}`,
		`{"exp":1,"iss":"a","client_id":"alice"}`,
		`{"exp":1,"iss":"a","client_id":"` + strings.Repeat("x", 5000) + `"}`,
		`{"exp":1,"iss":"a","jti":"1"}`,
		`{"exp":1,"iss":"a","jti":"2"}`,
		`{"exp":1,"iss":"a","azp":7}`,
	} {
		if other, twice := seen[id(payload)]; twice {
			t.Errorf("%.60s has the identity of %.60s", payload, other)
		}
		seen[id(payload)] = payload
	}
	if id(`{"exp":1,"iss":"a","azp":"app"}`) != id(`{"exp":2,"iss":"a","sub":"","client_id":"app"}`) {
		t.Error("azp and client_id name two clients")
	}
	if first := id(`{"exp":1,"iss":"a"}`); first != id(`{"exp":1,"iss":"a"}`) {
		t.Error("one token has two holders")
	}
}

func TestIdentitiesAreThoseOfTheirTokens(t *testing.T) {
	m := newIdentities()
	var all []*ctb.Token
	for i := range 3 * slots { // so that all slots are taken, and many twice
		payload := fmt.Sprintf(`{"exp":1,"sub":"%d"}`, i)
		if i%100 == 0 {
			payload = fmt.Sprintf(`{"exp":1,"sub":"%d","x":%q}`, i, strings.Repeat("x", largestRemembered))
		}
		tok, err := ctb.UnverifiedToken([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tok)
	}
	for range 2 {
		for _, tok := range all {
			first, second := m.of(tok), m.of(tok)
			if first.Token != tok || first.ID != holderOf(tok) || *second != *first {
				t.Fatalf("%s became %+v and %+v", tok.Subject, first, second)
			}
		}
	}
	for i := range m.slots {
		if who := m.slots[i].Load(); who != nil {
			if claims, _ := who.Token.Claim(); len(claims) > largestRemembered {
				t.Errorf("a token of %d bytes is remembered", len(claims))
			}
		}
	}
}
