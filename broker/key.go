package broker

import (
	"crypto"
	"sync/atomic"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/confidential-token-broker/ctb/rules"
)

const (
	// rsaBits is the size of the original's keys; it is what 2030 and later asks for (NIST SP 800-57 part 1, table 2).
	rsaBits = 3072
	// evidenceAge is how old the evidence of a signing key in use gets, so that the collateral that comes
	// with it does not grow too old. Keys that are rotated sooner never reach it.
	evidenceAge = 10 * 24 * time.Hour
)

// algorithms are those that access tokens may be signed with.
var algorithms = []string{jose.ES256, jose.ES384, jose.EdDSA, jose.RS256, jose.PS256}

// signingKey is one key of the ring. What its evidence binds it to never changes in its life; the
// evidence does, when it is renewed.
type signingKey struct {
	id        string // RFC 7638 thumbprint
	algorithm string
	digest    [32]byte      // of the rules that its evidence names; zero for a key of an earlier run
	lifetime  time.Duration // the longest that its tokens live

	// The ring's, under its lock.
	evidence  *certified    // the newest
	jwk       []byte        // as it stands in the key set
	kept      time.Time     // it may sign until then, by the certificate that is kept
	unkept    bool          // what is kept of it is not the newest
	since     time.Time     // taken into use; zero before
	retiredAt time.Time     // another took its place; zero before
	restored  time.Time     // a key of an earlier run: when that was, with the monotonic reading; else zero
	left      time.Duration // and how long its tokens may live from then on, with the leeway

	// lastExpiry is the latest "exp" of the tokens that it signs, in Unix
	// seconds, or dropped. It is raised before signing.
	lastExpiry atomic.Int64
}

// dropped is the lastExpiry of a key that has left the key set.
const dropped = -1

// signingPlan is what signing keys are certified for. Planned use is announceFor + RotateEvery. As much
// again (or the longest token's life) is held in reserve for a time in which evidence cannot be had.
func (c *Config) signingPlan(digest [32]byte) plan {
	const longest = rules.MaxExpiration
	p := plan{
		use:     attest.UseSignature,
		digest:  digest,
		lasts:   announceFor + c.RotateEvery + max(c.RotateEvery, longest),
		outlive: longest + ctb.Leeway,
		every:   evidenceAge,
		schemes: []string{attest.DICE},
	}
	if c.Original {
		p.schemes = append(p.schemes, attest.Original)
	}
	return p
}

// show makes c the evidence that the key set shows.
func (k *signingKey) show(c *certified) error {
	jwk, err := jose.MarshalJWK(jose.JWK{KeyID: k.id, Algorithm: k.algorithm, Key: c.cert.PublicKey, Certificate: [][]byte{c.cert.Raw}})
	if err != nil {
		return err
	}
	k.evidence, k.jwk = c, jwk
	return nil
}

// held tells whether the private half is in this memory. That of a key of an earlier run is not: it can't be certified anew.
func (k *signingKey) held() bool { return k.evidence.signer != nil }

// signer is a key with the evidence by which it signs. It does not change once made.
type signer struct {
	*signingKey
	private crypto.Signer
	from    time.Time
	until   time.Time
}

// signer is the key as exchanges get it.
func (k *signingKey) signer() *signer {
	return &signer{signingKey: k, private: k.evidence.signer, from: k.evidence.issued, until: earlier(k.evidence.useUntil, k.kept)}
}

// maySign tells whether the evidence vouches for what is signed now, and outlives it. It
// need not, if the clock was set, or no evidence could be had for long. Nobody may sign without a key.
func (s *signer) maySign(now time.Time) bool {
	return s != nil && !now.Before(s.from) && !now.After(s.until)
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

// drop takes the key out of use for good, if its last token has expired. now has the clock's monotonic reading.
func (k *signingKey) drop(now time.Time) bool {
	last := k.lastExpiry.Load()
	if last == dropped {
		return true
	}
	over := !now.Before(k.retiredAt.Add(inFlight)) && !now.Before(time.Unix(last, 0).Add(ctb.Leeway))
	if !k.restored.IsZero() {
		// All that it signed was signed before the restart: when as much time has passed as its tokens live, it is over, even
		// if its retirement is of a time that has not come. And not before, if only the clock was set.
		over = now.Sub(k.restored) >= k.left && (over || now.Before(k.retiredAt))
	}
	return over && k.lastExpiry.CompareAndSwap(last, dropped)
}

// goneAt is when drop will succeed, if nothing is signed until then.
func (k *signingKey) goneAt() time.Time {
	gone := k.retiredAt.Add(inFlight)
	if last := time.Unix(k.lastExpiry.Load(), 0).Add(ctb.Leeway); last.After(gone) {
		gone = last
	}
	return gone
}
