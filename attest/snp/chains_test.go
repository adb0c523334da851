package snp

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-sev-guest/testing/data"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// made is what the root of these platforms signs with the published test keys of go-sev-guest.
func made(t *testing.T, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// recertified is the platform's collateral as it was before AMD certified the CA's key anew, under another serial number.
func recertified(t *testing.T, p *snptest.Platform, serial int64) *kds.Collateral {
	t.Helper()
	c := p.Certificates()
	ca, err := x509.ParseCertificate(c.CA)
	if err != nil {
		t.Fatal(err)
	}
	old := *ca
	old.SerialNumber = big.NewInt(serial)
	der, err := x509.CreateCertificate(rand.Reader, &old, p.Root(), ca.PublicKey, data.ARKPrivateKey)
	c.CA = made(t, der, err)
	return c
}

// listed is a revocation list of the platform's root that was made so long ago.
func listed(t *testing.T, p *snptest.Platform, age time.Duration, serials ...int64) []byte {
	t.Helper()
	list := &x509.RevocationList{
		Number: big.NewInt(now.Add(-age).Unix()), SignatureAlgorithm: x509.SHA384WithRSAPSS,
		ThisUpdate: now.Add(-age), NextUpdate: now.Add(-age).Add(45 * 24 * time.Hour),
	}
	for _, n := range serials {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: now.Add(-age)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, p.Root(), data.ARKPrivateKey)
	return made(t, der, err)
}

// fixed is a source of what it is, but for the leaf where no service has one.
type fixed kds.Collateral

func (f fixed) Collateral(_ context.Context, p kds.Platform) (*kds.Collateral, error) {
	c := kds.Collateral(f)
	if p.SignedBy == kds.VLEK || p.ChipID == [64]byte{} {
		c.Leaf = nil
	}
	return &c, nil
}

func with(c *kds.Collateral, crl []byte) *kds.Collateral {
	all := *c
	all.CRL = crl
	return &all
}

// TestRevokedCAOfAnotherChain: AMD's lists have CAs that were replaced. Who brings such a chain along, of this chip or any
// other, must not have a report refused that the source's own chain vouches for.
func TestRevokedCAOfAnotherChain(t *testing.T) {
	const oldCA = 9
	p := platform(t, snptest.Config{})
	replaced := with(recertified(t, p, oldCA), listed(t, p, time.Hour, oldCA))
	other := platform(t, snptest.Config{Chip: 7, Revoked: true})
	e := quote(t, p)
	for name, c := range map[string]struct {
		came    *kds.Collateral
		source  kds.Source
		revoked bool
		want    string // part of the error; empty: it passes
	}{
		"replaced, and the source has the new one": {replaced, fixed(*with(p.Certificates(), listed(t, p, time.Hour, oldCA))), false, ""},
		"replaced, and the source's list is older": {replaced, fixed(*with(p.Certificates(), listed(t, p, 2*time.Hour))), false, ""},
		"replaced, and the source has the old one": {replaced, fixed(*with(replaced, listed(t, p, 2*time.Hour))), true, "revoked on"},
		"what came revokes what the source has": {
			with(replaced, listed(t, p, time.Hour, oldCA, 2)), fixed(*with(p.Certificates(), listed(t, p, 2*time.Hour))), true, "revoked on",
		},
		"replaced, and the source is down": {replaced, down{}, true, "revoked on"},
		"replaced, and no source":          {replaced, nil, true, "revoked on"},
		"another chip's, and no source":    {with(other.Certificates(), other.CRL()), nil, false, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			v := &Verifier{Root: p.Root(), Collateral: c.source}
			if strings.HasPrefix(name, "another chip") {
				v.Root = other.Root()
			}
			got, err := v.Verify(t.Context(), &tee.Evidence{Platform: tee.SNP, Quote: e.Quote, Collateral: c.came.Marshal()}, now)
			switch {
			case c.want == "" && (err != nil || !got.AMD.RevocationChecked):
				t.Errorf("got %v, want a report with a revocation list", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want an error with %q", err, c.want)
			case errors.Is(err, tee.ErrRevoked) != c.revoked:
				t.Errorf("got %v, want revoked: %t", err, c.revoked)
			}
		})
	}
}

// TestRevokedKeyOfNoService: no service has the certificate of a VLEK, nor of a chip whose host hides its id. It comes along, and
// with it may come a list that is older than the source's: the source's counts, as for every other key.
func TestRevokedKeyOfNoService(t *testing.T) {
	for name, c := range map[string]struct {
		config snptest.Config
		serial int64
	}{
		"VLEK":             {snptest.Config{SignedBy: kds.VLEK}, 3},
		"VLEK, version 2":  {snptest.Config{SignedBy: kds.VLEK, Version: 2, Product: kds.Genoa}, 3},
		"a chip in hiding": {snptest.Config{Report: func(r []byte) { clear(r[0x1a0:0x1e0]) }}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := platform(t, c.config)
			e := quote(t, p)
			e.Collateral = with(p.Certificates(), listed(t, p, 20*24*time.Hour)).Marshal()
			judge := func(source kds.Source) (*tee.Report, error) {
				return (&Verifier{Root: p.Root(), Collateral: source}).Verify(t.Context(), e, now)
			}
			if _, err := judge(fixed(*with(p.Certificates(), listed(t, p, time.Hour, c.serial)))); !errors.Is(err, tee.ErrRevoked) {
				t.Errorf("the source says that the CA is revoked: got %v", err)
			}
			newer, err := judge(fixed(*with(p.Certificates(), listed(t, p, time.Hour))))
			if err != nil || !newer.Collateral.NotAfter.Equal(now.Add(45*24*time.Hour-time.Hour)) {
				t.Errorf("the source's list is newer: got %+v, %v", newer, err)
			}
			for name, source := range map[string]kds.Source{
				"no source": nil, "the source is down": down{}, "the source has no list": fixed(*with(p.Certificates(), nil)), "the source does not answer": silent{},
			} {
				if got, err := judge(source); err != nil || !got.AMD.RevocationChecked {
					t.Errorf("%s: got %v", name, err)
				}
			}
		})
	}
}

// silent is a source that answers nothing until nobody waits any more.
type silent struct{}

func (silent) Collateral(ctx context.Context, _ kds.Platform) (*kds.Collateral, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestLeafOfAnotherProduct: a report of version 2 does not tell its product. What came along and is refused must not say it for the source.
func TestLeafOfAnotherProduct(t *testing.T) {
	p, other := platform(t, snptest.Config{Version: 2}), platform(t, snptest.Config{Version: 2, Product: kds.Genoa})
	e := quote(t, p)
	e.Collateral = other.Certificates().Marshal()
	var asked []string
	source := asking(func(about kds.Platform) (*kds.Collateral, error) {
		asked = append(asked, about.Product)
		if about.Product == kds.Genoa {
			return nil, errors.New("no such chip")
		}
		return p.Certificates(), nil
	})
	if _, err := (&Verifier{Root: p.Root(), Collateral: source}).Verify(t.Context(), e, now); err != nil {
		t.Errorf("got %v, asked about %q", err, asked)
	}
}

// TestRevokedKeyOfAnotherCloud: collateral of a key that did not sign the report says nothing of it, be it revoked or not.
func TestRevokedKeyOfAnotherCloud(t *testing.T) {
	p := platform(t, snptest.Config{SignedBy: kds.VLEK})
	e := quote(t, p)
	leaf, err := x509.ParseCertificate(p.Certificates().Leaf)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(p.Certificates().CA)
	if err != nil {
		t.Fatal(err)
	}
	template := *leaf
	template.ExtraExtensions = slices.Clone(leaf.Extensions)
	der, err := x509.CreateCertificate(rand.Reader, &template, ca, data.VCEKPrivateKey.Public(), data.ASVKPrivateKey)
	came := with(p.Certificates(), listed(t, p, time.Hour, 3))
	came.Leaf = made(t, der, err)
	e.Collateral = came.Marshal()
	if _, err := (&Verifier{Root: p.Root()}).Verify(t.Context(), e, now); err == nil || errors.Is(err, tee.ErrRevoked) || !strings.Contains(err.Error(), "not signed by its vlek") {
		t.Errorf("got %v, want that the report is not signed by this key", err)
	}
}

type asking func(kds.Platform) (*kds.Collateral, error)

func (f asking) Collateral(_ context.Context, p kds.Platform) (*kds.Collateral, error) { return f(p) }
