package attest

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/confidential-token-broker/ctb/internal/jose"
)

// Appraisal is what is known of a key whose evidence is genuine.
type Appraisal struct {
	Report  *Report
	Binding *Binding
	Key     crypto.PublicKey
}

// BindingError says that evidence is genuine, and yet does not vouch for the
// key it came with, or not at this time. Everything else that [Appraise]
// returns means that the evidence is malformed, is not genuine, or can't be judged.
type BindingError struct {
	Report *Report // the facts of the evidence
	Err    error
}

func (e *BindingError) Error() string { return e.Err.Error() }

// Unwrap returns e.Err.
func (e *BindingError) Unwrap() error { return e.Err }

// Appraise tells whether the certificate's evidence is genuine and bound to the
// certificate's key. The scheme is the caller's choice, never guessed. The certificate is judged
// at the instant at, its evidence at evidenceAt (which is at, but for archived tokens).
// What to accept is the policy's question: see [Policy.Check].
func Appraise(ctx context.Context, cert *x509.Certificate, scheme string, platforms []Verifier, at, evidenceAt time.Time) (*Appraisal, error) {
	s, err := readStatement(cert, scheme)
	if err != nil {
		return nil, err
	}
	return s.appraise(ctx, s.evidence, platforms, at, evidenceAt)
}

// appraise has the evidence judged, and ties what it says to what it came with.
func (s *statement) appraise(ctx context.Context, e *Evidence, platforms []Verifier, at, evidenceAt time.Time) (*Appraisal, error) {
	v, err := verifierOf(platforms, e.Platform)
	if err != nil {
		return nil, err
	}
	r, err := v.Verify(ctx, e, evidenceAt)
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	if r == nil {
		return nil, fmt.Errorf("evidence: the verifier of platform %q has no report", e.Platform)
	}
	if r.At.IsZero() { // it was asked about this instant
		dated := *r
		dated.At = evidenceAt
		r = &dated
	}
	if err := s.bind(r, at); err != nil {
		return nil, &BindingError{Report: r, Err: err}
	}
	return &Appraisal{Report: r, Binding: s.binding, Key: s.key}, nil
}

// statement is what a certificate or a fresh statement says before anything of it is believed.
type statement struct {
	evidence *Evidence
	data     [64]byte // the report data that the evidence must carry
	binding  *Binding
	key      crypto.PublicKey // nil in a fresh statement
	checks   func() error     // what else ties the binding to what it came with
}

var errNoCertificate = errors.New("no certificate")

// readStatement reads the evidence of one scheme, without believing it.
func readStatement(cert *x509.Certificate, scheme string) (*statement, error) {
	if cert == nil {
		return nil, errNoCertificate
	}
	if err := checkCritical(cert); err != nil {
		return nil, err
	}
	// Its own signature is checked before anything vouches for it.
	if k, ok := cert.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > jose.MaxRSABits {
		return nil, fmt.Errorf("the certificate has an RSA key of %d bits, want at most %d", k.N.BitLen(), jose.MaxRSABits)
	}
	var s *statement
	var err error
	switch scheme {
	case DICE, "":
		s, err = diceStatement(cert)
	case Original:
		s, err = originalStatement(cert)
	default:
		return nil, fmt.Errorf("got scheme %q, want %q or %q", scheme, DICE, Original)
	}
	if err != nil {
		return nil, err
	}
	if s.binding.Expires.IsZero() { // the evidence has no validity: the certificate's holds
		s.binding.Issued, s.binding.Expires = cert.NotBefore, cert.NotAfter
	}
	s.key = cert.PublicKey
	s.binding.Names = append(s.binding.Names, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		s.binding.Names = append(s.binding.Names, ip.String())
	}
	return s, nil
}

func verifierOf(platforms []Verifier, platform string) (Verifier, error) {
	if len(platforms) == 0 {
		return nil, errors.New("no platform verifier to judge the evidence with")
	}
	var others []string
	for _, v := range platforms {
		if v.Platform() == platform {
			return v, nil
		}
		others = append(others, v.Platform())
	}
	return nil, fmt.Errorf("no verifier for evidence of platform %q, only of %s", platform, strings.Join(others, ", "))
}

// bind ties genuine evidence to what it came with: 1 the report data, 2 the
// key, the validity and the signature of a certificate, 3 the time.
func (s *statement) bind(r *Report, at time.Time) error {
	if r.Data != s.data { // all 64 bytes
		return fmt.Errorf("the evidence is bound to something else: got report data %x, want %x", r.Data[:], s.data[:])
	}
	if err := s.checks(); err != nil {
		return err
	}
	return s.binding.validAt(at)
}

// plausible tells why it can't be accepted at all, whatever its evidence says; nil if it could be.
func (s *statement) plausible(at time.Time) error {
	return cmp.Or(s.checks(), s.binding.validAt(at))
}

// validAt tells whether the key may be used at the instant t (RFC 5280
// section 4.1.2.5: both ends included). A binding of evidence that has no
// validity of its own has the certificate's.
func (b *Binding) validAt(t time.Time) error {
	if t.Before(b.Issued) {
		return fmt.Errorf("the key is not valid before %s, and it is %s", stamp(b.Issued), stamp(t))
	}
	if t.After(b.Expires) {
		return fmt.Errorf("the key expired at %s, and it is %s", stamp(b.Expires), stamp(t))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
