package kds_test

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/snp/kds"
	"github.com/confidential-token-broker/ctb/attest/snp/snptest"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// t0 is the time of the simulated world.
var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func platform(t testing.TB, c snptest.Config) *snptest.Platform {
	t.Helper()
	if c.Now == nil {
		c.Now = func() time.Time { return t0 }
	}
	p, err := snptest.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func report(t testing.TB, p *snptest.Platform) []byte {
	t.Helper()
	r, err := p.Report([64]byte{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got the error %v, want %q in it", err, w)
		}
	}
}

func TestProduct(t *testing.T) {
	for _, c := range []struct {
		family, model byte
		want          string
	}{
		{0x19, 0x00, kds.Milan}, {0x19, 0x01, kds.Milan}, {0x19, 0x0f, kds.Milan},
		{0x19, 0x10, kds.Genoa}, {0x19, 0x11, kds.Genoa}, {0x19, 0x1f, kds.Genoa}, {0x19, 0xa0, kds.Genoa}, {0x19, 0xaf, kds.Genoa},
		{0x1a, 0x00, kds.Turin}, {0x1a, 0x02, kds.Turin}, {0x1a, 0x11, kds.Turin}, {0x1a, 0x1f, kds.Turin},
		{0x19, 0x20, ""}, {0x19, 0x9f, ""}, {0x19, 0xb0, ""}, {0x1a, 0x20, ""}, {0x17, 0x31, ""}, {0x1b, 0x00, ""}, {0, 0, ""},
	} {
		got, err := kds.Product(c.family, c.model)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("family %#x, model %#x: got %q, %v, want %q", c.family, c.model, got, err, c.want)
		}
	}
}

func TestTCB(t *testing.T) {
	const version = 0x0807060504030201
	if got, want := kds.TCBOf(kds.Genoa, version), (tee.AMDTCB{Bootloader: 1, TEE: 2, SNP: 7, Microcode: 8}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := kds.TCBOf(kds.Turin, version), (tee.AMDTCB{FMC: 1, Bootloader: 2, TEE: 3, SNP: 4, Microcode: 8}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParsePlatform(t *testing.T) {
	p := platform(t, snptest.Config{Product: kds.Turin})
	got, err := kds.ParsePlatform(report(t, p))
	if err != nil || got.Product != kds.Turin || got.SignedBy != kds.VCEK || got.ChipID[1] != 0x11 || got.String() != "Turin, chip 0011121314151617…, VCEK, TCB 0x7300000008000300" {
		t.Errorf("got %v, %v", got, err)
	}
	if vlek, err := kds.ParsePlatform(report(t, platform(t, snptest.Config{SignedBy: kds.VLEK}))); err != nil || vlek.ChipID != [64]byte{} || vlek.SignedBy != kds.VLEK {
		t.Errorf("got %v, %v, want no chip of the cloud's key", vlek, err)
	}
	_, err = kds.ParsePlatform(make([]byte, 1183))
	wantError(t, err, "got 1183 bytes, want 1184")
	_, err = kds.ParsePlatform(make([]byte, 1184))
	wantError(t, err, "version: got 0, want 2, 3 or 5")
}

// TestCollateralFile: what is written is read, and nothing else.
func TestCollateralFile(t *testing.T) {
	for _, c := range []*kds.Collateral{platform(t, snptest.Config{}).Certificates(), {Leaf: []byte{1}}, {CRL: []byte{1, 2}, CA: []byte{3}}, {}} {
		got, err := kds.ParseCollateral(c.Marshal())
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("got %v, %v, want %v", got, err, c)
		}
	}
	for text, want := range map[string]string{
		``:                              "want a JSON object",
		`[]`:                            "want a JSON object",
		`{"leaf":"AQ=="}x`:              "behind the JSON object",
		`{"leaf":"AQ=="}{}`:             "behind the JSON object",
		`{"leaf":"AQ=="`:                "does not end",
		`{"leaf":"AQ==","leaf":"AQ=="}`: "leaf: it comes twice",
		`{"Leaf":"AQ=="}`:               `got the name "Leaf"`,
		`{"vcek":"AQ=="}`:               `got the name "vcek"`,
		`{"leaf":"AR=="}`:               "leaf: want base64",
		`{"leaf":"A"}`:                  "leaf: want base64",
		`{"leaf":""}`:                   "leaf: want a string of base64",
		`{"leaf":null}`:                 "leaf: want a string of base64",
		`{"leaf":["AQ=="]}`:             "leaf: want a string of base64",
		strings.Repeat(" ", 256<<10+1):  "too large: got 262145 bytes",
	} {
		_, err := kds.ParseCollateral([]byte(text))
		wantError(t, err, want)
	}
}

// TestTable: what hosts write, and what a hostile one does.
func TestTable(t *testing.T) {
	p := platform(t, snptest.Config{})
	good, want := p.Table(), p.Certificates()
	want.CRL = nil
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: want.Leaf})
	inPEM := slices.Concat(good, asPEM)
	binary.LittleEndian.PutUint32(inPEM[16:], uint32(len(good)))
	binary.LittleEndian.PutUint32(inPEM[20:], uint32(len(asPEM)))
	padded := slices.Concat(good, want.Leaf, make([]byte, 4096))
	binary.LittleEndian.PutUint32(padded[16:], uint32(len(good)))
	binary.LittleEndian.PutUint32(padded[20:], uint32(len(want.Leaf)+4096))
	for name, table := range map[string][]byte{"DER": good, "PEM": inPEM, "zeros to the end of the page": padded, "zeros behind the table": append(bytes.Clone(good), make([]byte, 8192)...)} {
		if got, err := kds.FromTable(table); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	for name, table := range map[string][]byte{"none": nil, "an empty one": make([]byte, 24), "an empty page": make([]byte, 4096)} {
		if got, err := kds.FromTable(table); err != nil || !reflect.DeepEqual(got, new(kds.Collateral)) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	change := func(f func([]byte)) []byte { b := bytes.Clone(good); f(b); return b }
	large := append(bytes.Clone(good), make([]byte, 100<<10)...)
	for entry := range 3 { // each of them is all of it
		binary.LittleEndian.PutUint64(large[24*entry+16:], uint64(len(large))<<32)
	}
	for want, table := range map[string][]byte{
		"it ends within an entry":        make([]byte, 30)[:30:30],
		"are not within":                 change(func(b []byte) { binary.LittleEndian.PutUint32(b[16:], 0xffffffff) }),
		"of the table":                   change(func(b []byte) { binary.LittleEndian.PutUint32(b[20:], uint32(len(b))) }),
		"comes twice":                    change(func(b []byte) { copy(b[24:], b[:16]) }),
		"bytes of collateral":            large,
		"more than 32 entries":           slices.Repeat([]byte{16: 1, 23: 0}, 40),
		"got 262145 bytes, want at most": make([]byte, 256<<10+1),
	} {
		if want == "it ends within an entry" {
			table[0] = 1
		}
		if want == "more than 32 entries" {
			for i := range 40 {
				table[24*i] = byte(i + 1)
			}
		}
		_, err := kds.FromTable(table)
		wantError(t, err, want, "certificate table: ")
	}
}

// TestBothKeys: a host may have a VCEK and a VLEK; whose report it is says which is meant.
func TestBothKeys(t *testing.T) {
	chip, cloud := platform(t, snptest.Config{}), platform(t, snptest.Config{SignedBy: kds.VLEK})
	table := append(make([]byte, 24), chip.Table()...)
	for i := range 3 { // make room for one entry more
		at := table[24+24*i+16:]
		binary.LittleEndian.PutUint32(at, binary.LittleEndian.Uint32(at)+24)
	}
	vlek := cloud.Certificates().Leaf
	copy(table, cloud.Table()[:16])
	binary.LittleEndian.PutUint32(table[16:], uint32(len(table)))
	binary.LittleEndian.PutUint32(table[20:], uint32(len(vlek)))
	table = append(table, vlek...)
	for signedBy, want := range map[string][]byte{kds.VCEK: chip.Certificates().Leaf, kds.VLEK: vlek} {
		if got, err := kds.FromTableFor(table, signedBy); err != nil || !bytes.Equal(got.Leaf, want) {
			t.Errorf("%s: got %v, %v", signedBy, got, err)
		}
	}
}
