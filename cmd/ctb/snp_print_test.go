package main

import (
	"strings"
	"testing"
)

// TestGuestPolicyWords: what endangers a guest stands first, and what is not there is not spoken of.
func TestGuestPolicyWords(t *testing.T) {
	for _, test := range []struct {
		policy amdPolicyJSON
		want   string
	}{
		{amdPolicyJSON{}, "firmware ABI 0.0 or newer"},
		{amdPolicyJSON{SMT: true, ABIMajor: 1, ABIMinor: 51}, "SMT allowed, firmware ABI 1.51 or newer"},
		{amdPolicyJSON{Debug: true, MigrateMA: true, SMT: true}, "DEBUG allowed, migration agent allowed, SMT allowed, firmware ABI 0.0 or newer"},
		{amdPolicyJSON{SingleSocket: true, CXL: true, MemAES256XTS: true, RAPLDisabled: true, CiphertextHiding: true, PageSwapDisabled: true},
			"CXL memory allowed, one socket only, AES-256-XTS demanded, no RAPL demanded, ciphertext hiding demanded, no page swapping, firmware ABI 0.0 or newer"},
	} {
		if got := test.policy.String(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

func TestMachineWords(t *testing.T) {
	for want, p := range map[string]amdPlatformJSON{
		"SMT off, no ECC memory, TSME off": {},
		"SMT on, ECC memory, TSME on, RAPL off, ciphertext hiding, memory aliases checked, trusted I/O": {
			SMT: true, ECC: true, TSME: true, RAPLDisabled: true, CiphertextHiding: true, AliasCheckComplete: true, TIO: true},
	} {
		if got := p.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestShort: what an enclave had signed along may have a kilobyte.
func TestShort(t *testing.T) {
	if got := short("abcd"); len(got) != 1 || got[0] != "abcd" {
		t.Errorf("got %q", got)
	}
	if got := short(strings.Repeat("ab", 65)); len(got) != 2 || got[0] != strings.Repeat("ab", 32) || got[1] != "… 65 bytes in all" {
		t.Errorf("got %q", got)
	}
}

// TestIssuerAt: a broker is asked for fresh evidence at its own URL, whichever of its documents is named.
func TestIssuerAt(t *testing.T) {
	for source, want := range map[string]string{
		"https://b.example.com":                                    "https://b.example.com",
		"https://b.example.com/.well-known/jwks.json":              "https://b.example.com",
		"https://b.example.com/x/.well-known/attestation?nonce=ab": "https://b.example.com/x",
		"https://b.example.com/x":                                  "https://b.example.com/x",
		"https://b.example.com:99999999/%zz":                       "https://b.example.com:99999999/%zz",
	} {
		if got := issuerAt(source); got != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
}
