package snp

import (
	"context"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
	"strings"
	"testing"

	"crypto/x509"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// extension is a critical one, below the given arc.
func extension(arc ...int) pkix.Extension {
	return pkix.Extension{Id: arc, Critical: true, Value: []byte{5, 0}}
}

func leafExtension(arc []int, value []byte) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		id := append(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 3704, 1}, arc...)
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: id, Value: value})
	}
}

// changeExtension gives AMD's extension of this last number another value.
func changeExtension(last int, value []byte) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		i := slices.IndexFunc(c.ExtraExtensions, func(e pkix.Extension) bool { return len(e.Id) == 9 && e.Id[8] == last })
		c.ExtraExtensions[i].Value = value
	}
}

// counting is a source that may be asked so many times.
type counting struct {
	t     *testing.T
	of    kds.Source
	times int
}

func (c counting) Collateral(ctx context.Context, p kds.Platform) (*kds.Collateral, error) {
	if c.times == 0 {
		c.t.Errorf("the source was asked for %v", p)
	}
	return c.of.Collateral(ctx, p)
}

// down is a source that has nothing to say.
type down struct{}

var errDown = errors.New("the source is down")

func (down) Collateral(context.Context, kds.Platform) (*kds.Collateral, error) { return nil, errDown }

// TestWhereCollateralComesFrom: what came along goes first, the source completes it, and what neither has is told.
func TestWhereCollateralComesFrom(t *testing.T) {
	for _, config := range []snptest.Config{{}, {Version: 2}, {SignedBy: kds.VLEK}, {SignedBy: kds.VLEK, Version: 2, Product: kds.Genoa}, {Product: kds.Turin}} {
		p := platform(t, config)
		e := quote(t, p)
		table, err := kds.FromTableFor(p.Table(), config.SignedBy)
		if err != nil {
			t.Fatal(err)
		}
		vcek := config.SignedBy == ""
		needless := map[bool]int{true: 0, false: 1}[vcek] // of other keys, no source would be heard otherwise
		for name, c := range map[string]struct {
			came      []byte
			source    kds.Source
			unchecked bool
			want      string // part of the error
		}{
			"all came along":                    {p.Certificates().Marshal(), counting{t, p, needless}, false, ""},
			"the host's table, and a source":    {table.Marshal(), teller{p}, false, ""},
			"the key alone, and a source":       {(&kds.Collateral{Leaf: table.Leaf}).Marshal(), teller{p}, false, ""},
			"the host's table, no source":       {table.Marshal(), nil, true, ""},
			"the host's table, the source down": {table.Marshal(), down{}, true, ""},
			"the key alone, the source down":    {(&kds.Collateral{Leaf: table.Leaf}).Marshal(), down{}, false, "the source is down: can't be told now"},
			"nothing, the source down":          {nil, down{}, false, "the source is down: can't be told now"},
			"nothing, no source":                {nil, nil, false, "no collateral, neither with the evidence nor from the verifier"},
			"what is refused, no source":        {[]byte("{"), nil, false, "collateral that came with the evidence: collateral: "},
		} {
			t.Run(name, func(t *testing.T) {
				v := &Verifier{Root: p.Root(), Collateral: c.source}
				got, err := v.Verify(t.Context(), &tee.Evidence{Platform: tee.SNP, Quote: e.Quote, Collateral: c.came}, now)
				switch {
				case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
					t.Errorf("got %v, want an error with %q", err, c.want)
				case c.want == "" && err != nil:
					t.Error(err)
				case c.want == "" && got.AMD.RevocationChecked == c.unchecked:
					t.Errorf("got %+v", got.AMD)
				case c.want != "" && !errors.Is(err, tee.ErrUnavailable):
					t.Errorf("got %v, want that it can't be told now", err)
				}
			})
		}
		if vcek {
			v := &Verifier{Root: p.Root(), Collateral: teller{p}}
			for name, came := range map[string][]byte{"nothing came": nil, "what is refused came": []byte("{")} {
				if _, err := v.Verify(t.Context(), &tee.Evidence{Platform: tee.SNP, Quote: e.Quote, Collateral: came}, now); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

// teller is the platform's own source, whatever product it is asked for: a report of version 2 may not tell.
type teller struct{ p *snptest.Platform }

func (s teller) Collateral(ctx context.Context, p kds.Platform) (*kds.Collateral, error) {
	about := s.p.About()
	if p.Product != "" {
		about.Product = p.Product
	}
	if p != about {
		return nil, errors.New("asked for another platform")
	}
	return s.p.Collateral(ctx, s.p.About())
}

// TestMemo: what is remembered is a chain, and not that it is valid, nor whose report it is.
func TestMemo(t *testing.T) {
	p, other := platform(t, snptest.Config{}), platform(t, snptest.Config{Chip: 1})
	v := &Verifier{Root: p.Root()}
	c := p.Certificates()
	e := evidence(quote(t, p).Quote, c)
	for range 2 {
		if _, err := v.Verify(t.Context(), e, now); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.Verify(t.Context(), evidence(quote(t, other).Quote, c), now); err == nil || !strings.Contains(err.Error(), "of the chip") {
		t.Errorf("got %v, want that it is another chip", err)
	}
	if _, err := v.Verify(t.Context(), e, now.AddDate(1, 0, 0)); err == nil || !strings.Contains(err.Error(), "revocation list: valid from") {
		t.Errorf("got %v, want that the list is too old", err)
	}
	changed := *c
	changed.CRL = nil
	if got, err := v.Verify(t.Context(), evidence(e.Quote, &changed), now); err != nil || got.AMD.RevocationChecked {
		t.Errorf("got %v, %v: the list of before was used", got, err)
	}
	v.Root = other.Root()
	if _, err := v.Verify(t.Context(), e, now); !errors.Is(err, kds.ErrUntrustedRoot) {
		t.Errorf("got %v under another root", err)
	}
}
