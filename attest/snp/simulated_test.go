package snp

import (
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// now is the time of the simulated world.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func platform(t testing.TB, c snptest.Config) *snptest.Platform {
	t.Helper()
	c.Now = func() time.Time { return now }
	p, err := snptest.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func quote(t testing.TB, p *snptest.Platform) *tee.Evidence {
	t.Helper()
	e, err := p.Quote(t.Context(), [64]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestEveryKind: each product, version of the report and kind of key passes under its development root, and says that it is simulated.
func TestEveryKind(t *testing.T) {
	for _, c := range []snptest.Config{
		{Product: kds.Milan, Version: 2}, {Product: kds.Milan, Version: 3}, {Product: kds.Milan, Version: 5},
		{Product: kds.Genoa, Version: 2}, {Product: kds.Genoa, Version: 3}, {Product: kds.Genoa, Version: 5},
		{Product: kds.Turin, Version: 3}, {Product: kds.Turin, Version: 5, TCB: tee.AMDTCB{FMC: 1, Bootloader: 2, TEE: 3, SNP: 4, Microcode: 5}},
	} {
		for _, c.SignedBy = range []string{kds.VCEK, kds.VLEK} {
			p := platform(t, c)
			v := &Verifier{Root: p.Root()}
			got, err := v.Verify(t.Context(), quote(t, p), now)
			if err != nil {
				t.Errorf("%+v: %v", c, err)
				continue
			}
			if !got.Simulated || !got.AMD.RevocationChecked || got.AMD.Product != c.Product || got.AMD.SignedBy != c.SignedBy || got.Debug || got.Data != [64]byte{1, 2, 3} {
				t.Errorf("%+v: got %+v", c, got)
			}
			if want := c.TCB; want != (tee.AMDTCB{}) && (got.AMD.Reported != want || got.AMD.Launch != want) {
				t.Errorf("%+v: got the TCB %+v", c, got.AMD.Reported)
			}
		}
	}
}
