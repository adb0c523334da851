package snp

import (
	"bytes"
	"crypto/x509"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
)

// stride is how many bits further the next flip is: all are tried, unless time is short.
func stride() int {
	if testing.Short() || raceEnabled {
		return 61
	}
	return 1
}

// flips calls try with data in which one bit is flipped, for every step-th bit, and wants it refused.
func flips(t *testing.T, what string, data []byte, step int, try func([]byte) error) {
	t.Helper()
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				bit := int(next.Add(1)-1) * step
				if bit >= 8*len(data) {
					return
				}
				flipped := bytes.Clone(data)
				flipped[bit/8] ^= 1 << (bit % 8)
				if try(flipped) == nil {
					t.Errorf("%s: accepted with bit %d of byte %#x flipped", what, bit%8, bit/8)
				}
			}
		})
	}
	workers.Wait()
}

// signed are the steps that follow once a chain is verified, so that a flip costs one signature of the report and not all of the chain's too.
func signed(t *testing.T, c *kds.Collateral, root *x509.Certificate, at time.Time) func([]byte) error {
	t.Helper()
	ch, err := c.Verify(root)
	if err != nil {
		t.Fatal(err)
	}
	return func(b []byte) error {
		r, err := ParseReport(b)
		if err != nil {
			return err
		}
		return errors.Join(ch.About(r.About), verifySignature(r, ch, at))
	}
}

// TestEveryBitOfAReport flips each bit of the genuine report. None is insignificant.
func TestEveryBitOfAReport(t *testing.T) {
	report, c := genuine(t)
	flips(t, "report", report, stride(), signed(t, c, nil, genuineAt))
	v := new(Verifier)
	flips(t, "report, from its evidence on", report, 191, func(b []byte) error {
		_, err := v.Verify(t.Context(), evidence(b, c), genuineAt)
		return err
	})
}

// TestEveryBitOfASimulatedReport does the same with every fifth bit where the library verifies the signature alone (Turin), and with the
// cloud's key; and with every bit of what version 2 does not have.
func TestEveryBitOfASimulatedReport(t *testing.T) {
	for _, config := range []snptest.Config{{Product: kds.Turin, Version: 5}, {Product: kds.Genoa, Version: 5, SignedBy: kds.VLEK}} {
		p := platform(t, config)
		report := quote(t, p).Quote
		try := signed(t, p.Certificates(), p.Root(), now)
		flips(t, config.Product, report, 5*stride(), try)
		for _, span := range [][2]int{{0x188, 0x18b}, {0x1f8, 0x208}} {
			flips(t, config.Product, report[span[0]:span[1]], 1, func(b []byte) error {
				whole := bytes.Clone(report)
				copy(whole[span[0]:], b)
				return try(whole)
			})
		}
	}
}
