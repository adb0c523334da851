package attest_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest"
	"github.com/confidential-token-broker/ctb/attest/snp"
	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// The certificate of a cloud's key comes with the staple alone. Whoever serves that chooses the revocation list in it, and the
// verifier's own source is heard of it all the same.
func TestStapleOfCloudKey(t *testing.T) {
	const caSerial = 3
	crl := func(l *x509.RevocationList) { l.ThisUpdate = day(-10) } // the staple's
	p := made(snptest.New(snptest.Config{
		SignedBy: kds.VLEK, Now: func() time.Time { return day(1) }, CRL: func(l *x509.RevocationList) { crl(l) },
	}))
	cert := made(attest.Certify(t.Context(), p, newP256(t), binding()))
	doc := document(cert, nil)
	doc.Collateral = map[string]json.RawMessage{tee.SNP: p.Certificates().Marshal()}
	appraise := func() error {
		a := made(attest.AppraiseCertificate(t.Context(), cert, attest.Config{
			Platforms: []attest.Verifier{&snp.Verifier{Root: p.Root(), Collateral: p}}, Now: newClock(day(1)).now, Staple: doc,
		}))
		return a.Err
	}
	crl = func(*x509.RevocationList) {}
	if err := appraise(); err != nil {
		t.Error(err)
	}
	crl = func(l *x509.RevocationList) {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(caSerial), RevocationTime: day(0)})
	}
	if err := appraise(); !errors.Is(err, attest.ErrRevoked) {
		t.Errorf("the verifier's own source has a newer list, which revokes the CA: got %v", err)
	}
}

// A key that was trusted is not spared because a part of what is said against it can't be told.
func TestRevokedAndUnavailable(t *testing.T) {
	b, now := newBroker(t), newClock(day(1).Add(12*time.Hour))
	hardware := &verdict{fakeTEE: newTEE()}
	bound := binding()
	bound.Issuer = b.URL
	cert := certify(t, hardware.fakeTEE, newP256(t), bound)
	b.publish(jwk(t, cert))
	set := made(attest.NewKeySet(attest.Config{URL: b.URL, Policy: anyPolicy(), Platforms: []attest.Verifier{hardware}, Client: b.Client(), Now: now.now}))
	if _, err := set.Key(t.Context(), kidOf(cert)); err != nil {
		t.Fatal(err)
	}
	hardware.err = fmt.Errorf("%w, and the other: %w", attest.ErrUnavailable, attest.ErrRevoked)
	now.advance(11 * time.Minute)
	_ = set.Refresh(t.Context(), 0)
	_, err := set.Key(t.Context(), kidOf(cert))
	wantError(t, err, "is refused: evidence: can't be told now, and the other: revoked")
}

// verdict is a verifier that changes its mind.
type verdict struct {
	*fakeTEE
	err error
}

func (v *verdict) Verify(ctx context.Context, e *attest.Evidence, at time.Time) (*attest.Report, error) {
	if v.err != nil {
		return nil, v.err
	}
	return v.fakeTEE.Verify(ctx, e, at)
}

// Of one key that can't be judged now, the verdict stays. What is found out about another counts at once: a host
// that keeps collateral of the one back must not keep the other trusted, nor a new one from being used.
func TestUndecidedKeyAmongOthers(t *testing.T) {
	b, now := newBroker(t), newClock(day(1).Add(time.Hour))
	moved, revoked := &verdict{fakeTEE: newTEE()}, &verdict{fakeTEE: newOther("snp", 1184)}
	bound := binding()
	bound.Issuer, bound.Expires = b.URL, day(4)
	first, second := certify(t, moved.fakeTEE, newP256(t), bound), certify(t, revoked.fakeTEE, newP256(t), bound)
	third := certify(t, newTEE(), newP256(t), bound)
	b.publish(jwk(t, first), jwk(t, second))
	set := made(attest.NewKeySet(attest.Config{URL: b.URL, Policy: anyPolicy(), Platforms: []attest.Verifier{&perQuote{moved, first}, revoked}, Client: b.Client(), Now: now.now}))
	want := func(cert *x509.Certificate, text string) {
		t.Helper()
		if _, err := set.Key(t.Context(), kidOf(cert)); text != "" {
			wantError(t, err, text)
		} else if err != nil {
			t.Error(err)
		}
	}
	want(first, "")
	want(second, "")
	moved.err, revoked.err = fmt.Errorf("no collateral of this chip: %w", attest.ErrUnavailable), fmt.Errorf("CA: %w", attest.ErrRevoked)
	b.publish(jwk(t, first), jwk(t, second), jwk(t, third))
	now.advance(11 * time.Minute)
	wantError(t, set.Refresh(t.Context(), 0), "no collateral of this chip")
	want(first, "")
	want(second, "CA: revoked")
	want(third, "")
	// No verdict is kept for more than a day.
	for range 25 {
		now.advance(time.Hour)
		_ = set.Refresh(t.Context(), 0)
	}
	want(first, "no collateral of this chip")
	want(third, "")
}

// perQuote is the same verifier for all, but for the evidence of one certificate.
type perQuote struct {
	*verdict
	of *x509.Certificate
}

func (p *perQuote) Verify(ctx context.Context, e *attest.Evidence, at time.Time) (*attest.Report, error) {
	for _, ext := range p.of.Extensions {
		if bytes.Contains(ext.Value, e.Quote) {
			return p.verdict.Verify(ctx, e, at)
		}
	}
	return p.fakeTEE.Verify(ctx, e, at)
}

// A broker comes back on another chip, with new keys and another staple. Who has no other source uses the keys at once, though
// the document at hand is that of before.
func TestStapleOfAnotherChip(t *testing.T) {
	b, now := newBroker(t), newClock(day(1).Add(time.Hour))
	before, after := newOther("snp", 1184), newOther("snp", 1185)
	bound := binding()
	bound.Issuer, bound.Expires = b.URL, day(4)
	first, second := certify(t, before, newP256(t), bound), certify(t, after, newP256(t), bound)
	serve := func(cert *x509.Certificate, chip int) {
		b.publish(jwk(t, cert))
		doc := document(cert, nil)
		doc.Collateral = map[string]json.RawMessage{"snp": fmt.Appendf(nil, `{"chip":%d}`, chip)}
		b.setStaple(answerJSON(made(doc.Marshal())))
	}
	set := made(attest.NewKeySet(attest.Config{URL: b.URL, Policy: anyPolicy(), Platforms: []attest.Verifier{chips{}}, Client: b.Client(), Now: now.now}))
	for _, step := range []struct {
		cert *x509.Certificate
		chip int
	}{{first, 1184}, {second, 1185}, {first, 1184}} {
		serve(step.cert, step.chip)
		now.advance(31 * time.Second)
		if _, err := set.Key(t.Context(), kidOf(step.cert)); err != nil {
			t.Error(err)
		}
	}
	if n := b.asked.Load(); n != 3 {
		t.Errorf("the document was asked for %d times, want 3", n)
	}
}

// chips is a verifier of chips that are told apart by the size of their reports.
type chips struct{}

func (chips) Platform() string { return "snp" }

func (chips) Verify(ctx context.Context, e *attest.Evidence, at time.Time) (*attest.Report, error) {
	switch string(e.Collateral) {
	case fmt.Sprintf(`{"chip":%d}`, len(e.Quote)):
		bare := *e
		bare.Collateral = nil
		return newOther("snp", len(e.Quote)).Verify(ctx, &bare, at)
	case "":
		return nil, fmt.Errorf("no collateral: %w", attest.ErrUnavailable)
	}
	return nil, errors.New("collateral of another chip")
}
