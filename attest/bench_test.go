package attest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
)

// A key at hand is found for every token.
func BenchmarkKeySetKey(b *testing.B) {
	hardware := newTEE()
	cert := certify(b, hardware, newP256(b), binding())
	served := newBroker(b)
	served.publish(jwk(b, cert))
	p := anyPolicy()
	p.Issuer = issuer
	set := made(attest.NewKeySet(attest.Config{URL: served.URL, Policy: p, Platforms: platforms(hardware), Client: served.Client(), Now: newClock(day(1)).now}))
	kid := kidOf(cert)
	if _, err := set.Key(b.Context(), kid); err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := set.Key(ctx, kid); err != nil {
			b.Fatal(err)
		}
	}
}

// A fresh statement of the most keys and askers is judged whole, with its quote.
func BenchmarkCheckFresh(b *testing.B) {
	hardware, verifiers := machine(b, simulated.Config{})
	c := freshClaims()
	c.Time, c.Keys, c.Nonces = day(1), manyKeys(100), append(manyNonces(63), nonce(0))
	doc := &attest.Attestation{Issuer: issuer, Keys: []attest.AttestedKey{}, Fresh: made(attest.NewFresh(b.Context(), hardware, c))}
	config := attest.Config{Platforms: verifiers, Now: newClock(day(1)).now}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := attest.AppraiseFresh(b.Context(), doc, nonce(0), config); err != nil {
			b.Fatal(err)
		}
	}
}

// A connection is judged once, when it is made: by the evidence in its certificate, or by that of its key in the broker's document.
func BenchmarkTLSPeer(b *testing.B) {
	hardware, verifiers := machine(b, simulated.Config{})
	key, bound := newP256(b), binding()
	bound.Use, bound.Names = attest.UseTLS, []string{"broker.example.com"}
	cert := made(attest.Certify(b.Context(), hardware, key, bound))
	served := newBroker(b)
	doc := &attest.Attestation{Issuer: served.URL, Keys: []attest.AttestedKey{{KeyID: kidOf(cert), Use: attest.UseTLS, Certificates: [][]byte{cert.Raw}}}}
	handler := answerJSON(made(doc.Marshal()))
	served.staple.Store(&handler)
	report := made(attest.Appraise(b.Context(), cert, attest.DICE, verifiers, day(1), day(1))).Report
	p := &attest.Policy{
		Issuer: issuer, SimulatedRoot: "root.pem",
		Builds: []attest.Build{{TEE: "sgx", Measurements: map[string][]byte{"mrenclave": report.Measurements["mrenclave"]}}},
	}
	trust := made(attest.TLSConfig(attest.Config{URL: served.URL, Policy: p, Platforms: verifiers, Now: newClock(day(1)).now}))
	public := made(x509.ParseCertificate(authority.issue(key, nil).Certificate[0]))
	for name, leaf := range map[string]*x509.Certificate{"attested": cert, "public": public} {
		b.Run(name, func(b *testing.B) {
			state := tls.ConnectionState{ServerName: "broker.example.com", PeerCertificates: []*x509.Certificate{leaf}}
			b.ReportAllocs()
			for b.Loop() {
				if err := trust.VerifyConnection(state); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The wrapper is read for each key of a key set.
func BenchmarkAppraiseWrapped(b *testing.B) {
	hardware := newOther("nitro", nitroDocument)
	cert := certify(b, hardware, newP256(b), binding())
	at := day(1).Add(time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := attest.Appraise(b.Context(), cert, attest.DICE, platforms(hardware), at, at); err != nil {
			b.Fatal(err)
		}
	}
}
