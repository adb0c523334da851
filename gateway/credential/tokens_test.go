package credential

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway/access"
)

func TestTokensAccepts(t *testing.T) {
	a := tokens(t, everywhere...)
	for _, at := range everywhere {
		r := request("/?a=1")
		show(r, at, mint(t, "ES256", nil))
		for range 2 { // the second comes from the cache
			who, err := a.Authenticate(r)
			if err != nil || who.Mode != access.JWT || who.Token.Subject != "alice" || who.Name != "" {
				t.Errorf("%s: got %+v, %v", at, who, err)
			}
		}
	}
}

func TestAnAudienceIsNobodysBusinessUnlessOneIsAskedFor(t *testing.T) {
	v := verifier(t, func(c *ctb.Config) { c.Audience, c.AnyAudience = "", true })
	a, err := NewTokens([]Issuer{{issuerName, v}})
	if err != nil {
		t.Fatal(err)
	}
	for name, aud := range map[string]any{"none": nil, "one": "x", "several": []string{"x", "y"}, "no": []string{}} {
		if _, err := a.Authenticate(bearing(mint(t, "ES256", claims{"aud": aud}))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysThatCannotBeHad(t *testing.T) {
	v := verifier(t, func(c *ctb.Config) { c.Keys = failing{} })
	a, err := NewTokens([]Issuer{{issuerName, v}})
	if err != nil {
		t.Fatal(err)
	}
	who, err := a.Authenticate(bearing(mint(t, "ES256", nil)))
	if refusal := refused(t, who, err); refusal.Reason != access.KeysUnavailable || refusal.RetryAfter <= 0 || refusal.Fault != "" ||
		strings.Contains(refusal.Public, "evidence") || !strings.Contains(refusal.Error(), "evidence is of another build") {
		t.Errorf("got %+v", refusal)
	}
	who, err = a.Authenticate(bearing(mint(t, "ES256", claims{"exp": 1})))
	if refusal := refused(t, who, err); refusal.Reason != access.InvalidToken {
		t.Errorf("what is wrong by itself needs no keys: got %+v", refusal)
	}
}

type failing struct{}

func (failing) Key(context.Context, string) (ctb.Key, error) {
	return ctb.Key{}, errors.New("evidence is of another build")
}

func TestStillOfTokens(t *testing.T) {
	stranger := keyFor("ES384")
	stranger.ID = "ES256"
	keys := &changing{keySet(), nil}
	issuer := Issuer{issuerName, verifier(t, func(c *ctb.Config) { c.Keys = keys })}
	one, err := NewTokens([]Issuer{issuer})
	if err != nil {
		t.Fatal(err)
	}
	two, err := NewTokens([]Issuer{issuer, {"https://other.example.com/", verifier(t, nil)}})
	if err != nil {
		t.Fatal(err)
	}
	who, err := one.Authenticate(bearing(mint(t, "ES256", claims{"exp": now.Unix() - 60})))
	if err != nil {
		t.Fatal(err)
	}
	is := func(what string, reason access.Reason, fault ctb.Fault) {
		t.Helper()
		for name, a := range map[string]access.Authenticator{"one": one, "two": two, "any": Any{one}} {
			err := a.Still(request("/"), who)
			if reason == "" {
				if err != nil {
					t.Errorf("%s, %s: %v", what, name, err)
				}
				continue
			}
			if refusal := refused(t, nil, err); refusal.Reason != reason || refusal.Fault != fault {
				t.Errorf("%s, %s: got %v", what, name, refusal)
			}
		}
	}
	is("nothing has changed", "", "")
	keys.set = ctb.StaticKeys{stranger}
	is("the key is another", access.InvalidToken, ctb.UnknownKey)
	keys.set = nil
	is("the key is retired", access.InvalidToken, ctb.UnknownKey)
	keys.err = errors.New("evidence has expired")
	is("the keys can't be trusted", access.KeysUnavailable, "")

	elsewhere, err := NewTokens([]Issuer{{"https://other.example.com/", verifier(t, func(c *ctb.Config) { c.Issuer = "https://other.example.com/" })}})
	if err != nil {
		t.Fatal(err)
	}
	for what, a := range map[string]access.Authenticator{"its issuer is no longer accepted": elsewhere, "neither, and there are several": several(t)} {
		if refusal := refused(t, nil, a.Still(request("/"), who)); refusal.Fault != ctb.WrongIssuer {
			t.Errorf("%s: got %v", what, refusal)
		}
	}
	for what, stranger := range map[string]*access.Identity{"nobody": nil, "an API key": {Mode: access.APIKey, ID: "key:1"}} {
		if refusal := refused(t, nil, one.Still(request("/"), stranger)); refusal.Reason != access.MissingCredential {
			t.Errorf("%s: got %v", what, refusal)
		}
	}
}

// changing is a key set that changes under its verifier.
type changing struct {
	set ctb.StaticKeys
	err error
}

func (c *changing) Key(ctx context.Context, kid string) (ctb.Key, error) {
	if c.err != nil {
		return ctb.Key{}, c.err
	}
	return c.set.Key(ctx, kid)
}

func TestSubprotocol(t *testing.T) {
	h := http.Header{"Sec-Websocket-Protocol": {"chat", "Bearer, a.b.c"}}
	with, without := tokens(t, inAuthorization, inSubprotocol), tokens(t)
	for name, c := range map[string]struct {
		a    access.Subprotocol
		h    http.Header
		want string
	}{
		"as it is spelt":    {with, h, "Bearer"},
		"no place":          {without, h, ""},
		"no token":          {with, http.Header{"Sec-Websocket-Protocol": {"chat"}}, ""},
		"no subprotocol":    {with, http.Header{}, ""},
		"any":               {Any{without, with}, h, "Bearer"},
		"none of any":       {Any{without}, h, ""},
		"beside an API key": {Any{&Keys{}, with}, h, "Bearer"},
	} {
		if got := c.a.Subprotocol(c.h); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
