package middleman

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/internal/between"
)

// stand puts a man with a certificate and a key, which may be that of another certificate, in the broker's
// place. A document that is given is what he answers where the broker's attestation document is asked for.
func (s *scene) stand(t *testing.T, cert *x509.Certificate, key crypto.Signer, document ...http.HandlerFunc) *between.Man {
	t.Helper()
	place := between.Place{
		Name: name, Server: s.address,
		TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}},
	}
	for _, answer := range document {
		place.Instead = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != attest.WellKnownAttestation {
				return false
			}
			answer(w, r)
			return true
		}
	}
	return between.Stand(t, place)
}

// anotherEnclave is a program of his own on hardware that is as genuine as the broker's.
func (s *scene) anotherEnclave(t *testing.T) *simulated.Platform {
	t.Helper()
	other, err := simulated.New(simulated.Config{Seed: s.seed, MRENCLAVE: [32]byte{1, 2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// kind is one kind of man in the middle.
type kind struct {
	name string
	make func(t *testing.T, s *scene) *between.Man
	says []string // what every client says of him: each of these
	cons bool     // a client that asks for no evidence, and trusts the CA, is deceived
}

// kinds are the men, from the one who owns the name to the one who owns hardware.
func kinds() []kind {
	return []kind{
		{"a valid certificate of a CA that everybody trusts", func(t *testing.T, s *scene) *between.Man {
			key := newKey(t)
			return s.stand(t, s.ca.certify(t, key.Public()), key)
		}, []string{"carries no evidence", "lists no attested certificate of its key"}, true},
		{"a valid certificate, and no attestation document", func(t *testing.T, s *scene) *between.Man {
			key := newKey(t)
			return s.stand(t, s.ca.certify(t, key.Public()), key, http.NotFound)
		}, []string{"carries no evidence", "serves no attestation document"}, true},
		{"a valid certificate, and a document that lists its key with genuine evidence of another enclave", func(t *testing.T, s *scene) *between.Man {
			key := newKey(t)
			doc := s.document(t)
			doc.Keys = append(doc.Keys, attest.AttestedKey{
				KeyID: "his", Use: attest.UseTLS, Certificates: [][]byte{s.certifyAttested(s.anotherEnclave(t), key, s.rules(t)).Raw},
			})
			text, err := doc.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			return s.stand(t, s.ca.certify(t, key.Public()), key, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.Write(text)
			})
		}, []string{"mrenclave"}, true},
		{"genuine evidence of another enclave", func(t *testing.T, s *scene) *between.Man {
			key := newKey(t)
			return s.stand(t, s.certifyAttested(s.anotherEnclave(t), key, s.rules(t)), key)
		}, []string{"mrenclave"}, false},
		{"genuine evidence of another enclave, in a valid certificate", func(t *testing.T, s *scene) *between.Man {
			key := newKey(t)
			return s.stand(t, s.carrying(t, s.certifyAttested(s.anotherEnclave(t), key, s.rules(t)), key.Public()), key)
		}, []string{"not signed by its own key"}, true},
		{"the broker's own evidence in a valid certificate of another key", func(t *testing.T, s *scene) *between.Man {
			key := newKey(t)
			return s.stand(t, s.carrying(t, s.shown, key.Public()), key)
		}, []string{"bound to another key"}, true},
		{"the broker's own certificate without its key", func(t *testing.T, s *scene) *between.Man {
			return s.stand(t, s.shown, newKey(t))
		}, []string{"invalid signature by the server certificate"}, false},
	}
}

// evidenceExtensions are those that carry evidence: DICE tagged evidence, and the conceptual message wrapper.
var evidenceExtensions = []asn1.ObjectIdentifier{{2, 23, 133, 5, 4, 9}, {1, 3, 6, 1, 5, 5, 7, 1, 35}}

// carrying is a valid certificate of the CA for this key with the evidence of another certificate.
func (s *scene) carrying(t *testing.T, evidence *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	t.Helper()
	template := *s.ca.certify(t, key)
	for _, e := range evidence.Extensions {
		if slices.ContainsFunc(evidenceExtensions, e.Id.Equal) {
			template.ExtraExtensions = append(template.ExtraExtensions, e)
		}
	}
	if len(template.ExtraExtensions) == 0 {
		t.Fatal("there is no evidence to carry")
	}
	template.NotBefore, template.NotAfter = evidence.NotBefore, evidence.NotAfter // as the evidence says
	return s.ca.sign(t, &template, s.ca.cert, key)
}

// document is the broker's attestation document, as everybody can read it.
func (s *scene) document(t *testing.T) *attest.Attestation {
	t.Helper()
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	doc, err := attest.FetchAttestation(t.Context(), web, "https://"+s.address)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// rules is the digest of the broker's rules.
func (s *scene) rules(t *testing.T) (digest [32]byte) {
	t.Helper()
	if _, err := hex.Decode(digest[:], []byte(strings.TrimPrefix(s.document(t).RulesDigest, "sha256:"))); err != nil {
		t.Fatal(err)
	}
	return digest
}
