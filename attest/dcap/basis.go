package dcap

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// basis is everything that a verdict rests on beside the quote.
type basis []tee.Basis

func certBasis(what string, cert *x509.Certificate) tee.Basis {
	return tee.Basis{What: what, SignedBy: cert.Issuer.CommonName, Window: tee.Window{NotBefore: cert.NotBefore, NotAfter: cert.NotAfter}}
}

// contain checks that all are valid at the given instant; both ends of a window belong to it.
func (b basis) contain(at time.Time) error {
	for i := range b {
		switch w := &b[i]; {
		case at.Before(w.NotBefore):
			return fmt.Errorf("%s: not valid before %s, judged at %s", w.What, stamp(w.NotBefore), stamp(at))
		case at.After(w.NotAfter):
			return fmt.Errorf("%s: not valid after %s, judged at %s", w.What, stamp(w.NotAfter), stamp(at))
		}
	}
	return nil
}

// window returns the intersection.
func (b basis) window() tee.Window {
	all := b[0].Window
	for _, w := range b[1:] {
		if w.NotBefore.After(all.NotBefore) {
			all.NotBefore = w.NotBefore
		}
		if w.NotAfter.Before(all.NotAfter) {
			all.NotAfter = w.NotAfter
		}
	}
	return all
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
