package jose

import (
	"bytes"
	"encoding/asn1"
	"math/big"
	"testing"
)

// TestECDSAForms: both ways between r ‖ s and DER, as encoding/asn1 has it.
func TestECDSAForms(t *testing.T) {
	for _, size := range []int{32, 48} {
		full := bytes.Repeat([]byte{0xff}, size)
		numbers := []*big.Int{
			big.NewInt(1), big.NewInt(0x7f), big.NewInt(0x80), big.NewInt(0xff), big.NewInt(0x100), big.NewInt(0x7fff), big.NewInt(0x8000),
			new(big.Int).SetBytes(full[1:]), new(big.Int).Rsh(new(big.Int).SetBytes(full), 1), new(big.Int).SetBytes(full),
		}
		for _, r := range numbers {
			for _, s := range numbers {
				raw := append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
				der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
				if err != nil {
					t.Fatal(err)
				}
				if got := asn1ECDSA(raw); !bytes.Equal(got, der) {
					t.Errorf("%x: got %x, want %x", raw, got, der)
				}
				if got, err := rawECDSA(der, size); err != nil || !bytes.Equal(got, raw) {
					t.Errorf("%x: got %x, %v, want %x", der, got, err, raw)
				}
			}
		}
		zero, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int), new(big.Int)})
		if got := asn1ECDSA(make([]byte, 2*size)); err != nil || !bytes.Equal(got, zero) {
			t.Errorf("zeros: got %x, want %x", got, zero)
		}
	}
}

// TestNoECDSASignature: a signer's answer that is none never becomes a token.
func TestNoECDSASignature(t *testing.T) {
	for _, tt := range []struct {
		what string
		der  []byte
		want string
	}{
		{"nothing", nil, "signer gave no ECDSA signature"},
		{"half a header", []byte{0x30}, "signer gave no ECDSA signature"},
		{"another tag", []byte{0x31, 6, 2, 1, 1, 2, 1, 1}, "signer gave no ECDSA signature"},
		{"a length beyond the end", []byte{0x30, 7, 2, 1, 1, 2, 1, 1}, "signer gave no ECDSA signature"},
		{"an integer beyond the end", []byte{0x30, 6, 2, 1, 1, 2, 2, 1}, "signer gave no ECDSA signature"},
		{"a length of two bytes", []byte{0x30, 0x81, 6, 2, 1, 1, 2, 1, 1}, "signer gave no ECDSA signature"},
		{"one integer", []byte{0x30, 3, 2, 1, 1}, "signer gave no ECDSA signature"},
		{"three integers", []byte{0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1}, "signer gave no ECDSA signature"},
		{"more after it", []byte{0x30, 6, 2, 1, 1, 2, 1, 1, 0}, "signer gave no ECDSA signature"},
		{"r is zero", []byte{0x30, 6, 2, 1, 0, 2, 1, 1}, "signer gave an ECDSA signature of another curve"},
		{"s is empty", []byte{0x30, 5, 2, 1, 1, 2, 0}, "signer gave an ECDSA signature of another curve"},
		{"s is negative", []byte{0x30, 6, 2, 1, 1, 2, 1, 0x80}, "signer gave an ECDSA signature of another curve"},
		{"r is of a longer curve", asn1ECDSA(bytes.Repeat([]byte{1}, 96)), "signer gave an ECDSA signature of another curve"},
	} {
		if got, err := rawECDSA(tt.der, 32); err == nil || err.Error() != tt.want || got != nil {
			t.Errorf("%s: got %x, %v, want %s", tt.what, got, err, tt.want)
		}
	}
}
