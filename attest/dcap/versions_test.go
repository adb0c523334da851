package dcap

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/attest/tee"
)

// kinds are all the kinds of quotes there are.
var kinds = []struct {
	name    string
	forge   func() *forge
	tee     string
	version uint16
	body    uint16 // type, in version 5
	start   int    // offset of the body
	size    int    // of the body
}{
	{"SGX, version 3", func() *forge { return newEnclaveForge(3) }, "sgx", 3, 0, 48, 384},
	{"SGX, version 4", func() *forge { return newEnclaveForge(4) }, "sgx", 4, 0, 48, 384},
	{"SGX, version 5", func() *forge { return newEnclaveForge(5) }, "sgx", 5, 1, 54, 384},
	{"TDX 1.0, version 4", func() *forge { return newTDForge(4) }, "tdx", 4, 0, 48, 584},
	{"TDX 1.0, version 5", newTD10Forge, "tdx", 5, 2, 54, 584},
	{"TDX 1.5, version 5", func() *forge { return newTDForge(5) }, "tdx", 5, 3, 54, 648},
}

// TestKindsOfQuotes verifies one of each kind, and holds its bytes against Intel's layout.
func TestKindsOfQuotes(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			f := kind.forge()
			e, v := f.make(t)
			r, err := v.Verify(t.Context(), e, forgedAt)
			if err != nil {
				t.Fatal(err)
			}
			if r.TEE != kind.tee || r.TCB.Status != tee.UpToDate || string(r.Data[:11]) != "report data" || r.Debug {
				t.Errorf("got %q, %+v, data %x, debug %t", r.TEE, r.TCB, r.Data, r.Debug)
			}
			b := e.Quote
			if kind.version == 5 {
				if body, size := binary.LittleEndian.Uint16(b[48:]), binary.LittleEndian.Uint32(b[50:]); body != kind.body || int(size) != kind.size {
					t.Errorf("body type %d of %d bytes, want %d of %d", body, size, kind.body, kind.size)
				}
			}
			end := kind.start + kind.size
			if got := string(b[end-64 : end-64+11]); kind.body != 3 && got != "report data" {
				t.Errorf("report data: got %q", got)
			}
			if length := binary.LittleEndian.Uint32(b[end:]); int(length) != len(b)-end-4 {
				t.Errorf("signature section: got %d bytes, want %d", length, len(b)-end-4)
			}
			q, err := ParseQuote(b)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(q, f.quote) {
				t.Error("what parses is not what was made")
			}
			if !bytes.Equal(q.Signed(), b[:end]) {
				t.Error("what is signed is not what came")
			}
			if p, err := q.Platform(); err != nil || p.String() != kind.tee+" 00906ed50000 (platform CA)" {
				t.Errorf("platform: got %v, %v", p, err)
			}
			for n := range b {
				if _, err := ParseQuote(b[:n]); err == nil {
					t.Fatalf("cut to %d bytes it still parses", n)
				}
			}
		})
	}
}

// TestAllocations: what parsing takes is the quote and its body, whatever its size.
func TestAllocations(t *testing.T) {
	for _, kind := range kinds {
		e, _ := kind.forge().make(t)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := ParseQuote(e.Quote); err != nil {
				t.Fatal(err)
			}
		}); n != 2 {
			t.Errorf("%s: got %v allocations, want 2", kind.name, n)
		}
	}
}

// TestPaddingBehindQuotes: from version 4 on NULs may follow, and nothing else.
func TestPaddingBehindQuotes(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			e, v := kind.forge().make(t)
			e.Quote = append(e.Quote, make([]byte, 100)...)
			_, err := v.Verify(t.Context(), e, forgedAt)
			if kind.version == 3 {
				if err == nil || !strings.Contains(err.Error(), "length of the signature section at offset 432") {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			q, err := ParseQuote(e.Quote)
			if err != nil || q.Padding != 100 {
				t.Fatalf("got %v, %v", q, err)
			}
			if again, err := q.Marshal(); err != nil || !bytes.Equal(again, e.Quote) {
				t.Errorf("marshals to %x, %v", again, err)
			}
			e.Quote[len(e.Quote)-3] = 1
			if _, err := v.Verify(t.Context(), e, forgedAt); err == nil || !strings.Contains(err.Error(), "which can't be padding: that at offset ") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestHostileBodies: the types and lengths of versions 4 and 5.
func TestHostileBodies(t *testing.T) {
	type change func(q []byte) []byte
	put := func(at int, b ...byte) change { return func(q []byte) []byte { copy(q[at:], b); return q } }
	const (
		td4  = 48 + 584 + 4 + 128 // the certification data of type 6
		sgx4 = 48 + 384 + 4 + 128
		td5  = 54 + 648 + 4 + 128
		auth = 6 + 384 + 64 // from there to the authentication data's length
	)
	for _, test := range []struct {
		name  string
		forge *forge
		fault change
		want  string
	}{
		{"an unknown TEE", newTDForge(4), put(4, 0x82), "quote: TEE type at offset 4: got 0x82, want 0 (SGX) or 0x81 (TDX)"},
		{"TDX in version 3", newTDForge(4), put(0, 3), "quote: reserved bytes at offset 4: got 0x81, want 0"},
		{"TDX called SGX, version 4", newTDForge(4), put(4, 0), "quote: length of the signature section at offset 432: got"},
		{"SGX called TDX, version 4", newEnclaveForge(4), put(4, 0x81), "quote: length of the signature section at offset 632: got"},
		{"version 4 called 5", newTDForge(4), put(0, 5), "quote: body type at offset 48: got 6662, want 2 (TDX 1.0) or 3 (TDX 1.5), since the TEE type is 0x81"},
		{"version 5 called 4", newTDForge(5), put(0, 4), "quote: length of the signature section at offset 632"},
		{"SGX body called TDX 1.0", newEnclaveForge(5), put(48, 2), "quote: body type at offset 48: got 2, want 1 (SGX), since the TEE type is 0x0"},
		{"TDX body called SGX", newTDForge(5), put(48, 1), "quote: body type at offset 48: got 1, want 2 (TDX 1.0) or 3 (TDX 1.5)"},
		{"TDX 1.5 called 1.0", newTDForge(5), put(48, 2), "quote: size of the body at offset 50: got 648, want 584 for the body type 2"},
		{"an unknown body type", newTDForge(5), put(48, 4), "quote: body type at offset 48: got 4, want 2 (TDX 1.0) or 3 (TDX 1.5)"},
		{"a body of 4 GiB", newTDForge(5), put(50, 0xff, 0xff, 0xff, 0xff), "quote: size of the body at offset 50: got 4294967295, want 648 for the body type 3"},
		{"a body one longer", newEnclaveForge(5), put(50, 0x81), "quote: size of the body at offset 50: got 385, want 384 for the body type 1"},
		{"cut in the body type", newTDForge(5), func(q []byte) []byte { return q[:51] }, "quote: cut short at offset 50: got 1 bytes, want 4"},
		{"signature section of 4 GiB", newTDForge(4), put(632, 0xff, 0xff, 0xff, 0xff), "quote: length of the signature section at offset 632: got 4294967295, but"},
		{"signature section one shorter", newTDForge(4), func(q []byte) []byte { q[632]--; return q }, "quote: length of the certification data at offset 766"},
		{"without the outer certification", newTDForge(4), put(td4, 5), "quote: certification data: got type 5 (the PCK certificate chain), want type 6 (the certification of a quoting enclave"},
		{"an unknown outer certification", newEnclaveForge(4), put(sgx4, 9, 1), "quote: certification data: got type 265 (unknown), want type 6"},
		{"outer certification of 4 GiB", newTDForge(5), put(td5+5, 0xff), "quote: length of the certification data at offset 836"},
		{"authentication data longer than the quote", newTDForge(4), put(td4+auth, 0xff, 0xff), "quote: cut short at offset 1220: got"},
		{"nested twice", newTDForge(4), put(td4+auth+2+9, 6), "quote: certification data: got type 6 (the certification of a quoting enclave, of quotes from version 4), want type 5"},
		{"a platform manifest", newTDForge(4), put(td4+auth+2+9, 7), "quote: certification data: got type 7 (a platform manifest), want type 5 (the PCK certificate chain)"},
		{"PPID in the clear", newTDForge(5), put(td5+auth+2+9, 1), "quote: certification data: got type 1 (the platform's PPID in the clear), want type 5"},
		{"inner certification one longer", newTDForge(4), func(q []byte) []byte { q[td4+auth+2+9+2]++; return q }, "quote: length of the certification data at offset 1231"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, v := test.forge.make(t)
			e.Quote = test.fault(e.Quote)
			if _, err := v.Verify(t.Context(), e, forgedAt); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got the error %v\nwant one with %q", err, test.want)
			}
		})
	}
}

func TestHostileSignaturesOfAllKinds(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			e, v := kind.forge().make(t)
			// The last byte of the body; then the first of the header that is signed and has no meaning.
			for _, at := range []int{kind.start + kind.size - 1, 28} {
				hostile := *e
				hostile.Quote = bytes.Clone(e.Quote)
				hostile.Quote[at] ^= 1
				if _, err := v.Verify(t.Context(), &hostile, forgedAt); err == nil || !strings.HasPrefix(err.Error(), "quote: not signed by its attestation key") {
					t.Errorf("byte %d changed: got %v", at, err)
				}
			}
		})
	}
}
