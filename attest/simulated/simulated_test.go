package simulated_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"sync"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb/attest/simulated"
	"github.com/confidential-token-broker/ctb/attest/tee"
)

// made is when the platforms of the tests are made.
var made = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func platform(t testing.TB, c simulated.Config) *simulated.Platform {
	t.Helper()
	if c.Now.IsZero() {
		c.Now = made
	}
	if c.Seed == nil {
		c.Seed = bytes.Repeat([]byte{7}, 32)
	}
	p, err := simulated.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func quote(t testing.TB, p *simulated.Platform, data [64]byte) *tee.Evidence {
	t.Helper()
	e, err := p.Quote(context.Background(), data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestOneSeedMakesOnePlatform(t *testing.T) {
	a, b := platform(t, simulated.Config{}), platform(t, simulated.Config{})
	if !a.Root().Equal(b.Root()) {
		t.Error("one seed made two roots")
	}
	if !bytes.Equal(quote(t, a, [64]byte{1}).Quote, quote(t, b, [64]byte{1}).Quote) {
		t.Error("one seed, instant and report data made two quotes")
	}
	if a.Collateral().TCBInfo != b.Collateral().TCBInfo || !bytes.Equal(a.Collateral().PCKCRL, b.Collateral().PCKCRL) {
		t.Error("one seed and instant made two collaterals")
	}

	later := platform(t, simulated.Config{Now: made.AddDate(3, 0, 0), Status: tee.OutOfDate, CA: "processor"})
	if !a.Root().Equal(later.Root()) {
		t.Error("the root depends on more than the seed")
	}
	other := platform(t, simulated.Config{Seed: bytes.Repeat([]byte{8}, 32)})
	if a.Root().Equal(other.Root()) {
		t.Error("two seeds made one root")
	}
}

func TestWithoutSeedEveryRootIsFresh(t *testing.T) {
	a, errA := simulated.New(simulated.Config{})
	b, errB := simulated.New(simulated.Config{})
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if a.Root().Equal(b.Root()) {
		t.Error("two platforms without a seed share a root")
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, c := range map[string]simulated.Config{
		"short seed":        {Seed: make([]byte, 31)},
		"empty seed":        {Seed: []byte{}},
		"year 2018":         {Now: made.AddDate(-8, 0, 0)},
		"year 2041":         {Now: made.AddDate(15, 0, 0)},
		"unknown CA":        {CA: "Platform"},
		"unknown status":    {Status: "uptodate"},
		"unknown QE status": {QEStatus: tee.SWHardeningNeeded},
		"unknown fault":     {Fault: "everything"},

		"unknown TEE":                  {TEE: "snp"},
		"TDX in version 3":             {TEE: "tdx", QuoteVersion: 3},
		"version 6":                    {QuoteVersion: 6},
		"TDX 1.5 in version 4":         {TEE: "tdx", TD15: true},
		"TDX 1.5 of SGX":               {QuoteVersion: 5, TD15: true},
		"a module of SGX":              {Module: "TDX_01"},
		"a module status of SGX":       {ModuleStatus: tee.UpToDate},
		"an unknown module":            {TEE: "tdx", Module: "TDX_02"},
		"a first module's status":      {TEE: "tdx", Module: "TDX_00", ModuleStatus: tee.OutOfDate},
		"unknown module status":        {TEE: "tdx", ModuleStatus: tee.SWHardeningNeeded},
		"TCB info 2 for TDX":           {TEE: "tdx", TCBInfoVersion: 2},
		"TCB info 4":                   {TCBInfoVersion: 4},
		"a short FMSPC":                {FMSPC: "f0c7b0de00"},
		"an FMSPC that is no hex":      {FMSPC: "f0c7b0de000g"},
		"padding in version 3":         {Padding: 1},
		"too much padding":             {TEE: "tdx", Padding: 1025},
		"a fault of TDX for SGX":       {Fault: simulated.ModuleBelowLevels},
		"a fault of SGX for TDX":       {TEE: "tdx", Fault: simulated.TCBInfoOfTDX},
		"a nested fault, version 3":    {Fault: simulated.CertificationFlat},
		"a replaced module of TDX 1.0": {TEE: "tdx", ModuleReplaced: true},
		"a body's fault, version 4":    {QuoteVersion: 4, Fault: simulated.BodySizeLong},
	} {
		if _, err := simulated.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestQuoteHasGenuineLayout reads a quote by the offsets that genuine ones have.
func TestQuoteHasGenuineLayout(t *testing.T) {
	data := [64]byte{0: 0xaa, 63: 0xbb}
	q := quote(t, platform(t, simulated.Config{ISVProdID: 0x0102, ISVSVN: 0x0304, MRENCLAVE: [32]byte{1}, MRSIGNER: [32]byte{2}}), data).Quote

	word := func(at int) uint16 { return binary.LittleEndian.Uint16(q[at:]) }
	long := func(at int) int { return int(binary.LittleEndian.Uint32(q[at:])) }
	if word(0) != 3 || word(2) != 2 || long(4) != 0 || word(8) != 8 || word(10) != 13 {
		t.Errorf("header: got % x", q[:48])
	}
	report := q[48:432]
	if report[64] != 1 || report[128] != 2 || word(48+256) != 0x0102 || word(48+258) != 0x0304 || !bytes.Equal(report[320:], data[:]) {
		t.Errorf("report: got % x", report)
	}
	if report[48] != 0x05 || report[56] != 0xe7 {
		t.Errorf("attributes: got % x, want those of a production enclave", report[48:64])
	}
	if got, want := long(432), len(q)-436; got != want {
		t.Errorf("length of the signature data: got %d, want %d", got, want)
	}
	key, qe := q[500:564], q[564:948]
	if n := word(1012); n != 32 {
		t.Fatalf("authentication data: got %d bytes, want 32", n)
	}
	if got, want := qe[320:352], sha256.Sum256(append(bytes.Clone(key), q[1014:1046]...)); !bytes.Equal(got, want[:]) {
		t.Errorf("QE report data: got %x, want %x", got, want)
	}
	if kind, n := word(1046), long(1048); kind != 5 || n != len(q)-1052 || q[len(q)-1] != 0 {
		t.Errorf("certification data: got type %d, %d bytes", kind, n)
	}
	if rest := certificates(t, q[1052:], "Intel SGX PCK Certificate", "Intel SGX PCK Platform CA", "Intel SGX Root CA"); !bytes.Equal(rest, []byte{0}) {
		t.Errorf("after the chain: got % x, want one NUL", rest)
	}
}

// certificates checks a PEM chain's common names and signatures, and returns what follows it.
func certificates(t *testing.T, chain []byte, names ...string) (rest []byte) {
	t.Helper()
	var child *x509.Certificate
	for _, name := range names {
		var block *pem.Block
		if block, chain = pem.Decode(chain); block == nil {
			t.Fatalf("chain ends before %q", name)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if c.Subject.CommonName != name {
			t.Errorf("common name: got %q, want %q", c.Subject.CommonName, name)
		}
		if len(c.SerialNumber.Bytes()) > 20 || c.SerialNumber.Sign() <= 0 {
			t.Errorf("%s: serial number %x is not as RFC 5280 wants it", name, c.SerialNumber)
		}
		if child != nil {
			if err := child.CheckSignatureFrom(c); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		child = c
	}
	if err := child.CheckSignatureFrom(child); err != nil {
		t.Error(err)
	}
	return chain
}

func TestRevocationListsNameTheirIssuer(t *testing.T) {
	p := platform(t, simulated.Config{Fault: simulated.PCKRevoked})
	c := p.Collateral()
	root, err := x509.ParseRevocationList(c.RootCACRL)
	if err != nil {
		t.Fatal(err)
	}
	if err := root.CheckSignatureFrom(p.Root()); err != nil {
		t.Error(err)
	}
	if root.Number.Int64() != 1 || !bytes.Equal(root.AuthorityKeyId, p.Root().SubjectKeyId) || len(root.RevokedCertificateEntries) != 0 {
		t.Errorf("root CRL: got number %v, authority %x, %d entries", root.Number, root.AuthorityKeyId, len(root.RevokedCertificateEntries))
	}
	pck, err := x509.ParseRevocationList(c.PCKCRL)
	if err != nil {
		t.Fatal(err)
	}
	if len(pck.RevokedCertificateEntries) != 4 {
		t.Errorf("PCK CRL: got %d entries, want the revoked PCK and three others", len(pck.RevokedCertificateEntries))
	}
	certificates(t, []byte(c.PCKCRLIssuerChain), "Intel SGX PCK Platform CA", "Intel SGX Root CA")
	certificates(t, []byte(c.TCBInfoIssuerChain), "Intel SGX TCB Signing", "Intel SGX Root CA")
}

func TestQuotesAreMadeConcurrently(t *testing.T) {
	p := platform(t, simulated.Config{})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			e := quote(t, p, [64]byte{byte(i)})
			if e.Platform != "dcap" || e.Quote[48+320] != byte(i) {
				t.Errorf("quote %d carries report data %d", i, e.Quote[48+320])
			}
		})
	}
	wg.Wait()
}

func TestQuoteStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := platform(t, simulated.Config{}).Quote(ctx, [64]byte{}); err == nil {
		t.Error("a cancelled request was answered")
	}
}

func BenchmarkQuote(b *testing.B) {
	p := platform(b, simulated.Config{})
	for b.Loop() {
		quote(b, p, [64]byte{})
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		platform(b, simulated.Config{})
	}
}
