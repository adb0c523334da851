package dcap

import (
	"encoding/asn1"
	"slices"
	"strings"
	"testing"
)

func rawDER(b []byte) asn1.RawValue { return asn1.RawValue{FullBytes: b} }

func TestPCKOfTheOriginalSample(t *testing.T) {
	q, err := ParseQuote(original(t, "quote.bin"))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := q.Signature.Certification.Chain()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParsePCK(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	want := PCK{
		PPID:   [16]byte(unhex("7360E566333524F2FD770562875239E0")),
		SVN:    [16]uint8{11, 11, 3, 3, 255, 255},
		PCESVN: 13,
		CPUSVN: [16]byte(unhex("0B0B0303FFFF00000000000000000000")),
		FMSPC:  [6]byte(unhex("00606A000000")), SGXType: 1,
		PlatformInstance: [16]byte(unhex("CCE908147235D349A1E555BA1DDD7608")),
		DynamicPlatform:  true, CachedKeys: true, SMT: true,
	}
	if *got != want {
		t.Errorf("got %+v\nwant %+v", *got, want)
	}
}

func TestHostilePCK(t *testing.T) {
	with := func(i int, field []byte) func(*forge) {
		return func(f *forge) {
			fields := standardFields()
			fields[i] = field
			f.extension = sgxExtension(fields...)
		}
	}
	plus := func(field []byte) func(*forge) {
		return func(f *forge) { f.extension = sgxExtension(append(standardFields(), field)...) }
	}
	refuse(t, []hostile{
		{"empty", func(f *forge) { f.extension = nil }, "SGX extension: malformed DER"},
		{"empty list", func(f *forge) { f.extension = sgxExtension() }, "SGX extension: field .1 is missing"},
		{"a byte behind", func(f *forge) { f.extension = append(f.extension, 0) }, "SGX extension: malformed DER"},
		{"cut short", func(f *forge) { f.extension = f.extension[:len(f.extension)-1] }, "SGX extension: malformed DER"},
		{"longer than it is", func(f *forge) { f.extension = []byte{tagSequence, 5, 0} }, "SGX extension: malformed DER"},
		{"not a list", func(f *forge) { f.extension = asn(5) }, "SGX extension: malformed DER"},
		{"no FMSPC", func(f *forge) { f.extension = sgxExtension(slices.Delete(standardFields(), 3, 4)...) }, "SGX extension: field .4 is missing"},
		{"FMSPC twice", plus(sgxField(unhex("00906ED50000"), 4)), "SGX extension: field .4 is there twice"},
		{"FMSPC too long", with(3, sgxField(make([]byte, 7), 4)), "SGX extension: field .4: malformed DER"},
		{"FMSPC a number", with(3, sgxField(1, 4)), "SGX extension: field .4: malformed DER"},
		{"FMSPC with something behind", with(3, der2(tagSequence, asn(append(slices.Clone(oidSGX), 4)), asn(make([]byte, 6)), asn(1))), "SGX extension: field .4: malformed DER"},
		{"SGX type unknown", with(4, sgxField(asn1.Enumerated(3), 5)), "SGX extension: field .5: is out of range"},
		{"SGX type an integer", with(4, sgxField(1, 5)), "SGX extension: field .5: malformed DER"},
		{"unknown field", plus(sgxField(1, 8)), "SGX extension: field .8: is unknown"},
		{"field number too large", plus(sgxField(1, 32)), "SGX extension: got an unknown field (OID 2a864886f84d010d0120)"},
		{"field of another arc", plus(der2(tagSequence, asn(asn1.ObjectIdentifier{1, 2, 3}), asn(1))), "SGX extension: got an unknown field (OID 2a03)"},
		{"a bare value in the list", plus(asn(1)), "SGX extension: malformed DER"},
		{"component above 255", extensionWith(0, sgxField(256, 2, 1)), "SGX extension: field .2: field .1: is out of range"},
		{"component negative", extensionWith(0, sgxField(-1, 2, 1)), "SGX extension: field .2: field .1: is negative"},
		{"component of eight bytes", extensionWith(0, sgxField(1<<40, 2, 1)), "SGX extension: field .2: field .1: malformed DER"},
		{"component in a long form", extensionWith(0, der2(tagSequence, asn(append(slices.Clone(oidSGX), 2, 1)), []byte{2, 2, 0, 2})), "SGX extension: field .2: field .1: malformed DER"},
		{"component with a long length", extensionWith(0, der2(tagSequence, asn(append(slices.Clone(oidSGX), 2, 1)), []byte{2, 0x81, 1, 2})), "SGX extension: field .2: field .1: malformed DER"},
		{"component twice", extensionWith(1, sgxField(2, 2, 1)), "SGX extension: field .2: field .1 is there twice"},
		{"component unknown", extensionWith(17, sgxField(2, 2, 19)), "SGX extension: field .2: field .19: is unknown"},
		{"PCESVN above 65535", extensionWith(16, sgxField(65536, 2, 17)), "SGX extension: field .2: field .17: is out of range"},
		{"CPUSVN missing", func(f *forge) {
			fields := standardFields()
			fields[1] = sgxField(rawDER(sgxExtension(tcbFields()[:17]...)), 2)
			f.extension = sgxExtension(fields...)
		}, "SGX extension: field .2: field .18 is missing"},
		{"configuration not a list", plus(sgxField(true, 7)), "SGX extension: field .7: malformed DER"},
		{"configuration flag not DER", plus(sgxField(rawDER(sgxExtension(der2(tagSequence, asn(append(slices.Clone(oidSGX), 7, 1)), []byte{1, 1, 1}))), 7)), "SGX extension: field .7: field .1: malformed DER"},
		{"configuration flag unknown", plus(sgxField(rawDER(sgxExtension(sgxField(true, 7, 4))), 7)), "SGX extension: field .7: field .4: is unknown"},
	})
}

func TestOrderOfPCKFields(t *testing.T) {
	fields := standardFields()
	slices.Reverse(fields)
	p, err := parsePCK(sgxExtension(fields...))
	if err != nil {
		t.Fatal(err)
	}
	if p.FMSPC != [6]byte(unhex("00906ED50000")) || p.PCESVN != 13 || p.SVN[15] != 2 {
		t.Errorf("got %+v", p)
	}
}

func TestChainOfHostileData(t *testing.T) {
	if _, err := (&Certification{Type: certifiesByChain, Data: []byte("x")}).Chain(); err == nil || !strings.HasPrefix(err.Error(), "PCK certificate chain: PEM certificate 1 of 3: ") {
		t.Errorf("got %v", err)
	}
	if _, err := (&Certification{Type: certifiesByChain, Data: pemOf([]byte("a"), []byte("b"), []byte("c"))}).Chain(); err == nil || !strings.HasPrefix(err.Error(), "PCK certificate chain: x509: ") {
		t.Errorf("got %v", err)
	}
}
