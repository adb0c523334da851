package rules_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"slices"
	"testing"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/rules"
)

// What parses is the same every time, decides without a panic, and never gives more than
// it was asked for.
func FuzzParse(f *testing.F) {
	original, err := os.ReadFile("testdata/original.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(original)
	for _, seed := range []string{base, team, importPlain, `{"configs": []}`, `{}`, "\xef\xbb\xbf{}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		s, err := rules.Parse(data)
		if !bytes.Equal(before, data) {
			t.Fatal("Parse changed its input")
		}
		if err != nil {
			if s != nil || err.Error() == "" {
				t.Fatalf("got %v, %q", s, err)
			}
			return
		}
		if s.Digest() != sha256.Sum256(data) || s.Len() < 1 || s.Len() > rules.MaxRules {
			t.Fatalf("digest %s, %d rules", s.DigestString(), s.Len())
		}
		s.Check()
		for _, issuer := range s.Issuers() {
			decide(t, s, issuer.URL)
		}
	})
}

func decide(t *testing.T, s *rules.Set, issuer string) {
	for _, claims := range []string{
		`"aud": "app"`, `"aud": ["app", "x"], "azp": "app"`, `"aud": "IMIprdP4qfSuKANevWkJyhG5F7weEGT0"`,
		`"aud": "app", "email_verified": true, "org": {"role": "admin"}`,
	} {
		token, err := ctb.UnverifiedToken([]byte(`{"exp": 2000000000, ` + claims + `}`))
		if err != nil {
			t.Fatal(err)
		}
		token.Issuer = issuer
		all, err := s.Decide(token, rules.Request{})
		if err != nil {
			continue
		}
		if len(all.Audience) == 0 || all.Lifetime <= 0 || all.Lifetime > rules.MaxExpiration {
			t.Fatalf("got %+v", all)
		}
		one, err := s.Decide(token, rules.Request{Audience: all.Audience[:1]})
		if err != nil || !slices.Equal(one.Audience, all.Audience[:1]) {
			t.Fatalf("got %+v, %v, want the audience %q", one, err, all.Audience[0])
		}
	}
}

// What is imported parses, and is the plaintext of what was encrypted.
func FuzzImport(f *testing.F) {
	f.Add(unbase64(f, importCipher), unhex(f, importKey), unhex(f, importIV), false)
	f.Add(unbase64(f, importZeroCipher), make([]byte, 16), make([]byte, 16), true)
	f.Add([]byte{}, []byte{1}, []byte{}, false)
	f.Fuzz(func(t *testing.T, cipher, key, iv []byte, allowZeroKey bool) {
		plain, err := rules.Import(cipher, key, iv, allowZeroKey)
		if err != nil {
			if plain != nil {
				t.Fatalf("got %q beside %v", plain, err)
			}
			return
		}
		if _, err := rules.Parse(plain); err != nil || len(plain) != len(cipher) {
			t.Fatalf("got %d bytes for %d, %v", len(plain), len(cipher), err)
		}
	})
}
