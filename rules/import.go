package rules

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Import decrypts the original broker's form of a rule file: AES-128 in counter mode
// with a 16-byte key and a 16-byte initial counter block iv, without header, padding or
// MAC; the same as openssl enc -aes-128-ctr.
//
// This form has no integrity: who can write the file can change the rules, bit by bit,
// without the key. What protects them is the rules digest alone, so compare the digest
// of the result with what you expect.
//
// A key of zeros, the original's default, hides nothing and is refused unless
// allowZeroKey. The plaintext that Import returns is one that Parse accepts.
func Import(ciphertext, key, iv []byte, allowZeroKey bool) ([]byte, error) {
	if len(ciphertext) == 0 {
		return nil, errors.New("the encrypted rule file is empty")
	}
	if len(ciphertext) > MaxFile {
		return nil, fmt.Errorf("the encrypted rule file has %d bytes, want at most %d", len(ciphertext), MaxFile)
	}
	if len(key) != 16 || len(iv) != 16 {
		return nil, fmt.Errorf("got a key of %d and an iv of %d bytes, want 16 and 16", len(key), len(iv))
	}
	if !allowZeroKey && bytes.Equal(key, make([]byte, 16)) {
		return nil, errors.New("the key is all zeros, which hides nothing: encrypt the file under a key of your own, or allow the zero key by name")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plaintext := make([]byte, len(ciphertext))
	cipher.NewCTR(block, iv).XORKeyStream(plaintext, ciphertext)
	if _, err := Parse(plaintext); err != nil {
		// Under a wrong key the plaintext is noise, and a fault in it would say nothing.
		if !bytes.HasPrefix(bytes.TrimSpace(plaintext), []byte("{")) || !utf8.Valid(plaintext) {
			return nil, errors.New("decryption gave no rule file: wrong key or iv?")
		}
		return nil, fmt.Errorf("the decrypted rule file: %w", err)
	}
	return plaintext, nil
}

// ParseHexKey reads a 16-byte key or iv from the content of a file or an environment
// variable: 32 hexadecimal digits, white space around them. name says in the error
// which one it is; the content is never shown.
func ParseHexKey(name string, text []byte) ([16]byte, error) {
	var key [16]byte
	digits := bytes.TrimSpace(text)
	if len(digits) != hex.EncodedLen(len(key)) {
		return key, fmt.Errorf("%s: got %d characters, want 32 hexadecimal digits (16 bytes)", name, len(digits))
	}
	if _, err := hex.Decode(key[:], digits); err != nil {
		return [16]byte{}, fmt.Errorf("%s: a character is no hexadecimal digit, want 32 of them (16 bytes)", name)
	}
	return key, nil
}
