package broker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/jose"
)

// tlsKey is a TLS key with its attested certificate.
type tlsKey struct {
	id          string // RFC 7638 thumbprint
	certificate *tls.Certificate
	digest      [32]byte // of the rules that its evidence names
	issued      time.Time
	renewAt     time.Time // another is made then
	expires     time.Time
}

// TLSCertificate returns an attested certificate for a key made here, ECDSA on
// P-256, for the issuer's host and the configured names. It is made when first
// asked for, and again when rules change or it grows old, so a server asks for each
// handshake (tls.Config.GetCertificate). If no evidence can be had, the one
// at hand serves until it expires.
func (b *Broker) TLSCertificate() (*tls.Certificate, error) {
	now, digest := b.config.wall(), b.ring.current.Load().key.digest
	have := b.tlsKey.Load()
	if have.fresh(now, digest) {
		return have.certificate, nil
	}
	usable := have.valid(now)
	if usable && !b.tlsMu.TryLock() {
		return have.certificate, nil // another handshake makes the new one
	} else if !usable {
		b.tlsMu.Lock()
	}
	defer b.tlsMu.Unlock()
	if have = b.tlsKey.Load(); have.fresh(now, digest) {
		return have.certificate, nil
	}
	made, err := b.newTLSKey(now, digest)
	switch {
	case err == nil:
		b.tlsKey.Store(made)
		b.attested.setTLSKey(made)
		return made.certificate, nil
	case usable:
		b.config.Logger.Error("no new TLS key; the one in use stays", "err", err, "expires", have.expires)
		// Not at once again: each attempt asks the hardware.
		b.tlsKey.Store(&tlsKey{have.id, have.certificate, digest, have.issued, now.Add(maxRetryAfter), have.expires})
		return have.certificate, nil
	}
	return nil, fmt.Errorf("broker: evidence for the TLS key: %w", err)
}

func (k *tlsKey) fresh(now time.Time, digest [32]byte) bool {
	return k.valid(now) && k.digest == digest && now.Before(k.renewAt)
}

func (k *tlsKey) valid(now time.Time) bool {
	return k != nil && !now.Before(k.issued) && now.Before(k.expires)
}

func (b *Broker) newTLSKey(now time.Time, digest [32]byte) (*tlsKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), evidenceWithin)
	defer cancel()
	issued := now.Add(-ctb.Leeway).Truncate(time.Second)
	expires := now.Add(2 * b.config.RotateEvery).Truncate(time.Second)
	cert, err := attest.Certify(ctx, b.config.Quoter, key, attest.Binding{
		Use:         attest.UseTLS,
		Issuer:      b.config.Issuer,
		RulesDigest: digest,
		Issued:      issued,
		Expires:     expires,
		Names:       tlsNames(b.config.Issuer, b.config.Names),
	}, attest.DICE)
	if err != nil {
		return nil, err
	}
	id, err := jose.Thumbprint(key.Public())
	if err != nil {
		return nil, err
	}
	return &tlsKey{
		id:          id,
		certificate: &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert},
		digest:      digest,
		issued:      issued,
		renewAt:     now.Add(b.config.RotateEvery),
		expires:     expires,
	}, nil
}

// tlsNames are the issuer's host and others, each once.
func tlsNames(issuer string, more []string) []string {
	u, _ := url.Parse(issuer) // New has checked it
	names := append([]string{u.Hostname()}, more...)
	slices.Sort(names)
	return slices.Compact(names)
}
