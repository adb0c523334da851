package snp

import (
	"bytes"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// FuzzReport: what parses is what came, byte for byte, and its facts can be told of any product.
func FuzzReport(f *testing.F) {
	report, _ := genuine(f)
	f.Add(report)
	// No platform is made for these: each process that fuzzes would make its certificates first.
	for version, family := range map[byte]byte{3: 0x19, 5: 0x1a} { // Milan, Turin
		other := bytes.Clone(report)
		other[0], other[0x188] = version, family
		if _, err := ParseReport(other); err != nil {
			f.Fatal(err)
		}
		f.Add(other)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseReport(data)
		if err != nil {
			if r != nil {
				t.Error("got both")
			}
			return
		}
		if !bytes.Equal(r.Marshal(), data) {
			t.Error("it is written as something else")
		}
		for _, product := range []string{kds.Milan, kds.Turin} {
			if got := r.facts(product); got.AMD.Version != uint32(data[0]) || len(got.Measurements) != 10 {
				t.Errorf("got %+v", got)
			}
		}
	})
}

// FuzzVerify: whatever the report and what came along, only what the development root signed passes.
func FuzzVerify(f *testing.F) {
	p := platform(f, snptest.Config{Product: kds.Turin})
	good := quote(f, p)
	f.Add(good.Quote, good.Collateral)
	other := quote(f, platform(f, snptest.Config{}))
	f.Add(other.Quote, other.Collateral)
	v := &Verifier{Root: p.Root(), Collateral: p}
	// Each process that fuzzes has signatures of its own, by the same keys of what is the same.
	signed := good.Quote[:signatureAt]
	f.Fuzz(func(t *testing.T, report, collateral []byte) {
		r, err := v.Verify(t.Context(), &tee.Evidence{Platform: tee.SNP, Quote: report, Collateral: collateral}, now)
		if (err == nil) != (r != nil) || err == nil && !bytes.HasPrefix(report, signed) {
			t.Errorf("got %v, %v", r, err)
		}
	})
}
