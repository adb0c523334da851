package attest

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// The claims are the part of an attested certificate that the hardware vouches
// for: a CBOR map whose SHA-256 is the report data. "pubkey-hash" and "nonce"
// are those of the interoperable RA-TLS form; "ctb-binding" is ours. Every
// value is a byte string, as checkers of that form expect, with CBOR embedded
// in it where it is no plain string of bytes:
//
//	{
//	  "nonce":       h'…',                           / where fresh evidence was asked for /
//	  "ctb-binding": << {"use": "sig", "issuer": "https://…", "issued": 1, "expires": 2, "rules": [1, h'…']} >>,
//	  "pubkey-hash": << [1, h'…'] >>                 / SHA-256 of the DER SubjectPublicKeyInfo /
//	}
const (
	claimKeyHash = "pubkey-hash"
	claimNonce   = "nonce"
	claimBinding = "ctb-binding"
)

// Bounds of what is read. Genuine evidence is far below: a quote has some
// 5 KiB, the claims of this package have less than 1 KiB.
const (
	maxEvidence = 64 << 10 // bytes of the extension's value
	maxClaims   = 16 << 10 // bytes of the claims
	maxNonce    = 64       // bytes of a nonce that Certify takes
)

// Hash algorithms by their numbers in IANA's Named Information Hash Algorithm
// Registry. The interoperable form asks a verifier to know these three.
const (
	hashSHA256 = 1
	hashSHA384 = 7
	hashSHA512 = 8
)

// hashEntry is CoSWID's hash-entry, [algorithm, digest].
type hashEntry struct {
	_         struct{} `cbor:",toarray"`
	Algorithm uint64
	Digest    []byte
}

// boundClaim is the "ctb-binding" entry.
type boundClaim struct {
	Use     string     `cbor:"use"`
	Issuer  string     `cbor:"issuer"`
	Rules   *hashEntry `cbor:"rules,omitempty"` // absent: no rules are enforced
	Issued  int64      `cbor:"issued"`          // seconds since 1970
	Expires int64      `cbor:"expires"`
}

// claims are what this package reads of a claims map.
type claims struct {
	keyHash hashEntry
	nonce   []byte
	bound   *boundClaim // nil in certificates of other software
}

// detEnc writes RFC 8949 section 4.2.1, the core deterministic encoding.
var detEnc = must(cbor.CoreDetEncOptions().EncMode())

// strictDec refuses duplicate names and indefinite lengths, so that one map has one reading.
var strictDec = must(cbor.DecOptions{
	DupMapKey:        cbor.DupMapKeyEnforcedAPF,
	IndefLength:      cbor.IndefLengthForbidden,
	MaxNestedLevels:  8,
	MaxArrayElements: 64,
	MaxMapPairs:      64,
}.DecMode())

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // fixed options, so a mistake here fails every test
	}
	return v
}

// marshal returns the deterministic encoding of a claims map.
func (c *claims) marshal() ([]byte, error) {
	keyHash, err := detEnc.Marshal(c.keyHash)
	if err != nil {
		return nil, err
	}
	m := map[string][]byte{claimKeyHash: keyHash}
	if c.bound != nil {
		if m[claimBinding], err = detEnc.Marshal(c.bound); err != nil {
			return nil, err
		}
	}
	if c.nonce != nil {
		m[claimNonce] = c.nonce
	}
	return detEnc.Marshal(m)
}

// parseClaims reads a claims map. Entries that it does not know are ignored, as
// the interoperable form asks; they are under the report data like the others.
func parseClaims(data []byte) (*claims, error) {
	if len(data) > maxClaims {
		return nil, fmt.Errorf("claims: got %d bytes, want at most %d", len(data), maxClaims)
	}
	var m map[any]cbor.RawMessage
	if err := strictDec.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	c := new(claims)
	raw, ok := m[claimKeyHash]
	if !ok {
		return nil, fmt.Errorf("claims: no %q", claimKeyHash)
	}
	embedded, err := byteString(raw)
	if err != nil {
		return nil, fmt.Errorf("claims: %q: %w", claimKeyHash, err)
	}
	if c.keyHash, err = parseHashEntry(embedded); err != nil {
		return nil, fmt.Errorf("claims: %q: %w", claimKeyHash, err)
	}
	if raw, ok := m[claimNonce]; ok {
		if c.nonce, err = byteString(raw); err != nil {
			return nil, fmt.Errorf("claims: %q: %w", claimNonce, err)
		}
	}
	if raw, ok := m[claimBinding]; ok {
		if c.bound, err = parseBoundClaim(raw); err != nil {
			return nil, fmt.Errorf("claims: %q: %w", claimBinding, err)
		}
	}
	return c, nil
}

// parseHashEntry reads an embedded hash-entry and checks that its digest has
// the length of its algorithm.
func parseHashEntry(data []byte) (hashEntry, error) {
	var items []cbor.RawMessage
	if err := strictDec.Unmarshal(data, &items); err != nil {
		return hashEntry{}, err
	}
	if len(items) != 2 {
		return hashEntry{}, fmt.Errorf("got an array of %d, want [algorithm, digest]", len(items))
	}
	var h hashEntry
	if err := strictDec.Unmarshal(items[0], &h.Algorithm); err != nil {
		return hashEntry{}, err
	}
	var err error
	if h.Digest, err = byteString(items[1]); err != nil {
		return hashEntry{}, err
	}
	return h, h.check()
}

func (h hashEntry) check() error {
	want := map[uint64]int{hashSHA256: 32, hashSHA384: 48, hashSHA512: 64}[h.Algorithm]
	if want == 0 {
		return fmt.Errorf("got hash algorithm %d, want 1 (SHA-256), 7 (SHA-384) or 8 (SHA-512)", h.Algorithm)
	}
	if len(h.Digest) != want {
		return fmt.Errorf("got a digest of %d bytes, want %d", len(h.Digest), want)
	}
	return nil
}

// matches tells whether h is the hash of data.
func (h hashEntry) matches(data []byte) bool {
	switch h.Algorithm {
	case hashSHA256:
		sum := sha256.Sum256(data)
		return bytes.Equal(h.Digest, sum[:])
	case hashSHA384:
		sum := sha512.Sum384(data)
		return bytes.Equal(h.Digest, sum[:])
	case hashSHA512:
		sum := sha512.Sum512(data)
		return bytes.Equal(h.Digest, sum[:])
	}
	return false
}

// parseBoundClaim reads our own entry. Only its deterministic encoding is
// accepted: there is one way to write a binding, and no member that this
// version does not understand.
func parseBoundClaim(raw cbor.RawMessage) (*boundClaim, error) {
	embedded, err := byteString(raw)
	if err != nil {
		return nil, err
	}
	b := new(boundClaim)
	if err := strictDec.Unmarshal(embedded, b); err != nil {
		return nil, err
	}
	again, err := detEnc.Marshal(b)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, embedded) {
		return nil, errors.New("not in deterministic form, or has members that are not known here")
	}
	if b.Rules != nil && (b.Rules.Algorithm != hashSHA256 || len(b.Rules.Digest) != sha256.Size) {
		return nil, errors.New("the rules digest is no SHA-256")
	}
	if b.Use == "" {
		return nil, errors.New("names no use")
	}
	if b.Issued >= b.Expires {
		return nil, fmt.Errorf("expires at %d, which is not after %d, when it was issued", b.Expires, b.Issued)
	}
	return b, nil
}

// claimsOf returns the claims that bind spki as b says.
func claimsOf(b Binding, spki []byte) *claims {
	sum := sha256.Sum256(spki)
	bound := &boundClaim{Use: b.Use, Issuer: b.Issuer, Issued: b.Issued.Unix(), Expires: b.Expires.Unix()}
	if b.RulesDigest != [32]byte{} {
		bound.Rules = &hashEntry{Algorithm: hashSHA256, Digest: b.RulesDigest[:]}
	}
	return &claims{keyHash: hashEntry{Algorithm: hashSHA256, Digest: sum[:]}, nonce: b.Nonce, bound: bound}
}

// binding returns what the claims say, without the validity where they have none.
func (c *claims) binding() *Binding {
	b := &Binding{Scheme: DICE, Nonce: c.nonce}
	if c.bound == nil {
		return b
	}
	b.Use, b.Issuer = c.bound.Use, c.bound.Issuer
	b.Issued, b.Expires = time.Unix(c.bound.Issued, 0).UTC(), time.Unix(c.bound.Expires, 0).UTC()
	if c.bound.Rules != nil {
		copy(b.RulesDigest[:], c.bound.Rules.Digest)
	}
	return b
}

// byteString returns the content of a CBOR byte string, and nothing that
// merely converts to one (arrays of numbers, tagged strings).
func byteString(raw cbor.RawMessage) ([]byte, error) {
	const majorBytes = 2
	if len(raw) == 0 || raw[0]>>5 != majorBytes {
		return nil, errors.New("not a byte string")
	}
	b := []byte{}
	err := strictDec.Unmarshal(raw, &b)
	return b, err
}
