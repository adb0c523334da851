package ctb_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"testing"

	"github.com/confidential-token-broker/ctb"
)

// readAnew copies a key as a file that is read again does.
func readAnew(k ctb.Key) ctb.Key {
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		anew := *public
		k.Public = &anew
	case *ecdsa.PublicKey:
		anew := *public
		k.Public = &anew
	case ed25519.PublicKey:
		k.Public = slices.Clone(public)
	}
	return k
}

func TestCurrent(t *testing.T) {
	stranger, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	set := &mutableKeys{}
	c := config()
	c.Keys = set
	first := verifier(t, c)
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		set.keys, set.err = keys(), nil
		tok, err := first.Verify(t.Context(), mint(t, alg, with(claims{"exp": now.Unix() - 60})))
		if err != nil {
			t.Fatal(err)
		}
		mine, _ := keys().Key(t.Context(), alg)
		renamed, other, foreign := mine, mine, mine
		renamed.ID = "another"
		other.Algorithm = "PS512"
		foreign.Public = &stranger.PublicKey
		for name, c := range map[string]struct {
			keys  ctb.StaticKeys
			fault ctb.Fault
		}{
			"nothing has changed":            {keys(), ""},
			"the key was read anew":          {ctb.StaticKeys{readAnew(mine)}, ""},
			"the key is retired":             {ctb.StaticKeys{renamed}, ctb.UnknownKey},
			"the key is for something else":  {ctb.StaticKeys{other}, ctb.UnknownKey},
			"its id is now another's":        {ctb.StaticKeys{foreign}, ctb.UnknownKey},
			"there is no key any more":       {nil, ctb.UnknownKey},
			"the key has come back, unaided": {ctb.StaticKeys{mine}, ""},
		} {
			set.keys = c.keys
			if err := first.Current(t.Context(), tok); ctb.FaultOf(err) != c.fault || (err != nil) != (c.fault != "") {
				t.Errorf("%s, %s: got %v", alg, name, err)
			}
		}
		set.err = errors.New("evidence has expired")
		if err := first.Current(t.Context(), tok); err == nil || errors.Is(err, ctb.ErrInvalidToken) {
			t.Errorf("%s: keys that can't be trusted must not look like a bad token, nor pass: %v", alg, err)
		}
	}
}

func TestCurrentAfterTheVerifierWasReplaced(t *testing.T) {
	tok, err := verifier(t, config()).Verify(t.Context(), mint(t, "ES256", with(nil)))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*ctb.Config)
		fault  ctb.Fault
	}{
		"as it was":        {func(*ctb.Config) {}, ""},
		"another issuer":   {func(c *ctb.Config) { c.Issuer = "https://other.example.com" }, ctb.WrongIssuer},
		"another audience": {func(c *ctb.Config) { c.Audience = "https://other.example.com" }, ctb.WrongAudience},
		"another type":     {func(c *ctb.Config) { c.Type = ctb.IDToken }, ctb.WrongType},
		"any of both":      {func(c *ctb.Config) { c.Issuer, c.Audience, c.AnyIssuer, c.AnyAudience = "", "", true, true }, ""},
	} {
		replaced := config()
		c.change(&replaced)
		if err := verifier(t, replaced).Current(t.Context(), tok); ctb.FaultOf(err) != c.fault || (err != nil) != (c.fault != "") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	claimed, err := ctb.UnverifiedToken(mustJSON(with(nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier(t, config()).Current(t.Context(), claimed); ctb.FaultOf(err) != ctb.UnknownKey {
		t.Errorf("a token that nobody verified: %v", err)
	}
	one := config()
	one.Keys = ctb.StaticKeys{keys()[0]} // answers for every token without a kid
	if err := verifier(t, one).Current(t.Context(), claimed); ctb.FaultOf(err) != ctb.UnknownKey {
		t.Errorf("a token that nobody verified, with one key alone: %v", err)
	}
}
