package dcap

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestWindows: what comes last and what ends first decides, to the second.
func TestWindows(t *testing.T) {
	const from, to = "2025-06-10T00:00:00Z", "2025-06-20T00:00:00Z" // within all other windows of a forge
	for what, narrow := range map[string]func(f *forge){
		"root certificate":            func(f *forge) { f.root.NotBefore, f.root.NotAfter = instant(from), instant(to) },
		"PCK CA certificate":          func(f *forge) { f.ca.NotBefore, f.ca.NotAfter = instant(from), instant(to) },
		"PCK certificate":             func(f *forge) { f.pck.NotBefore, f.pck.NotAfter = instant(from), instant(to) },
		"TCB info signer certificate": func(f *forge) { f.signer.NotBefore, f.signer.NotAfter = instant(from), instant(to) },
		"root CRL":                    func(f *forge) { f.rootCRL.ThisUpdate, f.rootCRL.NextUpdate = instant(from), instant(to) },
		"PCK CRL":                     func(f *forge) { f.pckCRL.ThisUpdate, f.pckCRL.NextUpdate = instant(from), instant(to) },
		"TCB info":                    func(f *forge) { narrowDocument(&f.tcbInfo, from, to) },
		"QE identity":                 func(f *forge) { narrowDocument(&f.qeIdentity, from, to) },
		"QE identity signer certificate": func(f *forge) {
			f.collateral = func(c *Collateral) {
				signer := template(5, nameTCBSigner, false)
				signer.NotBefore, signer.NotAfter = instant(from), instant(to)
				c.QEIdentityIssuerChain = string(pemOf(issue(t, signer, f.root, &testKeys()["signer"].PublicKey, f.rootKey), rootOf(t, c)))
			}
		},
		"PCK CRL issuer certificate": func(f *forge) {
			f.collateral = func(c *Collateral) {
				reissued := template(8, namePlatformCA, true)
				reissued.NotBefore, reissued.NotAfter = instant(from), instant(to)
				c.PCKCRLIssuerChain = string(pemOf(issue(t, reissued, f.root, &testKeys()["ca"].PublicKey, f.rootKey), rootOf(t, c)))
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			f := newForge()
			narrow(f)
			e, v := f.make(t)
			for _, test := range []struct {
				at   time.Time
				want string
			}{
				{instant(from).Add(-time.Second), what + ": not valid before 2025-06-10T00:00:00Z, judged at 2025-06-09T23:59:59Z"},
				{instant(from), ""},
				{instant(to), ""},
				{instant(to).Add(time.Second), what + ": not valid after 2025-06-20T00:00:00Z, judged at 2025-06-20T00:00:01Z"},
			} {
				r, err := v.Verify(context.Background(), e, test.at)
				if test.want == "" {
					if err != nil {
						t.Errorf("at %s: %v", stamp(test.at), err)
					} else if !r.Collateral.NotBefore.Equal(instant(from)) || !r.Collateral.NotAfter.Equal(instant(to)) {
						t.Errorf("the window is %v", r.Collateral)
					}
				} else if err == nil || err.Error() != test.want {
					t.Errorf("at %s: got %v\nwant %s", stamp(test.at), err, test.want)
				}
			}
		})
	}
}

func narrowDocument(document *string, from, to string) {
	for name, value := range map[string]string{"issueDate": from, "nextUpdate": to} {
		i := strings.Index(*document, `"`+name+`":"`) + len(name) + 4
		*document = (*document)[:i] + value + (*document)[i+len(value):]
	}
}

// TestGenuineWindows: the genuine evidence holds from the first to the last second of the reported window.
func TestGenuineWindows(t *testing.T) {
	for _, test := range []struct{ quote, collateral, at, before, after string }{
		{processorQuote, processorCollateral, "2025-06-20T00:00:00Z",
			"TCB info: not valid before 2025-06-19T10:56:11Z, judged at 2025-06-19T10:56:10Z",
			"QE identity: not valid after 2025-07-19T10:01:18Z, judged at 2025-07-19T10:01:19Z"},
		{originalQuote, platformCollateral, "2025-08-20T00:00:00Z",
			"PCK CRL: not valid before 2025-08-15T05:41:26Z, judged at 2025-08-15T05:41:25Z",
			"QE identity: not valid after 2025-09-14T04:36:46Z, judged at 2025-09-14T04:36:47Z"},
		{tdxQuote, tdxCollateral, "2025-06-20T00:00:00Z",
			"QE identity: not valid before 2025-06-19T10:32:27Z, judged at 2025-06-19T10:32:26Z",
			"PCK CRL: not valid after 2025-07-19T10:00:35Z, judged at 2025-07-19T10:00:36Z"},
	} {
		e := evidence(t, test.quote, test.collateral)
		verify := func(at time.Time) error {
			_, err := new(Verifier).Verify(context.Background(), e, at)
			return err
		}
		r, err := new(Verifier).Verify(context.Background(), e, instant(test.at))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []time.Time{r.Collateral.NotBefore, r.Collateral.NotAfter} {
			if err := verify(at); err != nil {
				t.Errorf("%s at %s: %v", test.quote, stamp(at), err)
			}
		}
		if err := verify(r.Collateral.NotBefore.Add(-time.Second)); err == nil || err.Error() != test.before {
			t.Errorf("%s a second before: got %v, want %s", test.quote, err, test.before)
		}
		if err := verify(r.Collateral.NotAfter.Add(time.Second)); err == nil || err.Error() != test.after {
			t.Errorf("%s a second after: got %v, want %s", test.quote, err, test.after)
		}
	}
}
