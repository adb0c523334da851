package dcap

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// vectors are the genuine quotes, their collateral, and when both are valid.
var vectors = []struct{ quote, collateral, at string }{
	{processorQuote, processorCollateral, "2025-06-20T00:00:00Z"},
	{platformQuote, platformCollateral, "2025-08-20T00:00:00Z"},
	{originalQuote, platformCollateral, "2025-08-20T00:00:00Z"},
	{tdxQuote, tdxCollateral, "2025-06-20T00:00:00Z"},
}

// insignificant are the bits of quotes and collateral, by the name of the file and the part, that may be flipped
// and leave the evidence genuine. There are none: padding must stay NUL, base64 is canonical, DER is signed whole
// but for the signature's own frame, which the standard library reads strictly, and the line breaks of PEM have no neighbour by one bit.
var insignificant = map[string][]int{}

// wantRefused flips every single bit (every stride-th) of b, and wants that exactly the insignificant ones are accepted.
func wantRefused(t *testing.T, name string, b []byte, stride int, verify func([]byte) error) {
	t.Helper()
	if err := verify(b); err != nil {
		t.Fatalf("%s: not accepted as it is: %v", name, err)
	}
	parallel(8*len(b), stride, func(bit int) {
		flipped := bytes.Clone(b)
		flipped[bit/8] ^= 1 << (bit % 8)
		err := verify(flipped)
		if accepted := slices.Contains(insignificant[name], bit); accepted != (err == nil) {
			t.Errorf("%s: with bit %d of byte %d flipped: got %v, want it accepted: %t", name, bit%8, bit/8, err, accepted)
		}
	})
}

// TestQuoteBitFlips flips every single bit of each genuine quote. (Under -short and the race detector: every 29th.)
func TestQuoteBitFlips(t *testing.T) {
	stride := 1
	if testing.Short() || raceEnabled {
		stride = 29
	}
	for _, test := range vectors {
		t.Run(test.quote, func(t *testing.T) {
			e := evidence(t, test.quote, test.collateral)
			wantRefused(t, test.quote, e.Quote, stride, newFlipJudge(t, e.Quote, e.Collateral, instant(test.at)).verify)
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
	quote         *Quote
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
	j, err := root.judge(c, p.ca, q.TEE())
	fatal(err)
	return &flipJudge{root, q.Signature.Certification.Data, p, c, j, at, q}
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
		if j, err = f.root.judge(f.collateral, p.ca, q.TEE()); err != nil {
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

// TestCollateralBitFlips flips every single bit of each of the nine parts of each genuine collateral, as they
// are after the JSON is read, and asks the step that reads the part. (Under -short and the race detector: every 499th.)
func TestCollateralBitFlips(t *testing.T) {
	stride := 1
	if testing.Short() || raceEnabled {
		stride = 499
	}
	done := make(map[string]bool) // a part that two files or documents share need not be flipped twice
	for _, test := range vectors {
		t.Run(test.collateral, func(t *testing.T) {
			e := evidence(t, test.quote, test.collateral)
			judge := newFlipJudge(t, e.Quote, e.Collateral, instant(test.at))
			for name, step := range judge.steps(t) {
				if part := string(step.value); !done[part] {
					done[part] = true
					wantRefused(t, name, step.value, stride, step.verify)
				}
			}
		})
	}
}

// A step is one part of collateral, and the step of judging that reads it.
type step struct {
	value  []byte
	set    func(*Collateral, []byte)
	verify func([]byte) error
}

// steps returns each part of the collateral with the step that reads it.
func (f *flipJudge) steps(t *testing.T) map[string]step {
	t.Helper()
	c, a, ca := f.collateral, f.root, f.platform.ca
	_, key, err := a.signer(c.TCBInfoIssuerChain)
	if err != nil || c.QEIdentityIssuerChain != c.TCBInfoIssuerChain {
		t.Fatal("the signer is not that of both documents: ", err)
	}
	list := func(name string, issuer *x509.Certificate) func(b []byte) error {
		return func(b []byte) error { _, err := verifyCRL(name, b, issuer); return err }
	}
	signer := func(b []byte) error { _, _, err := a.signer(string(b)); return err }
	signature := func(text string) func(b []byte) error {
		return func(b []byte) error { return verifyECDSA(key, []byte(text), b) }
	}
	text := func(text string, signature []byte) func(b []byte) error {
		return func(b []byte) error { return verifyText(key, text, b, signature) }
	}
	return map[string]step{
		"PCK CRL issuer chain": {[]byte(c.PCKCRLIssuerChain), func(c *Collateral, b []byte) { c.PCKCRLIssuerChain = string(b) },
			func(b []byte) error { _, err := a.crlIssuer(string(b), ca); return err }},
		"root CRL":                 {c.RootCACRL, func(c *Collateral, b []byte) { c.RootCACRL = b }, list("root CRL", a.cert)},
		"PCK CRL":                  {c.PCKCRL, func(c *Collateral, b []byte) { c.PCKCRL = b }, list("PCK CRL", ca)},
		"TCB info issuer chain":    {[]byte(c.TCBInfoIssuerChain), func(c *Collateral, b []byte) { c.TCBInfoIssuerChain = string(b) }, signer},
		"TCB info":                 {[]byte(c.TCBInfo), func(c *Collateral, b []byte) { c.TCBInfo = string(b) }, text(c.TCBInfo, c.TCBInfoSignature)},
		"TCB info signature":       {c.TCBInfoSignature, func(c *Collateral, b []byte) { c.TCBInfoSignature = b }, signature(c.TCBInfo)},
		"QE identity issuer chain": {[]byte(c.QEIdentityIssuerChain), func(c *Collateral, b []byte) { c.QEIdentityIssuerChain = string(b) }, signer},
		"QE identity":              {[]byte(c.QEIdentity), func(c *Collateral, b []byte) { c.QEIdentity = string(b) }, text(c.QEIdentity, c.QEIdentitySignature)},
		"QE identity signature":    {c.QEIdentitySignature, func(c *Collateral, b []byte) { c.QEIdentitySignature = b }, signature(c.QEIdentity)},
	}
}

// verifyText verifies the signature of a text that differs from the genuine one by at most a bit. A text
// comes into its signature by its SHA-256 alone, so it is enough to verify the signature of one flip in every byte (of
// bits in turn), and to see of the others that the digest is another: that spares some 300,000 ECDSA verifications.
func verifyText(key *ecdsa.PublicKey, genuine string, b, signature []byte) error {
	for i := range b {
		if diff := b[i] ^ genuine[i]; diff != 0 && diff != 1<<(i%8) {
			if sha256.Sum256(b) != sha256.Sum256([]byte(genuine)) {
				return errors.New("another digest")
			}
		}
	}
	return verifyECDSA(key, b, signature)
}

// TestCollateralPartsAreAllRead shows that the steps of TestCollateralBitFlips are taken: some
// flips of every part, through all of the judgement.
func TestCollateralPartsAreAllRead(t *testing.T) {
	for _, test := range vectors {
		e := evidence(t, test.quote, test.collateral)
		judge := newFlipJudge(t, e.Quote, e.Collateral, instant(test.at))
		for name, step := range judge.steps(t) {
			wantRefused(t, name, step.value, 397, func(b []byte) error {
				hostile := *judge.collateral
				step.set(&hostile, b)
				_, err := judge.root.judge(&hostile, judge.platform.ca, judge.quote.TEE())
				return err
			})
		}
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
		if _, err := judge.root.judge(c, judge.platform.ca, "sgx"); err == nil {
			t.Errorf("accepted with bit %d of byte %d flipped", bit%8, bit/8)
		}
	})
}
