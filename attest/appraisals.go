package attest

import (
	"context"
	"crypto/x509"

	"github.com/confidential-token-broker/ctb/internal/jose"
)

// KeyAppraisal is what is known of one key of a JWKS, or of one certificate.
type KeyAppraisal struct {
	KeyID       string
	Scheme      string            // by which its evidence was read
	Certificate *x509.Certificate // x5c[0], nil if there is none that can be read
	Appraisal   *Appraisal        // nil unless the evidence is genuine and bound
	// Err is nil if the key would be trusted. It is a *RefusalError, with every
	// reason, if its evidence is genuine and bound and yet it would not, and a *BindingError if the evidence is genuine
	// but not of this key. Any other error means that there is no genuine evidence.
	Err error
}

// Appraisals tells of every key of a JWKS what is known of it: it is for
// looking, [NewKeySet] and [ParseKeys] are for trusting. With a policy the keys are judged
// as ParseKeys does, and a key whose evidence is of another scheme is read by that and refused for it; without
// one, it is told whether they are genuine and bound for signing, by c.Scheme or the scheme whose evidence
// they carry, [DICE] before [Original].
//
// A key that is not valid at this time is refused under the key "validity". Under
// the scheme Original it is not: there, the certificate's dates are nobody's word. A
// [KeySet] takes them at it all the same, and does not use such a key.
func Appraisals(ctx context.Context, jwks []byte, c Config) ([]KeyAppraisal, error) {
	j, err := newLook(c)
	if err != nil {
		return nil, err
	}
	set, err := jose.ParseSet(jwks)
	if err != nil {
		return nil, err
	}
	list := make([]KeyAppraisal, len(set))
	for i, k := range set {
		list[i] = j.one(ctx, k)
	}
	return list, nil
}

// AppraiseCertificate tells what [Appraisals] tells, of a certificate by itself, whatever use its key is bound for.
func AppraiseCertificate(ctx context.Context, cert *x509.Certificate, c Config) (a KeyAppraisal, err error) {
	j, err := newLook(c)
	if err != nil {
		return a, err
	}
	if a.Certificate = cert; cert == nil {
		a.Err = errNoCertificate
		return a, nil
	}
	j.appraise(ctx, &a, func(p *Appraisal) []Refusal { return j.refusals(p, p.Binding.Use) })
	return a, nil
}
