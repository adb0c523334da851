package dcap

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// span is the window in which one document or certificate is valid.
type span struct {
	what string
	tee.Window
}

// spans are the windows of everything that a verdict rests on.
type spans []span

func certSpan(what string, cert *x509.Certificate) span {
	return span{what, tee.Window{NotBefore: cert.NotBefore, NotAfter: cert.NotAfter}}
}

// contain checks that all are valid at the given instant; both ends of a window belong to it.
func (s spans) contain(at time.Time) error {
	for _, w := range s {
		switch {
		case at.Before(w.NotBefore):
			return fmt.Errorf("%s: not valid before %s, judged at %s", w.what, stamp(w.NotBefore), stamp(at))
		case at.After(w.NotAfter):
			return fmt.Errorf("%s: not valid after %s, judged at %s", w.what, stamp(w.NotAfter), stamp(at))
		}
	}
	return nil
}

// window returns the intersection.
func (s spans) window() tee.Window {
	all := s[0].Window
	for _, w := range s[1:] {
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
