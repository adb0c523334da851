package attest_test

import (
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/ctbtest"
)

// A broker's TLS key is of no public CA: without a client of its own, the key
// set knows the server by its evidence.
func TestKeySetKnowsTheServerByItsEvidence(t *testing.T) {
	b := ctbtest.NewBroker(t, nil)
	token := b.Token(nil)
	verify := func(p *attest.Policy) error {
		keys, err := attest.NewKeySet(attest.Config{URL: b.URL, Policy: p, Platforms: b.Platforms()})
		if err != nil {
			t.Fatal(err)
		}
		v, err := ctb.NewVerifier(ctb.Config{Issuer: b.URL, Audience: ctbtest.Audience, Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(t.Context(), token)
		return err
	}
	if err := verify(b.Policy()); err != nil {
		t.Errorf("our broker: %v", err)
	}
	other := b.Policy()
	other.Builds[0].Measurements["mrenclave"] = make([]byte, 32)
	if err := verify(other); err == nil || !strings.Contains(err.Error(), "attested TLS") || !strings.Contains(err.Error(), "mrenclave") {
		t.Errorf("another build: got %v", err)
	}
}
