package main

import (
	"bytes"
	"os"
	"testing"
)

// TestVerifyOneBitChanged changes one bit in each byte of a genuine token: none passes.
func TestVerifyOneBitChanged(t *testing.T) {
	token, err := os.ReadFile("testdata/original/access_1_response.jwt")
	if err != nil {
		t.Fatal(err)
	}
	token = bytes.TrimSpace(token)
	verify := func(token []byte) int {
		code, _ := runHere(t, string(token), "verify", "-", "--jwks", "testdata/original/jwks.json", "--unattested",
			"--type", "JWT", "--issuer", "enclave authorization", "--at", "1696053950")
		return code
	}
	if code := verify(token); code != exitOK {
		t.Fatalf("the genuine token: got exit code %d, want 0", code)
	}
	for i := range token {
		changed := bytes.Clone(token)
		changed[i] ^= 1 << (i % 7)
		if bytes.Equal(bytes.TrimSpace(changed), token) {
			continue
		}
		if code := verify(changed); code != exitNo {
			t.Errorf("bit %d of byte %d changed: got exit code %d, want 1", i%7, i, code)
		}
	}
}
