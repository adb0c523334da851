package attest

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// The claims of a fresh statement are a CBOR map of this one entry, whose SHA-256 is the report data. A
// certificate's claims have "pubkey-hash", and these must not, so that no evidence is ever read both ways. What others
// choose, their nonces, is in it by its hash, so nobody can make a broker sign a text of theirs.
//
//	{
//	  "ctb-fresh": << {"keys": [h'…'], "time": 1, "rules": [1, h'…'], "issuer": "https://…", "nonces": [h'…']} >>
//	}
const claimFresh = "ctb-fresh"

// Bounds of what is fresh.
const (
	MinFreshNonce  = 16 // bytes of the nonce of who asks
	MaxFreshNonce  = 64
	MaxFreshNonces = 64           // that one statement answers
	maxFresh       = jose.MaxKeys // keys of one statement, which are those of a document
)

const lastSecond = 253402300799 // of the year 9999, which is the last that text can have (RFC 3339)

// useFresh is the use of a fresh statement's binding. No certificate's evidence is read to have it.
const useFresh = "fresh"

// FreshClaims are what a broker has its hardware vouch for when it is asked whether it is there now.
type FreshClaims struct {
	Issuer      string     // the broker's issuer URL
	RulesDigest [32]byte   // SHA-256 of the rules that it enforces, zero if it enforces none
	Time        time.Time  // now, by the broker's clock; whole seconds are kept
	Keys        [][32]byte // SHA-256 of the DER SubjectPublicKeyInfo of each key that it has, 1 to 100 ([KeyHash])
	Nonces      [][]byte   // of all who ask, 1 to 64, of 16 to 64 bytes each
}

// KeyHash is how [FreshClaims] name a key: the SHA-256 of its DER SubjectPublicKeyInfo.
func KeyHash(cert *x509.Certificate) [32]byte { return sha256.Sum256(cert.RawSubjectPublicKeyInfo) }

// freshClaim is the entry.
type freshClaim struct {
	Issuer string     `cbor:"issuer"`
	Rules  *hashEntry `cbor:"rules,omitempty"` // absent: no rules are enforced
	Time   int64      `cbor:"time"`            // seconds since 1970
	Keys   [][]byte   `cbor:"keys"`            // SHA-256 each, ascending, each once
	Nonces [][]byte   `cbor:"nonces"`          // likewise
}

// freshDec is strictDec with room for all keys of a document.
var freshDec = must(cbor.DecOptions{
	DupMapKey:        cbor.DupMapKeyEnforcedAPF,
	IndefLength:      cbor.IndefLengthForbidden,
	MaxNestedLevels:  4,
	MaxArrayElements: max(maxFresh, MaxFreshNonces),
	MaxMapPairs:      16,
}.DecMode())

// marshal returns the deterministic encoding of the claims. It has the keys and the nonces in an order that tells nothing.
func (c *FreshClaims) marshal() ([]byte, error) {
	claim := freshClaim{Issuer: c.Issuer, Time: c.Time.Unix()}
	if c.RulesDigest != [32]byte{} {
		claim.Rules = &hashEntry{Algorithm: hashSHA256, Digest: c.RulesDigest[:]}
	}
	for _, k := range c.Keys {
		claim.Keys = append(claim.Keys, k[:])
	}
	for _, nonce := range c.Nonces {
		if err := checkNonce(nonce); err != nil {
			return nil, err
		}
		claim.Nonces = append(claim.Nonces, hashOf(nonce))
	}
	claim.Keys, claim.Nonces = sortedOnce(claim.Keys), sortedOnce(claim.Nonces)
	return claim.marshal()
}

func sortedOnce(hashes [][]byte) [][]byte {
	slices.SortFunc(hashes, bytes.Compare)
	return slices.CompactFunc(hashes, bytes.Equal)
}

func (c *freshClaim) marshal() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("fresh claims: %w", err)
	}
	embedded, err := detEnc.Marshal(c)
	if err != nil {
		return nil, err
	}
	return detEnc.Marshal(map[string][]byte{claimFresh: embedded})
}

// check tells whether the claims are such as are made.
func (c *freshClaim) check() error {
	if u, err := url.Parse(c.Issuer); err != nil || u.Scheme == "" || u.Host == "" {
		return fmt.Errorf("got issuer %q, want a URL", clip(c.Issuer))
	}
	if c.Rules != nil && (c.Rules.Algorithm != hashSHA256 || len(c.Rules.Digest) != sha256.Size) {
		return errors.New("the rules digest is no SHA-256")
	}
	if c.Time < 0 || c.Time > lastSecond {
		return fmt.Errorf("got time %d, want seconds since 1970", c.Time)
	}
	if err := checkHashes(c.Keys, maxFresh); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if err := checkHashes(c.Nonces, MaxFreshNonces); err != nil {
		return fmt.Errorf("nonces: %w", err)
	}
	return nil
}

// checkHashes wants 1 to most SHA-256 digests in ascending order, so that a set is written in one way.
func checkHashes(hashes [][]byte, most int) error {
	if n := len(hashes); n == 0 || n > most {
		return fmt.Errorf("got %d, want 1 to %d", n, most)
	}
	for i, h := range hashes {
		if len(h) != sha256.Size {
			return fmt.Errorf("got a digest of %d bytes, want %d", len(h), sha256.Size)
		}
		if i > 0 && bytes.Compare(hashes[i-1], h) >= 0 {
			return errors.New("not in ascending order")
		}
	}
	return nil
}

// parseFreshClaims reads what marshal writes, and nothing else.
func parseFreshClaims(data []byte) (*freshClaim, error) {
	if len(data) > maxClaims {
		return nil, fmt.Errorf("claims: got %d bytes, want at most %d", len(data), maxClaims)
	}
	var m map[string]cbor.RawMessage
	if err := freshDec.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	raw, ok := m[claimFresh]
	if !ok || len(m) != 1 {
		return nil, fmt.Errorf("claims: got %d entries, want %q alone", len(m), claimFresh)
	}
	embedded, err := byteString(raw)
	if err != nil {
		return nil, fmt.Errorf("claims: %q: %w", claimFresh, err)
	}
	c := new(freshClaim)
	if err := freshDec.Unmarshal(embedded, c); err != nil {
		return nil, fmt.Errorf("claims: %q: %w", claimFresh, err)
	}
	again, err := c.marshal()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		return nil, fmt.Errorf("claims: %q is not in deterministic form, or has members that are not known here", claimFresh)
	}
	return c, nil
}

// binding is what the claims say in the words of a binding: it holds from when they were made until they are old.
func (c *freshClaim) binding() *Binding {
	b := &Binding{Scheme: DICE, Use: useFresh, Issuer: c.Issuer, Issued: time.Unix(c.Time, 0).UTC()}
	b.Expires = b.Issued.Add(freshAge)
	if c.Rules != nil {
		copy(b.RulesDigest[:], c.Rules.Digest)
	}
	return b
}

// answers tells whether the claims were made for the nonce, at this time.
func (c *freshClaim) answers(nonce []byte, now time.Time) error {
	if _, ok := slices.BinarySearchFunc(c.Nonces, hashOf(nonce), bytes.Compare); !ok {
		return fmt.Errorf("it does not answer this nonce (it answers %d): it was made for somebody else, or earlier", len(c.Nonces))
	}
	b := c.binding()
	if b.validAt(lenient(now, b.Issued, b.Expires)) != nil {
		return fmt.Errorf("it was made at %s, and it is %s: want a statement of the last %v, by clocks that are no more than %v apart",
			stamp(b.Issued), stamp(now), freshAge, ctb.Leeway)
	}
	return nil
}

// covers tells which keys of a document are among those of the claims.
func (c *freshClaim) covers(keys []AttestedKey) []FreshKey {
	list := make([]FreshKey, len(keys))
	for i, k := range keys {
		list[i] = FreshKey{KeyID: k.KeyID, Use: k.Use, Covered: c.has(k)}
	}
	return list
}

// has tells whether a key is among those of the claims, and goes by its own name.
func (c *freshClaim) has(k AttestedKey) bool {
	if len(k.Certificates) == 0 {
		return false
	}
	cert, err := x509.ParseCertificate(k.Certificates[0])
	if err != nil {
		return false
	}
	name, err := jose.Thumbprint(cert.PublicKey)
	_, found := slices.BinarySearchFunc(c.Keys, hashOf(cert.RawSubjectPublicKeyInfo), bytes.Compare)
	return err == nil && name == k.KeyID && found
}

func checkNonce(nonce []byte) error {
	if n := len(nonce); n < MinFreshNonce || n > MaxFreshNonce {
		return fmt.Errorf("fresh evidence: got a nonce of %d bytes, want %d to %d", n, MinFreshNonce, MaxFreshNonce)
	}
	return nil
}

func hashOf(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}
