package broker

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/exchange"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// attestation is the document that lets a checker verify the keys of this broker
// without asking anybody else: their certificates, and the collateral for the evidence in
// these. Nothing in it is taken on the broker's word. It is built when a part of it changes.
type attestation struct {
	config    *Config
	published atomic.Pointer[document] // nil until all parts were there

	mu         sync.Mutex           // over the parts
	rules      string               // digest of those in force
	signing    []attest.AttestedKey // in use and announced
	retired    []attest.AttestedKey // the newest first
	tls        []attest.AttestedKey // one, or none: a key from a file is not attested
	collateral map[string]json.RawMessage
	awaited    bool // the source of collateral has not answered yet
}

func newAttestation(c Config) *attestation {
	return &attestation{config: &c, awaited: c.Collateral != nil}
}

// setKeys is told of the digest of the rules in force and the keys of the key set, whenever they are published.
func (a *attestation) setKeys(rules string, keys []*signingKey) {
	var signing, retired []attest.AttestedKey
	for _, k := range keys {
		listed := attest.AttestedKey{KeyID: k.id, Use: attest.UseSignature, Certificates: [][]byte{k.cert}}
		if k.retiredAt.IsZero() {
			signing = append(signing, listed)
		} else {
			retired = append(retired, listed)
		}
	}
	slices.Reverse(retired)
	a.mu.Lock()
	defer a.mu.Unlock()
	if rules == a.rules && slices.EqualFunc(signing, a.signing, sameKey) && slices.EqualFunc(retired, a.retired, sameKey) {
		return
	}
	a.rules, a.signing, a.retired = rules, signing, retired
	a.build()
}

// sameKey compares names: a key and its certificate never change in its life.
func sameKey(x, y attest.AttestedKey) bool { return x.KeyID == y.KeyID }

// setTLSKey is told of each TLS key that is made.
func (a *attestation) setTLSKey(k *tlsKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tls = []attest.AttestedKey{{KeyID: k.id, Use: attest.UseTLS, Certificates: k.certificate.Certificate}}
	a.build()
}

// setCollateral is told of the collateral for the evidence of all keys; no data means that there is none to be had.
func (a *attestation) setCollateral(platform string, data []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.collateral, a.awaited = nil, false
	if data != nil {
		a.collateral = map[string]json.RawMessage{platform: data}
	}
	a.build()
}

// build makes the document of its parts.
func (a *attestation) build() {
	if len(a.signing) == 0 || a.awaited {
		return // the broker starts
	}
	content := attest.Attestation{
		Issuer: a.config.Issuer, RulesDigest: a.rules, Simulated: a.config.Simulated, Keys: a.keys(), Collateral: a.collateral,
	}
	body, err := content.Marshal()
	if err != nil { // unreachable: the staple knows its collateral to be fit, and the keys fit beside it
		a.config.Logger.Error("the attestation document could not be built; the last one is served", "err", err)
		return
	}
	a.published.Store(newDocument("application/json", body, jwksMaxAge))
}

// keys are those that fit into what a reader takes. Should they not, it is the oldest retired ones that
// are left out: the key set has them.
func (a *attestation) keys() []attest.AttestedKey {
	all := slices.Concat(a.signing, a.tls, a.retired)
	size := 4 << 10 // the document without keys and collateral
	for _, c := range a.collateral {
		size += len(c)
	}
	for i, k := range all {
		size += 256 // names
		for _, der := range k.Certificates {
			size += base64.StdEncoding.EncodedLen(len(der))
		}
		if i == jose.MaxKeys || size > attest.MaxAttestation {
			return all[:i]
		}
	}
	return all
}

// serve answers with the document. Until the source of collateral has answered for the first time, it
// is 503: a checker that found no collateral would keep that for minutes.
func (a *attestation) serve(w http.ResponseWriter, r *http.Request) {
	if doc := a.published.Load(); doc != nil {
		doc.serve(w, r)
		return
	}
	w.Header().Set("Retry-After", retryAfter)
	writeProblem(w, http.StatusServiceUnavailable, exchange.TemporarilyUnavailable, "the collateral is being asked for; try again in a moment")
}

// serveAttestation answers with the document. It is the same for everybody: to ask
// for evidence that is fresh for one asker is refused here, for who asked must not take this for it.
func (b *Broker) serveAttestation(w http.ResponseWriter, r *http.Request, _ asker) {
	if r.URL.RawQuery == "" {
		b.attested.serve(w, r)
		return
	}
	description := "this path takes no parameters"
	if r.URL.Query().Has("nonce") {
		description = "fresh evidence for a nonce is not made here; without nonce, the evidence of the keys is at this path"
	}
	writeProblem(w, http.StatusBadRequest, exchange.InvalidRequest, description)
}
