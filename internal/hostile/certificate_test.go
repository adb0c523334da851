package hostile

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/internal/devidp"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// leaf is a certificate with the key that it is for.
type leaf struct {
	der []byte
	key *devidp.Key
}

// leaves are one fault in a certificate for signing tokens and in one for TLS.
type leaves struct{ sig, tls leaf }

func (w *world) leaves(fault func(use string) leaf) leaves {
	return leaves{fault(attest.UseSignature), fault(attest.UseTLS)}
}

// bound is a certificate by q whose binding has a change.
func (w *world) bound(q attest.Quoter, change func(*attest.Binding)) leaves {
	return w.leaves(func(use string) leaf {
		b := w.binding(use)
		change(&b)
		return leaf{w.certify(q, w.key, b).Raw, w.key}
	})
}

func unchanged(*attest.Binding) {}

// rewritten is a good certificate, signed once more with a change. signer nil is its own key.
func (w *world) rewritten(signer *devidp.Key, change func(use string, c *x509.Certificate)) leaves {
	if signer == nil {
		signer = w.key
	}
	return w.leaves(func(use string) leaf {
		c := *w.certify(w.platform, w.key, w.binding(use))
		c.ExtraExtensions = []pkix.Extension{evidenceOf(&c)}
		change(use, &c)
		parent := &x509.Certificate{Subject: c.Subject, SerialNumber: big.NewInt(1)}
		return leaf{made(x509.CreateCertificate(rand.Reader, &c, parent, w.key.Private.Public(), signer.Private)), w.key}
	})
}

var oidEvidence = asn1.ObjectIdentifier{2, 23, 133, 5, 4, 9}

func evidenceOf(c *x509.Certificate) pkix.Extension {
	for _, e := range c.Extensions {
		if e.Id.Equal(oidEvidence) {
			return e
		}
	}
	panic("no evidence")
}

// evidence is a good certificate with another text in its extension.
func (w *world) evidence(change func(old []byte) []byte) leaves {
	return w.rewritten(nil, func(_ string, c *x509.Certificate) {
		c.ExtraExtensions[0].Value = change(bytes.Clone(c.ExtraExtensions[0].Value))
	})
}

// claimed is genuine evidence for claims that are not ours.
func (w *world) claimed(claims []byte) leaves {
	return w.evidence(func([]byte) []byte {
		var data [64]byte
		sum := sha256.Sum256(claims)
		copy(data[:], sum[:])
		e := made(w.platform.Quote(context.Background(), data))
		return made(cbor.Marshal(cbor.Tag{Number: 60000, Content: [][]byte{e.Quote, claims}}))
	})
}

// certificates have evidence that must not make their key trusted.
func certificates(w *world) *table[leaves] {
	const appraise, inspectPEM, inspectDER, inspectSet = "attest.Appraise", "ctb inspect PEM", "ctb inspect DER", "ctb inspect JWKS"
	const parse, gateway, tlsConfig, exchange, gatewayTLS = "attest.ParseKeys", "ctb-gateway", "attest.TLSConfig", "ctb exchange", "ctb-gateway, attested TLS"
	// Appraise and inspect tell facts of a certificate: for which use its key is accepted is the question of those who use it.
	anyUse := but{appraise: accepts, inspectPEM: accepts, inspectDER: accepts, inspectSet: "use: got", exchange: "use         "}
	// The names in a certificate count where a host was dialled.
	anyName := but{appraise: accepts, inspectPEM: accepts, inspectDER: accepts, inspectSet: accepts, parse: accepts, gateway: accepts}
	malformed := but{tlsConfig: "failed to parse certificate", exchange: "failed to parse certificate", gatewayTLS: "failed to parse certificate"}

	// A certificate is public. Who shows it must show, by the handshake, that its key is theirs.
	const handshake = "tls: invalid signature by the server certificate"
	replayed := but{appraise: accepts, inspectPEM: accepts, inspectDER: accepts, tlsConfig: handshake, exchange: handshake, gatewayTLS: handshake}

	other := leaf{w.certify(w.platform, w.stranger, w.binding(attest.UseSignature)).Raw, w.stranger}
	swapped := w.rewritten(nil, func(_ string, c *x509.Certificate) {
		c.ExtraExtensions[0] = evidenceOf(made(x509.ParseCertificate(other.der)))
	})
	der := func(change func([]byte) []byte) leaves {
		return w.leaves(func(use string) leaf {
			return leaf{change(bytes.Clone(w.certify(w.platform, w.key, w.binding(use)).Raw)), w.key}
		})
	}
	status := func(s attest.Status) leaves {
		return w.bound(w.hardware(func(c *simulated.Config) { c.Status = s }), unchanged)
	}
	broken := func(f simulated.Fault) leaves {
		return w.bound(w.hardware(func(c *simulated.Config) { c.Fault = f }), unchanged)
	}
	use := func(u string) leaves { return w.bound(w.platform, func(b *attest.Binding) { b.Use = u }) }
	hour := func(from, to int) leaves {
		return w.bound(w.platform, func(b *attest.Binding) {
			b.Issued, b.Expires = w.now.Add(time.Duration(from)*time.Hour), w.now.Add(time.Duration(to)*time.Hour)
		})
	}
	// Genuine, and bound to its key, by a scheme that the policy does not name.
	rsa := made(devidp.NewKey(jose.RS256))
	originals := leaves{
		sig: leaf{made(attest.Certify(context.Background(), w.platform, rsa.Private, w.binding(attest.UseSignature), attest.Original)).Raw, rsa},
		tls: leaf{made(attest.Certify(context.Background(), w.platform, rsa.Private, w.binding(attest.UseSignature), attest.Original)).Raw, rsa},
	}
	stranger := made(simulated.New(simulated.Config{Now: w.now}))
	faults := []fault[leaves]{
		// The certificate.
		{"cut off", der(func(d []byte) []byte { return d[:len(d)-1] }), "x509: ", malformed},
		{"a byte behind", der(func(d []byte) []byte { return append(d, 0) }), "x509: trailing data", malformed},
		{"two certificates in one", der(func(d []byte) []byte { return append(d, d...) }), "x509: trailing data", malformed},
		{"indefinite length", der(func(d []byte) []byte { return append([]byte{0x30, 0x80}, d[4:]...) }), "x509: ", malformed},
		{"not signed by its key", w.rewritten(w.stranger, func(string, *x509.Certificate) {}), "not signed by its own key", nil},
		{"a signature with one bit changed", der(func(d []byte) []byte { d[len(d)-1] ^= 1; return d }), "not signed by its own key", nil},
		{"replayed by who lacks its key", w.leaves(func(use string) leaf { return leaf{w.certify(w.platform, w.key, w.binding(use)).Raw, w.stranger} }), "another key", replayed},
		{"unknown critical extension", w.rewritten(nil, func(_ string, c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}), "critical extension 1.2.3", nil},
		{"lives longer than its evidence", w.rewritten(nil, func(_ string, c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Hour) }), "its evidence says", nil},
		{"begins earlier than its evidence", w.rewritten(nil, func(_ string, c *x509.Certificate) { c.NotBefore = c.NotBefore.Add(-time.Hour) }), "its evidence says", nil},
		{"expired", hour(-3, -1), "expired at", nil},
		{"announced for later", hour(1, 3), "not valid before", nil},
		{"for another host", w.bound(w.platform, func(b *attest.Binding) { b.Names = []string{"mallory.example", "127.0.0.2"} }), "x509: certificate is valid for", anyName},
		{"for no host, but a common name", w.rewritten(nil, func(_ string, c *x509.Certificate) {
			c.IPAddresses, c.Subject.CommonName = nil, "127.0.0.1"
		}), "x509: cannot validate certificate for 127.0.0.1", anyName},

		// The evidence in it.
		{"no evidence", w.rewritten(nil, func(_ string, c *x509.Certificate) { c.ExtraExtensions = nil }), "no evidence", nil},
		{"evidence under another identifier", w.rewritten(nil, func(_ string, c *x509.Certificate) {
			c.ExtraExtensions[0].Id = asn1.ObjectIdentifier{2, 23, 133, 5, 4, 1}
		}), "no evidence", nil},
		{"evidence twice", w.rewritten(nil, func(_ string, c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, c.ExtraExtensions[0])
		}), "duplicate extension", malformed},
		{"evidence of two keys", w.rewritten(nil, func(_ string, c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, evidenceOf(made(x509.ParseCertificate(other.der))))
		}), "duplicate extension", malformed},
		{"evidence of another key", swapped, "bound to another key", nil},
		{"the original's evidence alone", originals, "no evidence by the scheme dice, only by original",
			but{inspectPEM: "scheme: got original", inspectDER: "scheme: got original", inspectSet: "scheme: got original"}},
		{"evidence is empty", w.evidence(func([]byte) []byte { return nil }), "evidence: EOF", nil},
		{"evidence cut off", w.evidence(func(v []byte) []byte { return v[:len(v)-1] }), "evidence: unexpected EOF", nil},
		{"evidence of 64 KiB", w.evidence(func([]byte) []byte {
			return made(cbor.Marshal(cbor.Tag{Number: 60000, Content: [][]byte{make([]byte, 64<<10), {0xa0}}}))
		}), "at most 65536", nil},
		{"evidence of 4 GiB, it says", w.evidence(func([]byte) []byte { return []byte{0xd9, 0xea, 0x60, 0x82, 0x5a, 0xff, 0xff, 0xff, 0xff} }), "evidence: ", nil},
		{"evidence nested deeply", w.evidence(func([]byte) []byte { return append([]byte{0xd9, 0xea, 0x60}, bytes.Repeat([]byte{0x81}, 1000)...) }), "nest", nil},
		{"evidence of another platform's tag", w.evidence(func(v []byte) []byte { v[2]++; return v }), "CBOR tag 60001", nil},
		{"claims changed after the quote", w.evidence(func(v []byte) []byte { return bytes.Replace(v, []byte("broker.example"), []byte("mallory.exampl"), 1) }), "bound to something else", nil},
		{"claims without a key", w.claimed([]byte{0xa0}), `no "pubkey-hash"`, nil},
		{"claims with a name twice", w.claimed([]byte{0xa2, 0x61, 'a', 0x40, 0x61, 'a', 0x40}), "duplicate map key", nil},
		{"claims are no map", w.claimed([]byte("claims")), "claims: ", nil},

		// What the evidence says: genuine, and not ours.
		{"for the other use", w.leaves(func(u string) leaf {
			if u == attest.UseTLS {
				return leaf{w.certify(w.platform, w.key, w.binding(attest.UseSignature)).Raw, w.key}
			}
			return leaf{w.certify(w.platform, w.key, w.binding(attest.UseTLS)).Raw, w.key}
		}), "use: got ", anyUse},
		{"for sealing", use(attest.UseSealing), "use: got ", anyUse},
		{"for a use nobody knows", use("Sig"), "use: got ", anyUse},
		{"of another issuer", w.bound(w.platform, func(b *attest.Binding) { b.Issuer = "https://mallory.example" }), "https://mallory.example", nil},
		{"of an issuer in capitals", w.bound(w.platform, func(b *attest.Binding) { b.Issuer = "https://BROKER.example.com" }), "https://BROKER.example.com", nil},
		{"of other rules", w.bound(w.platform, func(b *attest.Binding) { b.RulesDigest[31]++ }), "0000000000000001", nil},
		{"of no rules", w.bound(w.platform, func(b *attest.Binding) { b.RulesDigest = [32]byte{} }), "rules: got none", but{exchange: "rules       none"}},
		{"of another build", w.bound(w.hardware(func(c *simulated.Config) { c.MRENCLAVE = [32]byte{1} }), unchanged), "0100000000000000", nil},
		{"of a debug build", w.bound(w.hardware(func(c *simulated.Config) { c.Debug = true }), unchanged), "a debug build, whose memory", nil},
		{"of a published signing key", w.bound(w.hardware(func(c *simulated.Config) { c.MRSIGNER = simulated.SampleSigners()[0].MRSIGNER }), unchanged), "published sample key", nil},
		{"of a platform out of date", status(attest.OutOfDate), "OutOfDate (sgxtcb", nil},
		{"of a revoked platform", status(attest.Revoked), "a platform that is not revoked", nil},

		// Not genuine.
		{"by other simulated hardware", w.bound(stranger, unchanged), "untrusted root", nil},
		{"by a look-alike of the root", broken(simulated.LookalikeRoot), "untrusted root", nil},
		{"quote forged", broken(simulated.QuoteForged), "not signed by its attestation key", nil},
		{"quoting enclave in debug mode", broken(simulated.QEDebug), "quoting enclave: attributes", nil},
	}
	return &table[leaves]{kind: "certificate", good: w.bound(w.platform, unchanged), faults: faults, doors: certificateDoors(w)}
}

func certificateDoors(w *world) []door[leaves] {
	keys := func(x leaves) []byte { return set(jwk(x.sig.key, x.sig.key.ID, x.sig.der)) }
	flags := []string{"--json", "--policy", w.path("policy.yaml"), "--collateral", w.path("collateral.json")}
	inspect := func(form func(x leaves) []byte) func(t *testing.T, x leaves) answer {
		return func(t *testing.T, x leaves) answer {
			return call(t, form(x), exits{1}, "ctb", append([]string{"inspect", "-"}, flags...)...)
		}
	}
	doors := []door[leaves]{
		{name: "attest.Appraise", open: func(t *testing.T, x leaves) answer {
			cert, err := x509.ParseCertificate(x.sig.der)
			if err != nil {
				return of(err)
			}
			a, err := attest.Appraise(t.Context(), cert, attest.DICE, w.attested().Platforms, w.now, w.now)
			if err != nil {
				return of(err)
			}
			return of(w.policy.Check(a.Report, a.Binding))
		}},
		{name: "ctb inspect PEM", open: inspect(func(x leaves) []byte {
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: x.sig.der})
		})},
		{name: "ctb inspect DER", open: inspect(func(x leaves) []byte { return x.sig.der })},
		{name: "ctb inspect JWKS", open: inspect(keys)},
		{name: "attest.TLSConfig", open: w.dialAttested},
		{name: "ctb exchange", open: w.exchangeAttested},
		{name: "ctb-gateway, attested TLS", open: w.gatewayAttested},
	}
	for _, d := range attestedDoors(w) {
		if d.name == "attest.ParseKeys" || d.name == "ctb-gateway" {
			doors = append(doors, door[leaves]{name: d.name, open: func(t *testing.T, x leaves) answer { return d.open(t, published{keys(x), w.token()}) }})
		}
	}
	return doors
}

// attestedServer is a broker as its clients see it, with the certificate. It
// counts the requests: of those who don't trust it, none must come.
func (w *world) attestedServer(t *testing.T, x leaf) (url string, requests *atomic.Int64) {
	t.Helper()
	requests = new(atomic.Int64)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == attest.WellKnownAttestation { // asked for by whoever judges, and tells the server nothing
			http.NotFound(rw, r)
			return
		}
		requests.Add(1)
		rw.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/token" {
			fmt.Fprintf(rw, `{"access_token":%q,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":60}`, w.token())
			return
		}
		rw.Write(w.jwks)
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // clients that turn away are what is wanted
	s.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{x.der}, PrivateKey: x.key.Private}, nil
	}}
	s.Config.TLSConfig = s.TLS
	listener := tls.NewListener(s.Listener, s.TLS)
	go s.Config.Serve(listener)
	t.Cleanup(func() { s.Config.Close() })
	return "https://" + s.Listener.Addr().String(), requests
}

// untold checks that a refused server was told nothing.
func untold(t *testing.T, door string, a answer, requests *atomic.Int64) answer {
	t.Helper()
	if n := requests.Load(); !a.accepted && n > 0 {
		t.Errorf("%s: %d requests were sent to a server that is not trusted", door, n)
	}
	return a
}

func (w *world) dialAttested(t *testing.T, x leaves) answer {
	url, requests := w.attestedServer(t, x.tls)
	c := w.attested()
	c.URL = url
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: made(attest.TLSConfig(c)), DisableKeepAlives: true}, Timeout: patience}
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return untold(t, "attest.TLSConfig", ask(t, client, r), requests)
}

func (w *world) exchangeAttested(t *testing.T, x leaves) answer {
	url, requests := w.attestedServer(t, x.tls)
	id := w.idp.Token(ctbtest.Claims{"jti": "x"})
	a := call(t, []byte(id), exits{1}, "ctb", "exchange", "--broker", url, "--policy", w.path("policy.yaml"), "--collateral", w.path("collateral.json"))
	if strings.Contains(a.text, id) {
		t.Errorf("ctb exchange repeats the token")
	}
	return untold(t, "ctb exchange", a, requests)
}

func (w *world) gatewayAttested(t *testing.T, x leaves) answer {
	url, requests := w.attestedServer(t, x.tls)
	text := strings.Replace(w.gatewayText(url), "    ca_path: tls.pem\n", "", 1)
	a := w.gateway(t, w.beside(t, "gateway.yaml", []byte(text), gatewayFiles...), w.token())
	return untold(t, "ctb-gateway, attested TLS", a, requests)
}
