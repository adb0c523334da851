package pcs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/confidential-token-broker/ctb/attest/dcap"
)

// maxFile bounds a file, in bytes, as [dcap.ParseCollateral] does.
const maxFile = 1 << 20

// kind is what a cache keeps: collateral of DCAP, a QuoteCollateralV3 file for each platform.
type kind struct {
	source   dcap.Source
	verifier dcap.Verifier
}

func (k *kind) Ask(ctx context.Context, p dcap.Platform) (*dcap.Collateral, error) {
	return k.source.Collateral(ctx, p)
}

// Judge verifies collateral at the instant, believing nothing of where it came from.
func (k *kind) Judge(p dcap.Platform, c *dcap.Collateral, now time.Time) (*dcap.Judged, error) {
	j, err := k.verifier.Inspect(c, now)
	if err != nil {
		return nil, err
	}
	if j.Platform != p {
		return nil, fmt.Errorf("got collateral of %v, want that of %v", j.Platform, p)
	}
	return j, nil
}

func (k *kind) Window(j *dcap.Judged) (notBefore, notAfter time.Time) {
	return j.Window.NotBefore, j.Window.NotAfter
}

// dated are the documents that Intel reissues and whose dates must not go back. Certificates
// are not among them: one that is older may be as good.
var dated = map[string]bool{"TCB info": true, "QE identity": true, "PCK CRL": true, "root CRL": true}

// NotOlder refuses what was made before what is held, also where that is no
// longer valid: who can replay Intel's answers of last month must not take a judgement back.
func (k *kind) NotOlder(j, old *dcap.Judged) error {
	for _, n := range []struct {
		what      string
		got, held uint32
	}{
		{"TCB info", j.TCBEvaluation, old.TCBEvaluation},
		{"QE identity", j.QEEvaluation, old.QEEvaluation},
	} {
		if n.got < n.held {
			return fmt.Errorf("%s: tcbEvaluationDataNumber: got %d, want at least %d, which was seen before (if the update channel was changed, empty the cache)",
				n.what, n.got, n.held)
		}
	}
	issued := map[string]time.Time{}
	for _, b := range old.Basis {
		issued[b.What] = b.NotBefore
	}
	for _, b := range j.Basis {
		if held := issued[b.What]; dated[b.What] && b.NotBefore.Before(held) {
			return fmt.Errorf("%s: got one of %s, want none before %s, which was seen before", b.What, stamp(b.NotBefore), stamp(held))
		}
	}
	return nil
}

func (k *kind) RetryAfter(err error) time.Duration {
	if e := new(Error); errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// Name is made of checked words and hex digits alone.
func (k *kind) Name(p dcap.Platform) string {
	return fmt.Sprintf("%s-%x-%s.json", p.TEE, p.FMSPC, p.CA)
}

func (k *kind) Marshal(c *dcap.Collateral) []byte { return c.Marshal() }

func (k *kind) Parse(data []byte) (*dcap.Collateral, error) { return dcap.ParseCollateral(data) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
