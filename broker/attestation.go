package broker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// attestation is the document that lets a checker verify the keys of this broker
// without asking anybody else: their certificates, and the collateral for the evidence in
// these. Nothing in it is taken on the broker's word. It is built when a part of it changes.
type attestation struct {
	config    *Config
	published atomic.Pointer[published] // nil until all parts were there

	mu         sync.Mutex // over the parts
	rules      *[32]byte  // digest of those in force; nil before there are any
	signing    []listed   // in use and announced
	retired    []listed   // the newest first
	tls        []listed   // a key from a file is not attested
	collateral map[string]json.RawMessage
	awaited    bool // the source of collateral has not answered yet
}

// published is the document with what a fresh statement beside it is about. It does not change once made.
type published struct {
	document *document
	content  attest.Attestation
	rules    [32]byte
	held     [][32]byte // SHA-256 of the SubjectPublicKeyInfo of each key whose private half is here
}

// listed is a key of the document.
type listed struct {
	id, use string
	*certified
}

// sameKey compares a key and its evidence.
func sameKey(x, y listed) bool { return x.certified == y.certified && x.id == y.id }

func newAttestation(c *Config) *attestation {
	return &attestation{config: c, awaited: c.Collateral != nil}
}

// setKeys is told of the digest of the rules in force and the keys of the key set, whenever they are published.
func (a *attestation) setKeys(rules [32]byte, keys []*signingKey) {
	var signing, retired []listed
	for _, k := range keys {
		l := listed{k.id, attest.UseSignature, k.evidence}
		if k.retiredAt.IsZero() {
			signing = append(signing, l)
		} else {
			retired = append(retired, l)
		}
	}
	slices.Reverse(retired)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rules != nil && rules == *a.rules && slices.EqualFunc(signing, a.signing, sameKey) && slices.EqualFunc(retired, a.retired, sameKey) {
		return
	}
	a.rules, a.signing, a.retired = &rules, signing, retired
	a.build()
}

// setTLSKeys is told of the attested TLS keys.
func (a *attestation) setTLSKeys(keys []*certified) {
	var tls []listed
	for _, c := range keys {
		tls = append(tls, listed{c.id, attest.UseTLS, c})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.EqualFunc(tls, a.tls, sameKey) {
		return
	}
	a.tls = tls
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
	if a.rules == nil || a.awaited {
		return // the broker starts
	}
	next := &published{rules: *a.rules, content: attest.Attestation{
		Issuer: a.config.Issuer, RulesDigest: fmt.Sprintf("sha256:%x", *a.rules), Simulated: a.config.Simulated, Keys: []attest.AttestedKey{}, Collateral: a.collateral,
	}}
	for _, k := range a.keys() {
		next.content.Keys = append(next.content.Keys, attest.AttestedKey{KeyID: k.id, Use: k.use, Certificates: [][]byte{k.cert.Raw}})
		if k.signer != nil {
			next.held = append(next.held, attest.KeyHash(k.cert))
		}
	}
	body, err := next.content.Marshal()
	if err != nil { // unreachable: the staple knows its collateral to be fit, and the keys fit beside it
		a.config.Logger.Error("the attestation document could not be built; the last one is served", "err", err)
		return
	}
	next.document = newDocument("application/json", body, jwksMaxAge)
	a.published.Store(next)
}

// keys are those that fit into what a reader takes. Should they not, it is the oldest retired ones that
// are left out: the key set has them.
func (a *attestation) keys() []listed {
	all := slices.Concat(a.signing, a.tls, a.retired)
	size := 4<<10 + maxFresh // the document without keys and collateral
	for _, c := range a.collateral {
		size += len(c)
	}
	for i, k := range all {
		size += 256 + base64.StdEncoding.EncodedLen(len(k.cert.Raw)) // names, and the certificate
		if i == jose.MaxKeys || size > attest.MaxAttestation {
			return all[:i]
		}
	}
	return all
}

// serveAttestation answers with the document or, to a nonce, with fresh evidence beside it. Until the source of collateral has
// answered for the first time, it is 503: a checker that found no collateral would keep that for minutes.
func (b *Broker) serveAttestation(w http.ResponseWriter, r *http.Request, asker asker) {
	now := b.attested.published.Load()
	switch {
	case now == nil:
		writeUnavailable(w, "the evidence or its collateral is being asked for; try again in a moment")
	case r.URL.RawQuery == "":
		now.document.serve(w, r)
	default:
		b.serveFresh(w, r, asker)
	}
}
