package dcap

import (
	"bytes"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestQuoteBitFlips flips every single bit of each genuine quote. None of the
// three has padding behind its PEM but one NUL, which must stay a NUL, so every
// one must be refused. (Under -short and the race detector: every 29th.)
func TestQuoteBitFlips(t *testing.T) {
	stride := 1
	if testing.Short() || raceEnabled {
		stride = 29
	}
	for _, test := range []struct{ quote, collateral, at string }{
		{processorQuote, processorCollateral, "2025-06-20T00:00:00Z"},
		{platformQuote, platformCollateral, "2025-08-20T00:00:00Z"},
		{originalQuote, platformCollateral, "2025-08-20T00:00:00Z"},
	} {
		t.Run(test.quote, func(t *testing.T) {
			e := evidence(t, test.quote, test.collateral)
			judge := newFlipJudge(t, e.Quote, e.Collateral, instant(test.at))
			if err := judge.verify(e.Quote); err != nil {
				t.Fatal(err)
			}
			parallel(8*len(e.Quote), stride, func(bit int) {
				flipped := bytes.Clone(e.Quote)
				flipped[bit/8] ^= 1 << (bit % 8)
				if judge.verify(flipped) == nil {
					t.Errorf("accepted with bit %d of byte %d flipped", bit%8, bit/8)
				}
			})
		})
	}
}

// flipJudge takes the steps of Verifier.Verify, but remembers the outcome of
// the second (a function of the certification data alone) and of the fourth (of the
// PCK CA alone, for the collateral is the same) for the data of the unflipped quote.
// So what a flip cannot reach is not computed again 38,000 times.
type flipJudge struct {
	root          *anchor
	certification []byte
	platform      *platform
	collateral    *Collateral
	judgement     *judgement
	at            time.Time
}

func newFlipJudge(t *testing.T, quote, collateral []byte, at time.Time) *flipJudge {
	t.Helper()
	fatal := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := newAnchor(nil)
	fatal(err)
	q, err := ParseQuote(quote)
	fatal(err)
	p, err := root.platform(&q.Signature.Certification)
	fatal(err)
	c, err := ParseCollateral(collateral)
	fatal(err)
	j, err := root.judge(c, p.ca)
	fatal(err)
	return &flipJudge{root, q.Signature.Certification.Data, p, c, j, at}
}

func (f *flipJudge) verify(quote []byte) error {
	q, err := ParseQuote(quote)
	if err != nil {
		return err
	}
	p, j := f.platform, f.judgement
	if !bytes.Equal(q.Signature.Certification.Data, f.certification) {
		if p, err = f.root.platform(&q.Signature.Certification); err != nil {
			return err
		}
		if j, err = f.root.judge(f.collateral, p.ca); err != nil {
			return err
		}
	}
	if err := q.verify(p.key); err != nil {
		return err
	}
	_, err = conclude(q, p, j, f.at)
	return err
}

// parallel calls do for every stride-th number below n, on all processors.
func parallel(n, stride int, do func(int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := int(next.Add(1)-1) * stride; i < n; i = int(next.Add(1)-1) * stride {
				do(i)
			}
		})
	}
	workers.Wait()
}

// TestCollateralBitFlips flips single bits of the collateral's parts, as they are
// after the JSON is read; all must be refused, since each part is signed whole.
// (Every 31st bit; every 499th under -short and the race detector.)
func TestCollateralBitFlips(t *testing.T) {
	stride := 31
	if testing.Short() || raceEnabled {
		stride = 499
	}
	e := evidence(t, platformQuote, platformCollateral)
	judge := newFlipJudge(t, e.Quote, e.Collateral, instant("2025-08-20T00:00:00Z"))
	c := judge.collateral
	for name, part := range map[string]struct {
		value []byte
		set   func(*Collateral, []byte)
	}{
		"PCK CRL issuer chain":     {[]byte(c.PCKCRLIssuerChain), func(c *Collateral, b []byte) { c.PCKCRLIssuerChain = string(b) }},
		"root CRL":                 {c.RootCACRL, func(c *Collateral, b []byte) { c.RootCACRL = b }},
		"PCK CRL":                  {c.PCKCRL, func(c *Collateral, b []byte) { c.PCKCRL = b }},
		"TCB info issuer chain":    {[]byte(c.TCBInfoIssuerChain), func(c *Collateral, b []byte) { c.TCBInfoIssuerChain = string(b) }},
		"TCB info":                 {[]byte(c.TCBInfo), func(c *Collateral, b []byte) { c.TCBInfo = string(b) }},
		"TCB info signature":       {c.TCBInfoSignature, func(c *Collateral, b []byte) { c.TCBInfoSignature = b }},
		"QE identity issuer chain": {[]byte(c.QEIdentityIssuerChain), func(c *Collateral, b []byte) { c.QEIdentityIssuerChain = string(b) }},
		"QE identity":              {[]byte(c.QEIdentity), func(c *Collateral, b []byte) { c.QEIdentity = string(b) }},
		"QE identity signature":    {c.QEIdentitySignature, func(c *Collateral, b []byte) { c.QEIdentitySignature = b }},
	} {
		parallel(8*len(part.value), stride, func(bit int) {
			flipped := bytes.Clone(part.value)
			flipped[bit/8] ^= 1 << (bit % 8)
			hostile := *c
			part.set(&hostile, flipped)
			if _, err := judge.root.judge(&hostile, judge.platform.ca); err == nil {
				t.Errorf("%s: accepted with bit %d of byte %d flipped", name, bit%8, bit/8)
			}
		})
	}
}

// TestCollateralFileBitFlips flips bits of the file. What still verifies must be the same
// collateral: the case of a hex digit is indifferent, and nothing else.
func TestCollateralFileBitFlips(t *testing.T) {
	stride := 97
	if testing.Short() || raceEnabled {
		stride = 997
	}
	e := evidence(t, processorQuote, processorCollateral)
	judge := newFlipJudge(t, e.Quote, e.Collateral, instant("2025-06-20T00:00:00Z"))
	parallel(8*len(e.Collateral), stride, func(bit int) {
		flipped := bytes.Clone(e.Collateral)
		flipped[bit/8] ^= 1 << (bit % 8)
		c, err := ParseCollateral(flipped)
		if err != nil || reflect.DeepEqual(c, judge.collateral) {
			return
		}
		if _, err := judge.root.judge(c, judge.platform.ca); err == nil {
			t.Errorf("accepted with bit %d of byte %d flipped", bit%8, bit/8)
		}
	})
}
