package jose

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"testing"
)

// What Wycheproof has wrong. Six are labelled valid that a strict verifier
// refuses; two are labelled invalid that nobody can refuse who accepts case
// 357, for they are the same token under the same key, byte for byte.
var wycheproofWrong = map[int]string{
	346: "a key for PS256 with a PS384 signature",
	347: `a key for "ES521", which is no algorithm`,
	350: "a key for PS256 with a PS384 signature",
	351: `a key for "ES521", which is no algorithm`,
	367: "the token of case 357, which is labelled valid",
	370: "the token of case 357, which is labelled valid",
	372: "a character in the header that is not base64url",
	373: "a character in the payload that is not base64url",
}

func TestWycheproof(t *testing.T) {
	const file = "../../../shared/vectors/jose/json_web_signature_test.json"
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the vectors are not here:", file)
	}
	if err != nil {
		t.Fatal(err)
	}
	var suite struct {
		TestGroups []struct {
			Public  json.RawMessage
			Private struct{ Kty, K, Alg string }
			Tests   []struct {
				TcID   int
				JWS    string
				Result string
			}
		}
	}
	if err := json.Unmarshal(data, &suite); err != nil {
		t.Fatal(err)
	}
	agreed, disagreed := 0, []int{}
	for _, g := range suite.TestGroups {
		verify := func(raw string) error { return verifyWithSet(g.Public, raw) }
		if g.Private.Kty == "oct" {
			// HMAC is no algorithm of ours. The vectors judge the encoding all
			// the same, so the test brings the MAC and our parser the rest.
			verify = func(raw string) error { return verifyHS256(g.Private.K, raw) }
		}
		for _, c := range g.Tests {
			err := verify(c.JWS)
			if (err == nil) == (c.Result == "valid") {
				agreed++
				continue
			}
			disagreed = append(disagreed, c.TcID)
			if _, known := wycheproofWrong[c.TcID]; !known {
				t.Errorf("case %d: want %s, got %v", c.TcID, c.Result, err)
			}
		}
	}
	slices.Sort(disagreed)
	if want := slices.Sorted(maps.Keys(wycheproofWrong)); agreed != 393 || !slices.Equal(disagreed, want) {
		t.Errorf("agrees with %d, disagrees with %v", agreed, disagreed)
	}
}

func verifyWithSet(jwk json.RawMessage, raw string) error {
	set, err := ParseSet([]byte(`{"keys":[` + string(jwk) + `]}`))
	if err != nil {
		return err
	}
	if set[0].Err != nil {
		return set[0].Err
	}
	m, err := Parse(raw)
	if err != nil {
		return err
	}
	return m.Verify(set[0].Algorithm, set[0].Key)
}

func verifyHS256(key, raw string) error {
	secret, err := base64url.DecodeString(key)
	if err != nil {
		return err
	}
	m, err := Parse(raw)
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(m.signed)
	if m.Header.Algorithm != "HS256" || !hmac.Equal(mac.Sum(nil), m.Signature) {
		return errors.New("MAC is wrong")
	}
	return nil
}
