package ctb_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
)

// faults of the hostile tokens; of all others the form is at fault.
var faults = map[ctb.Fault][]string{
	ctb.WrongType:     {"an id token", "no typ", "a DPoP proof", "a logout token", "typ with a prefix of ours"},
	ctb.WrongIssuer:   {"another issuer", "an issuer with a slash more", "no issuer", "an issuer in capitals"},
	ctb.WrongAudience: {"another audience", "no audience", "an empty audience array", "an audience within another"},
	ctb.Expired:       {"an exp a second too old", "a negative exp", "an exp below every float", "an exp of 0"},
	ctb.NotYetValid:   {"an nbf a second too early"},
	ctb.UnknownKey:    {"an unknown kid", "no kid among several keys", "an embedded jwk"},
	ctb.BadSignature: {"another token's signature", "a stranger's signature", "another token's claims", "half a signature",
		"alg none", "HS256 over the public key", "RS256 under an ES256 key", "PS256 under an RS256 key", "RS512 under an RS256 key"},
}

func TestFaultOf(t *testing.T) {
	want := map[string]ctb.Fault{}
	for fault, names := range faults {
		for _, name := range names {
			want[name] = fault
		}
	}
	v := verifier(t, config())
	for name, c := range hostile(t) {
		_, err := v.Verify(t.Context(), c.token)
		wanted, ok := want[name]
		if !ok {
			wanted = ctb.Malformed
		}
		delete(want, name)
		if got := ctb.FaultOf(err); got != wanted {
			t.Errorf("%s: got fault %q of %v, want %q", name, got, err, wanted)
		}
		if public := ctb.PublicOf(fmt.Errorf("wrapped: %w", err)); public == "" || !strings.Contains(err.Error(), public) {
			t.Errorf("%s: the client may know %q of %q", name, public, err)
		}
	}
	for name := range want {
		t.Errorf("there is no hostile token %q", name)
	}
}

func TestWhatIsNotTheTokensFaultHasNone(t *testing.T) {
	c := config()
	c.Keys = &mutableKeys{err: errors.New("evidence is of another build")}
	_, down := verifier(t, c).Verify(t.Context(), mint(t, "ES256", with(nil)))
	tok, err := ctb.UnverifiedToken(mustJSON(with(nil)))
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"keys that can't be trusted": down,
		"too little scope":           tok.Satisfies(ctb.Scope("admin")),
		"no error":                   nil,
	} {
		if fault, public := ctb.FaultOf(err), ctb.PublicOf(err); fault != "" || public != "" {
			t.Errorf("%s: %v has the fault %q, %q", name, err, fault, public)
		}
	}
}
