package broker

import (
	"context"
	"crypto"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/confidential-token-broker/ctb/rules"
)

// rsaBits is the size of the original's keys; it is what 2030 and later asks for (NIST SP 800-57 part 1, table 2).
const rsaBits = 3072

// signingKey is one key of the ring. Its binding never changes in its life.
type signingKey struct {
	signer    crypto.Signer // only here, only in memory
	id        string        // RFC 7638 thumbprint
	algorithm string
	digest    [32]byte  // of the rules that its evidence names
	jwk       []byte    // as it stands in the key set
	cert      []byte    // its certificate with the evidence, DER
	issued    time.Time // its evidence is valid from then on
	since     time.Time // taken into use; zero before
	signUntil time.Time // signs no more after it, so that its evidence outlives its tokens
	retiredAt time.Time // another took its place; zero before

	// lastExpiry is the latest "exp" of the tokens that it signs, in Unix
	// seconds, or dropped. It is raised before signing.
	lastExpiry atomic.Int64
}

// dropped is the lastExpiry of a key that has left the key set.
const dropped = -1

// newSigningKey makes a key and its evidence.
func newSigningKey(ctx context.Context, c *Config, digest [32]byte, now time.Time) (*signingKey, error) {
	signer, err := jose.GenerateKey(c.Algorithm, rsaBits)
	if err != nil {
		return nil, err
	}
	id, err := jose.Thumbprint(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("key id: %w", err)
	}
	// Issued a leeway ago: a checker whose clock is behind ours within the
	// leeway must not find the first token's key "not yet valid".
	issued := now.Add(-ctb.Leeway).Truncate(time.Second)
	const longest = rules.MaxExpiration
	// Planned use is announceFor + RotateEvery. As much again (or the longest
	// token's life) is held in reserve for a time in which evidence cannot be had.
	signUntil := now.Add(announceFor + c.RotateEvery + max(c.RotateEvery, longest)).Truncate(time.Second)
	binding := attest.Binding{
		Use:         attest.UseSignature,
		Issuer:      c.Issuer,
		RulesDigest: digest,
		Issued:      issued,
		Expires:     signUntil.Add(longest + ctb.Leeway).Truncate(time.Second).Add(time.Second),
	}
	schemes := []string{attest.DICE}
	if c.Original {
		schemes = append(schemes, attest.Original)
	}
	cert, err := attest.Certify(ctx, c.Quoter, signer, binding, schemes...)
	if err != nil {
		return nil, fmt.Errorf("evidence for a signing key: %w", err)
	}
	jwk, err := jose.MarshalJWK(jose.JWK{KeyID: id, Algorithm: c.Algorithm, Key: signer.Public(), Certificate: [][]byte{cert.Raw}})
	if err != nil {
		return nil, fmt.Errorf("JWK: %w", err)
	}
	return &signingKey{signer: signer, id: id, algorithm: c.Algorithm, digest: digest, jwk: jwk, cert: cert.Raw, issued: issued, signUntil: signUntil}, nil
}

// algorithms are those that access tokens may be signed with.
var algorithms = []string{jose.ES256, jose.ES384, jose.EdDSA, jose.RS256, jose.PS256}

// maySign tells whether the evidence vouches for what is signed now, and outlives it. It
// need not, if the clock was set back.
func (k *signingKey) maySign(now time.Time) bool {
	return !now.Before(k.issued) && !now.After(k.signUntil)
}

// reserve notes that a token with this expiry is about to be signed, so that
// the key stays in the key set as long as the token lives. It fails if
// the key has left the set: nobody could verify the token.
func (k *signingKey) reserve(expiry time.Time) error {
	for {
		last := k.lastExpiry.Load()
		switch {
		case last == dropped:
			return errNoKey
		case last >= expiry.Unix():
			return nil
		case k.lastExpiry.CompareAndSwap(last, expiry.Unix()):
			return nil
		}
	}
}

// drop takes the key out of use for good, if its last token has expired.
func (k *signingKey) drop(now time.Time) bool {
	last := k.lastExpiry.Load()
	if last == dropped {
		return true
	}
	if now.Before(k.retiredAt.Add(inFlight)) || now.Before(time.Unix(last, 0).Add(ctb.Leeway)) {
		return false
	}
	return k.lastExpiry.CompareAndSwap(last, dropped)
}

// goneAt is when drop will succeed, if nothing is signed until then.
func (k *signingKey) goneAt() time.Time {
	gone := k.retiredAt.Add(inFlight)
	if last := time.Unix(k.lastExpiry.Load(), 0).Add(ctb.Leeway); last.After(gone) {
		gone = last
	}
	return gone
}
