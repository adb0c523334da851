package broker

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/internal/jose"
	"github.com/confidential-token-broker/ctb/internal/selfsigned"
)

// TLSCertificate returns an attested certificate for a key made here, ECDSA on
// P-256, for the issuer's host and the configured names. It is made when first
// asked for, and again when rules change or it grows old, so a server asks for each
// handshake (tls.Config.GetCertificate). If no evidence can be had, the one
// at hand serves until it expires, and then one without evidence, which checkers refuse and which serves everybody else; it is
// replaced as soon as evidence can be had.
func (b *Broker) TLSCertificate() (*tls.Certificate, error) { return b.tls.certificate() }

// AttestTLSKey has the key attested for TLS under these names (DNS names and IP addresses; none: those of
// [Broker.TLSCertificate]), beside that of TLSCertificate. It is for a key made inside, whose publicly trusted certificate the
// server shows: checkers find the evidence in the attestation document. It is renewed like all others, follows the rules, and is
// replaced when this is called with another key; with the same key and names nothing is done, so that it can be called
// for each certificate that is got. A nil key takes it away.
//
// The error is that the key or the names are of no use. If it is only that no evidence can be had now, there is
// none: Run tries it again and again, and log and health page say so. It waits for at most 30 s. [Broker.Lists] tells
// when the certificate may be shown.
func (b *Broker) AttestTLSKey(key crypto.Signer, names []string) error {
	if err := b.tls.attest(key, names); err != nil {
		return fmt.Errorf("broker: the TLS key can't be attested: %w", err)
	}
	return nil
}

// Lists tells whether the attestation document lists the key of this certificate, and its private half is here. A server shows a
// publicly trusted certificate when it does, and that of TLSCertificate until then: checkers would look for its key in vain. A key that was
// listed stays so while its evidence can't be renewed.
func (b *Broker) Lists(cert *x509.Certificate) bool {
	now := b.attested.published.Load()
	return now != nil && slices.Contains(now.held, attest.KeyHash(cert))
}

// tlsKeys are the TLS keys: the one made here, and perhaps one that has a publicly trusted certificate. Handshakes wait for
// evidence for a short time, and while there is a certificate, one of them does.
type tlsKeys struct {
	config  *Config
	quoting *quoting
	digest  func() [32]byte // of the rules in force
	changed func(attested []*certified)
	wake    chan struct{}

	own     atomic.Pointer[tlsKey]
	trouble atomic.Pointer[error] // why there is no newest evidence; nil when there is

	asked  sync.Mutex
	trying chan struct{} // closed when the attempt under way has ended; nil: none is

	mu         sync.Mutex // held over making evidence
	ownRetry   retry
	public     crypto.Signer // nil: there is none
	names      []string      // of public
	publicKey  *certified    // its newest evidence, nil before the first
	otherRetry retry
}

// tlsKey is the key made here with its certificate. It does not change once made.
type tlsKey struct {
	*certified  // without evidence, it has no renewAt
	attested    bool
	certificate *tls.Certificate
}

func newTLSKeys(c *Config, q *quoting, digest func() [32]byte, changed func([]*certified)) *tlsKeys {
	return &tlsKeys{config: c, quoting: q, digest: digest, changed: changed, wake: make(chan struct{}, 1)}
}

// handshakeWait is how long a handshake waits for evidence, at most: a server gives up a handshake soon, and while the hardware
// hangs, all who come would wait together.
const handshakeWait = 4 * time.Second

func (t *tlsKeys) certificate() (*tls.Certificate, error) {
	have := t.own.Load()
	if have.fresh(t.config.wall(), t.digest()) {
		return have.certificate, nil
	}
	tried, began := t.tryOwn()
	// Who has a usable one waits only if he began; the others need not.
	if began || have == nil || !have.usable(t.config.wall()) {
		patience := time.NewTimer(handshakeWait)
		defer patience.Stop()
		select {
		case <-tried:
		case <-patience.C:
		}
	}
	now := t.config.wall()
	if have = t.own.Load(); have != nil && have.usable(now) {
		return have.certificate, nil
	}
	bare, err := t.showBare(have, now)
	if err != nil {
		return nil, fmt.Errorf("broker: the TLS key: %w", err)
	}
	return bare.certificate, nil
}

// tryOwn has the key made here renewed, if it is due, by one goroutine for all who want it. The channel is closed when that
// was tried; began tells whether it was this call that began.
func (t *tlsKeys) tryOwn() (tried <-chan struct{}, began bool) {
	t.asked.Lock()
	defer t.asked.Unlock()
	if t.trying != nil {
		return t.trying, false
	}
	done := make(chan struct{})
	t.trying = done
	go func() {
		t.mu.Lock()
		err := t.renewOwn(context.Background(), t.config.wall())
		t.mu.Unlock()
		if err != nil {
			t.config.Logger.Error("no TLS key", "err", err)
		}
		t.asked.Lock()
		t.trying = nil
		t.asked.Unlock()
		close(done)
	}()
	return done, true
}

func (t *tlsKeys) attest(key crypto.Signer, names []string) error {
	if key != nil {
		if err := checkTLSKey(key); err != nil {
			return err
		}
		if err := checkNames(names); err != nil {
			return fmt.Errorf("name: %w", err)
		}
		if len(names) == 0 {
			names = tlsNames(t.config.Issuer, t.config.Names)
		}
		names = slices.Compact(slices.Sorted(slices.Values(names)))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	same := key != nil && t.public != nil && jose.SameKey(key.Public(), t.public.Public()) && slices.Equal(names, t.names)
	if same {
		return nil
	}
	t.public, t.names, t.publicKey = key, names, nil
	t.otherRetry.succeeded()
	t.renewPublic(context.Background(), t.config.wall())
	t.tell()
	return nil
}

// checkTLSKey refuses what no evidence or no handshake could be made for.
func checkTLSKey(key crypto.Signer) error {
	if k, ok := key.Public().(*rsa.PublicKey); ok && k.N.BitLen() < 2048 {
		return fmt.Errorf("got an RSA key of %d bits, want 2048 or more", k.N.BitLen())
	}
	_, err := jose.Thumbprint(key.Public())
	return err
}

// run renews what is due until ctx ends.
func (t *tlsKeys) run(ctx context.Context) {
	for ctx.Err() == nil {
		t.advance(ctx)
		wait := time.Minute // a clock that was set forward is noticed soon
		if t.trouble.Load() != nil {
			wait = time.Second // the shortest wait of a retry
		}
		pause(ctx, wait, t.wake)
	}
}

// advance makes the certificates that are due, of keys that are used.
func (t *tlsKeys) advance(ctx context.Context) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.config.wall()
	if t.own.Load() != nil {
		if err := t.renewOwn(ctx, now); err != nil {
			t.config.Logger.Error("no TLS key", "err", err)
		}
	}
	t.renewPublic(ctx, now)
	t.tell()
}

// renewOwn makes a new key with a certificate, if it is due. The error is that there is none at all.
func (t *tlsKeys) renewOwn(ctx context.Context, now time.Time) error {
	have, digest := t.own.Load(), t.digest()
	if have.fresh(now, digest) || have != nil && have.usable(now) && t.ownRetry.waits(now) {
		return nil
	}
	defer t.tell()
	if !t.ownRetry.waits(now) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		c, err := t.quoting.certify(ctx, key, t.plan(tlsNames(t.config.Issuer, t.config.Names)))
		if err == nil {
			t.ownRetry.succeeded()
			t.own.Store(newTLSKey(c, true))
			return nil
		}
		t.ownRetry.failed(now, fmt.Errorf("evidence for the TLS key: %w", err))
		t.config.Logger.Error("no evidence for a new TLS key", "err", err, "retry_at", t.ownRetry.at)
	}
	if have = t.own.Load(); have != nil && have.usable(now) {
		return nil
	}
	_, err := t.showBare(have, now)
	return err
}

// showBare makes a certificate without evidence and shows it in the place of old, unless another came first.
func (t *tlsKeys) showBare(old *tlsKey, now time.Time) (*tlsKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	bare, err := t.withoutEvidence(key, now)
	if err != nil {
		return nil, err
	}
	if !t.own.CompareAndSwap(old, bare) {
		return t.own.Load(), nil
	}
	t.config.Logger.Warn("the TLS certificate has no evidence: checkers refuse it")
	return bare, nil
}

// renewPublic certifies the other key, if it is due.
func (t *tlsKeys) renewPublic(ctx context.Context, now time.Time) {
	have := t.publicKey
	if t.public == nil || have != nil && have.digest == t.digest() && !have.due(now) || t.otherRetry.waits(now) {
		return
	}
	c, err := t.quoting.certify(ctx, t.public, t.plan(t.names))
	if err != nil {
		t.otherRetry.failed(now, fmt.Errorf("evidence for the TLS key with a public certificate: %w", err))
		t.config.Logger.Error("no evidence for the TLS key with a public certificate", "err", err, "retry_at", t.otherRetry.at)
		return
	}
	t.otherRetry.succeeded()
	t.publicKey = c
}

// plan is what TLS keys are certified for.
func (t *tlsKeys) plan(names []string) plan {
	return plan{
		use: attest.UseTLS, digest: t.digest(), names: names,
		lasts: 2 * t.config.RotateEvery, every: t.config.RotateEvery, schemes: []string{attest.DICE},
	}
}

// tell has the attested keys listed, and the trouble told.
func (t *tlsKeys) tell() {
	var listed []*certified
	if own := t.own.Load(); own != nil && own.attested {
		listed = append(listed, own.certified)
	}
	if t.publicKey != nil {
		listed = append(listed, t.publicKey)
	}
	t.changed(listed)
	t.trouble.Store(nil)
	if err := errors.Join(t.ownRetry.err, t.otherRetry.err); err != nil {
		t.trouble.Store(&err)
	}
}

// lookAgain has what is due made soon.
func (t *tlsKeys) lookAgain() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func newTLSKey(c *certified, attested bool) *tlsKey {
	return &tlsKey{c, attested, &tls.Certificate{Certificate: [][]byte{c.cert.Raw}, PrivateKey: c.signer, Leaf: c.cert}}
}

func (k *tlsKey) fresh(now time.Time, digest [32]byte) bool {
	return k != nil && k.attested && k.digest == digest && !k.due(now)
}

// withoutEvidence makes a certificate that nobody but its own key vouches for, so that liveness can be asked for over TLS.
func (t *tlsKeys) withoutEvidence(key crypto.Signer, now time.Time) (*tlsKey, error) {
	cert, err := selfsigned.Certificate(key, &x509.Certificate{
		Subject:               pkix.Name{CommonName: "confidential token broker, without evidence"},
		NotBefore:             now.Add(-ctb.Leeway).Truncate(time.Second),
		NotAfter:              now.Add(2 * t.config.RotateEvery).Truncate(time.Second),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, // and no CA
	}, tlsNames(t.config.Issuer, t.config.Names))
	if err != nil {
		return nil, err
	}
	c := &certified{signer: key, cert: cert, digest: t.digest(), issued: cert.NotBefore, useUntil: cert.NotAfter, ends: cert.NotAfter}
	return newTLSKey(c, false), nil
}

// tlsNames are the issuer's host and others, each once.
func tlsNames(issuer string, more []string) []string {
	u, _ := url.Parse(issuer) // New has checked it
	names := append([]string{u.Hostname()}, more...)
	slices.Sort(names)
	return slices.Compact(names)
}
