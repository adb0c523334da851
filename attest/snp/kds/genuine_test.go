package kds_test

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sevabi "github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/go-sev-guest/verify/trust"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
)

// bundles are AMD's genuine certificates of each product, as its service gives them: CA, then root.
var bundles = []struct {
	product, signedBy string
	pem               []byte
}{
	{kds.Milan, kds.VCEK, trust.AskArkMilanVcekBytes}, {kds.Milan, kds.VLEK, trust.AskArkMilanVlekBytes},
	{kds.Genoa, kds.VCEK, trust.AskArkGenoaVcekBytes}, {kds.Genoa, kds.VLEK, trust.AskArkGenoaVlekBytes},
	{kds.Turin, kds.VCEK, trust.AskArkTurinVcekBytes}, {kds.Turin, kds.VLEK, trust.AskArkTurinVlekBytes},
}

func bundle(t testing.TB, text []byte) *kds.Collateral {
	t.Helper()
	ca, rest := pem.Decode(text)
	root, _ := pem.Decode(rest)
	if ca == nil || root == nil {
		t.Fatal("not two certificates")
	}
	return &kds.Collateral{CA: ca.Bytes, Root: root.Bytes}
}

// TestAMDsRoots: the pinned roots are those that go-sev-guest has embedded, and no others.
func TestAMDsRoots(t *testing.T) {
	for _, b := range bundles {
		ch, err := bundle(t, b.pem).Verify(nil)
		if err != nil {
			t.Errorf("%s %s: %v", b.product, b.signedBy, err)
			continue
		}
		if ch.Product != b.product || ch.SignedBy != b.signedBy || !ch.AMD || !bytes.Equal(ch.Root.Raw, trust.DefaultRootCerts[b.product].ProductCerts.Ark.Raw) {
			t.Errorf("got %s %s", ch.Product, ch.SignedBy)
		}
	}
	p := platform(t, snptest.Config{})
	if _, err := p.Certificates().Verify(nil); !errors.Is(err, kds.ErrUntrustedRoot) {
		t.Errorf("got %v of another root", err)
	}
	// The CA of one product below the root of another.
	mixed := bundle(t, bundles[0].pem)
	mixed.Root = bundle(t, bundles[2].pem).Root
	if _, err := mixed.Verify(nil); err == nil || !strings.Contains(err.Error(), `got "SEV-Milan", want SEV-Genoa`) {
		t.Errorf("got %v", err)
	}
}

// TestGenuineKey is the certificate of a genuine Milan's key.
func TestGenuineKey(t *testing.T) {
	c := bundle(t, trust.AskArkMilanVcekBytes)
	c.Leaf = testdata.VcekBytes
	ch, err := c.Verify(nil)
	if err != nil {
		t.Fatal(err)
	}
	if ch.Key.ProductName != "Milan-B0" || ch.Key.SPL != [9]uint8{2, 0, 5, 0, 0, 0, 0, 0x44} || !bytes.Equal(ch.Key.HWID, testdata.AttestationBytes[0x1a0:0x1e0]) {
		t.Errorf("got %+v", ch.Key)
	}
	p, err := kds.ParsePlatform(testdata.AttestationBytes)
	if err != nil {
		t.Fatal(err)
	}
	if p.Product != "" || p.SignedBy != kds.VCEK || p.TCB != 0x4405000000000002 || p.Of(c.Leaf).Product != kds.Milan {
		t.Errorf("got %v", p)
	}
	if err := ch.About(p.Of(c.Leaf)); err != nil {
		t.Error(err)
	}
	if err := ch.Valid(time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Error(err)
	}
}

// TestEveryBit flips each bit of AMD's certificates, and of a revocation list, and wants the step refused that reads it. (With -short, each 61st.)
func TestEveryBit(t *testing.T) {
	c := bundle(t, trust.AskArkMilanVcekBytes)
	ch, err := c.Verify(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := platform(t, snptest.Config{})
	for what, part := range map[string]struct {
		data []byte
		read func([]byte) error
	}{
		"VCEK certificate": {testdata.VcekBytes, ch.AddLeaf},
		"CA certificate":   {c.CA, ch.AddCA},
		"root certificate": {c.Root, func(b []byte) error { _, err := (&kds.Collateral{CA: c.CA, Root: b}).Verify(nil); return err }},
		"revocation list":  {p.CRL(), func(b []byte) error { return kds.ReadCRL(b, p.Root()) }},
	} {
		if err := part.read(part.data); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		flips(part.data, func(bit int, b []byte) {
			if part.read(b) == nil {
				t.Errorf("%s: accepted with bit %d of byte %#x flipped", what, bit%8, bit/8)
			}
		})
	}
}

func flips(data []byte, try func(bit int, flipped []byte)) {
	step := int64(1)
	if testing.Short() || raceEnabled {
		step = 61
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for bit := int((next.Add(1) - 1) * step); bit < 8*len(data); bit = int((next.Add(1) - 1) * step) {
				flipped := bytes.Clone(data)
				flipped[bit/8] ^= 1 << (bit % 8)
				try(bit, flipped)
			}
		})
	}
	workers.Wait()
}

// TestLibrarysTable: a table as go-sev-guest writes it is read alike.
func TestLibrarysTable(t *testing.T) {
	c := bundle(t, trust.AskArkMilanVcekBytes)
	table := new(sevabi.CertTable)
	if err := table.Unmarshal(platform(t, snptest.Config{}).Table()); err != nil || len(table.Entries) != 3 {
		t.Fatalf("got %v, %v: the library does not read ours", table, err)
	}
	for i, cert := range [][]byte{testdata.VcekBytes, c.CA, c.Root} {
		table.Entries[i].RawCert = cert
	}
	got, err := kds.FromTable(table.Marshal())
	if err != nil || !bytes.Equal(got.Leaf, testdata.VcekBytes) || !bytes.Equal(got.CA, c.CA) || !bytes.Equal(got.Root, c.Root) || got.CRL != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestNothingFollows: what the standard library does not look at is refused.
func TestNothingFollows(t *testing.T) {
	p := platform(t, snptest.Config{})
	list := p.CRL()
	wantError(t, kds.ReadCRL(append(bytes.Clone(list), 0), p.Root()), "got 1 bytes behind it")
	for _, more := range [][]byte{{0x05, 0}, {0}} {
		within := append(bytes.Clone(list), more...)
		binary.BigEndian.PutUint16(within[2:], uint16(len(within)-4)) // of the SEQUENCE
		wantError(t, kds.ReadCRL(within, p.Root()), "something follows its signature")
	}
}
