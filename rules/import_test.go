package rules_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"strings"
	"testing"

	"github.com/confidential-token-broker/ctb/rules"
)

// The ciphertexts were made with OpenSSL 3.0.19:
//
//	openssl enc -aes-128-ctr -K $key -iv $iv -in rules.json | base64 -w0
const (
	importPlain = `{"configs":[{"idp":"https://idp.example/","client_id":"app","server_api":["api"],"scope":"","expiration":60}]}`

	importKey    = "2b7e151628aed2a6abf7158809cf4f3c"
	importIV     = "ffffffffffffffffffffffffffffffff" // the counter block wraps around after the first block
	importCipher = "8dDlbiyR75N6EkZBRFzDyA3VUS5yzO3DTXjfaNB/JEEyahwtRN3bkIzYRNqrGwqo42BHl2pDwGMPZxYcHYF6+zD5DZQUpbCDjkPp+Atgg9imXkTOE066EHN87Ob8p0lshlq5U1CS4lN9BA8DzL0="

	importZero       = "00000000000000000000000000000000" // key and iv, as in the original's source
	importZeroCipher = "Hcsou4HsRVz7bsACsRZCSijAxuySCkQRRUUyeM2DNXRm8LujENrGvdEE4Nod25sWg8rDz2txe0KHjavTtvikklZnY34vA/34GtKUzaD6ib3lb9F6fv5MX0FcnpDrpvCC46wc8cGBW0NVRxTUiFo="
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	key, err := rules.ParseHexKey("key", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return key[:]
}

func unbase64(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestImportReadsWhatOpenSSLWrites(t *testing.T) {
	for _, c := range []struct {
		name, cipher, key, iv string
		allowZeroKey          bool
	}{
		{"a counter block that wraps around", importCipher, importKey, importIV, false},
		{"the original's zero key, allowed by name", importZeroCipher, importZero, importZero, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := rules.Import(unbase64(t, c.cipher), unhex(t, c.key), unhex(t, c.iv), c.allowZeroKey)
			if err != nil || string(got) != importPlain {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}

	want, err := os.ReadFile("testdata/original.json")
	if err != nil {
		t.Fatal(err)
	}
	// openssl enc -aes-128-ctr -K 000102030405060708090a0b0c0d0e0f -iv fffffffffffffffffffffffffffffffe
	cipher, err := os.ReadFile("testdata/original.enc")
	if err != nil {
		t.Fatal(err)
	}
	got, err := rules.Import(cipher, unhex(t, "000102030405060708090a0b0c0d0e0f"), unhex(t, "fffffffffffffffffffffffffffffffe"), false)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestImportRefuses(t *testing.T) {
	cipher, key, iv := unbase64(t, importCipher), unhex(t, importKey), unhex(t, importIV)
	flipped := bytes.Clone(cipher)
	flipped[len(flipped)-5] ^= '6' ^ '0' // the expiration: 00
	unlisted := bytes.Clone(cipher)
	unlisted[11] ^= '[' ^ '{'

	for _, c := range []struct {
		name            string
		cipher, key, iv []byte
		want            string
	}{
		{"nothing", nil, key, iv, "the encrypted rule file is empty"},
		{"too much", make([]byte, rules.MaxFile+1), key, iv, "the encrypted rule file has 1048577 bytes, want at most 1048576"},
		{"a short key", cipher, key[:15], iv, "got a key of 15 and an iv of 16 bytes, want 16 and 16"},
		{"a long iv", cipher, key, append(bytes.Clone(iv), 0), "got a key of 16 and an iv of 17 bytes, want 16 and 16"},
		{"the zero key", unbase64(t, importZeroCipher), make([]byte, 16), make([]byte, 16),
			"the key is all zeros, which hides nothing: encrypt the file under a key of your own, or allow the zero key by name"},
		{"another key", cipher, unhex(t, "2b7e151628aed2a6abf7158809cf4f3d"), iv, "decryption gave no rule file: wrong key or iv?"},
		{"another iv", cipher, key, unhex(t, "fffffffffffffffffffffffffffffffe"), "decryption gave no rule file: wrong key or iv?"},
		{"plaintext", []byte(importPlain), key, iv, "decryption gave no rule file: wrong key or iv?"},
		{"a rule at fault", flipped, key, iv, "the decrypted rule file: line 1, column 107: configs[0]: invalid character '0' after object value (expecting ',' or '}')"},
		{"an object for the list", unlisted, key, iv, "the decrypted rule file: line 1, column 12: configs: got an object, want an array"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := rules.Import(c.cipher, c.key, c.iv, false)
			if err == nil || got != nil {
				t.Fatalf("got %q, %v", got, err)
			}
			if err.Error() != c.want {
				t.Errorf("\n got %s\nwant %s", err, c.want)
			}
		})
	}
}

func TestParseHexKey(t *testing.T) {
	want := [16]byte{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0xff}
	for _, text := range []string{"000102030405060708090a0b0c0d0eff", "  000102030405060708090A0B0C0D0EFF\r\n"} {
		if got, err := rules.ParseHexKey("CTB_KEY", []byte(text)); err != nil || got != want {
			t.Errorf("%q: got %x, %v", text, got, err)
		}
	}

	const secret = "5ec4e7"
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "CTB_KEY: got 0 characters, want 32 hexadecimal digits (16 bytes)"},
		{"too few digits", strings.Repeat(secret, 5), "CTB_KEY: got 30 characters, want 32 hexadecimal digits (16 bytes)"},
		{"a key of 256 bits", strings.Repeat(secret, 10) + "0000", "CTB_KEY: got 64 characters, want 32 hexadecimal digits (16 bytes)"},
		{"another letter", strings.Repeat(secret, 5) + "0g", "CTB_KEY: a character is no hexadecimal digit, want 32 of them (16 bytes)"},
		{"0x", "0x" + strings.Repeat(secret, 5), "CTB_KEY: a character is no hexadecimal digit, want 32 of them (16 bytes)"},
		{"a space inside", strings.Repeat(secret, 5) + " 0", "CTB_KEY: a character is no hexadecimal digit, want 32 of them (16 bytes)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			key, err := rules.ParseHexKey("CTB_KEY", []byte(c.text))
			if err == nil || err.Error() != c.want || key != [16]byte{} {
				t.Errorf("got %x, %v, want %s", key, err, c.want)
			}
		})
	}
}
