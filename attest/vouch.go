package attest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// maxVouching is how many attested certificates of a peer's key are judged. A broker lists one, and a second while it renews it.
const maxVouching = 3

// vouched judges a peer whose certificate carries no evidence: an attested certificate of its key vouches for it.
// That is in the broker's document. Where the one at hand has none that does, a newer one is asked for.
func (j *judge) vouched(ctx context.Context, leaf *x509.Certificate, host string) error {
	// Nobody trustworthy has signed these dates. Yet who serves a certificate of the past does not mean to be believed.
	if at := lenient(j.now(), leaf.NotBefore, leaf.NotAfter); at.Before(leaf.NotBefore) || at.After(leaf.NotAfter) {
		return fmt.Errorf("the certificate, which carries no evidence, is valid from %s to %s, and it is %s",
			stamp(leaf.NotBefore), stamp(leaf.NotAfter), stamp(at))
	}
	const without = "the certificate carries no evidence"
	if j.staple == nil {
		return errors.New(without + ", and the URL names no issuer whose attestation document could have some of its key")
	}
	doc, err := j.staple.get(ctx)
	if err == nil {
		if err = j.vouch(ctx, doc, leaf, host); err == nil {
			return nil
		}
		newer, newerErr := j.staple.newer(ctx)
		switch {
		case newerErr != nil:
			err = fmt.Errorf("%w; a newer document can't be had: %w", err, newerErr)
		case newer != doc:
			if err = j.vouch(ctx, newer, leaf, host); err == nil {
				return nil
			}
		}
	}
	return fmt.Errorf("%s; %s%s: %w", without, redact(j.staple.issuer), WellKnownAttestation, err)
}

// vouch tells whether the document has an attested certificate of the leaf's key, for TLS and for this host, that is accepted.
func (j *judge) vouch(ctx context.Context, doc *Attestation, leaf *x509.Certificate, host string) error {
	if doc == nil {
		return ErrNoAttestation
	}
	spki := leaf.RawSubjectPublicKeyInfo
	err := fmt.Errorf("lists no attested certificate of its key (SHA-256 of the SubjectPublicKeyInfo %x) for TLS", sha256.Sum256(spki))
	var candidates []*x509.Certificate
	for _, k := range doc.Keys {
		if k.Use != UseTLS || len(k.Certificates) == 0 {
			continue
		}
		cert, parseErr := x509.ParseCertificate(k.Certificates[0])
		if parseErr != nil || !bytes.Equal(cert.RawSubjectPublicKeyInfo, spki) {
			continue
		}
		if fault := j.vouches(cert, host); fault != nil {
			err = fmt.Errorf("lists its key: %w", fault)
			continue
		}
		candidates = append(candidates, cert)
	}
	// The newest first: evidence that was renewed is judged by more recent collateral.
	slices.SortStableFunc(candidates, func(a, b *x509.Certificate) int { return cmp.Compare(b.NotBefore.Unix(), a.NotBefore.Unix()) })
	for _, cert := range candidates[:min(len(candidates), maxVouching)] {
		if err = j.judgeTLS(ctx, cert); err == nil {
			return nil
		}
		err = fmt.Errorf("lists its key: %w", err)
	}
	return err
}

// vouches tells whether a certificate could vouch for its key at all, whatever its evidence says. Only who has the
// key can make such a certificate, so nobody else can have many of them judged.
func (j *judge) vouches(cert *x509.Certificate, host string) error {
	if err := cert.VerifyHostname(host); err != nil {
		return err
	}
	s, err := readStatement(cert, j.scheme)
	if err != nil {
		return err
	}
	return s.plausible(lenient(j.now(), cert.NotBefore, cert.NotAfter))
}
