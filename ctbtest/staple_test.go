package ctbtest_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/dcap"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/exchange"
)

// offline is the configuration of a checker that can reach the broker and nobody else: it knows the
// root, and has no collateral.
func offline(b *ctbtest.Broker) attest.Config {
	return attest.Config{URL: b.URL, Policy: b.Policy(), Platforms: []attest.Verifier{&dcap.Verifier{Root: b.Hardware().Root()}}}
}

// attestedClient trusts what c accepts.
func attestedClient(t *testing.T, c attest.Config) *http.Client {
	t.Helper()
	trust, err := attest.TLSConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: trust}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}
}

// verify verifies an access token by the keys of c.
func verify(t *testing.T, b *ctbtest.Broker, c attest.Config, token string) error {
	t.Helper()
	keys, err := attest.NewKeySet(c)
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

// TestStaple: with what the broker serves, and nobody else to ask, a client trusts its TLS key and
// exchanges, and a resource server trusts its signing keys. The policy pins build, issuer and rules all along.
func TestStaple(t *testing.T) {
	for _, tee := range []string{"sgx", "tdx"} {
		t.Run(tee, func(t *testing.T) {
			b := ctbtest.NewBroker(t, &ctbtest.BrokerConfig{TEE: tee})
			client := exchange.Client{URL: b.URL + "/token", HTTP: attestedClient(t, offline(b))}
			answer, err := client.Exchange(t.Context(), &exchange.Request{SubjectToken: b.IdP.Token(nil)})
			if err != nil {
				t.Fatal(err)
			}
			if err := verify(t, b, offline(b), answer.AccessToken); err != nil {
				t.Error(err)
			}
			other := offline(b)
			other.Platforms = []attest.Verifier{&dcap.Verifier{}}
			if err := verify(t, b, other, answer.AccessToken); err == nil || errors.Is(err, ctb.ErrInvalidToken) {
				t.Errorf("under Intel's root: got %v, want keys that are not trusted", err)
			}
		})
	}
}

// TestUnstapled: without the staple it takes collateral from elsewhere, and the error says that there is none.
func TestUnstapled(t *testing.T) {
	b := ctbtest.NewBroker(t, &ctbtest.BrokerConfig{Unstapled: true})
	doc, err := attest.FetchAttestation(t.Context(), b.Client(), b.URL)
	if err != nil || len(doc.Collateral) > 0 || len(doc.Keys) != 2 {
		t.Fatalf("got %+v, %v, want the keys alone", doc, err)
	}
	token := b.Token(nil) // whose client has collateral
	if err := verify(t, b, offline(b), token); err == nil || !strings.Contains(err.Error(), "no collateral") || errors.Is(err, ctb.ErrInvalidToken) {
		t.Errorf("got %v, want that there is no collateral", err)
	}
	with := offline(b)
	with.Platforms = b.Platforms()
	if err := verify(t, b, with, token); err != nil {
		t.Error(err)
	}
}
