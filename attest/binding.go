package attest

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Binding schemes.
const (
	DICE     = "dice"     // the attested certificate of TCG DICE tagged evidence, the default
	Original = "original" // the original confidential token broker's; it binds the key alone
)

// Uses of an attested key.
const (
	UseSignature = "sig"
	UseTLS       = "tls"
	UseSealing   = "seal"
)

// Binding is what the evidence binds to a key: the claims whose digest is the
// report data. [Certify] writes one, [Appraise] reads it.
//
// Evidence of other software (Gramine's RA-TLS, librats), and of the scheme
// [Original], binds the key alone. Its Issuer and RulesDigest are then zero,
// and so is its Use, but for [UseSignature] under the scheme Original.
type Binding struct {
	Scheme      string    // DICE or Original
	Use         string    // what the key is for: UseSignature, …
	Issuer      string    // the broker's issuer URL
	RulesDigest [32]byte  // SHA-256 of the rules that the broker enforces, zero if it enforces none
	Issued      time.Time // the key's validity, whole seconds, both ends included
	Expires     time.Time
	Nonce       []byte // fresh evidence: the asker's, at most 64 bytes

	Names []string // DNS names and IP addresses of the certificate; not part of the evidence
}

// check tells whether b can be certified.
func (b *Binding) check() error {
	if b.Use == "" {
		return errors.New("binding: no use, such as attest.UseSignature")
	}
	if u, err := url.Parse(b.Issuer); err != nil || u.Scheme == "" || u.Host == "" {
		return fmt.Errorf("binding: got issuer %q, want a URL", b.Issuer)
	}
	if !b.Issued.Before(b.Expires) {
		return fmt.Errorf("binding: expires at %v, which is not after %v, when it is issued", b.Expires, b.Issued)
	}
	if len(b.Nonce) > maxNonce {
		return fmt.Errorf("binding: got a nonce of %d bytes, want at most %d", len(b.Nonce), maxNonce)
	}
	return nil
}
