package jwt

import (
	"crypto"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"
	golangjwt "github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

const signerKID = "idp-2026"

// signer is somebody else's way to sign an id token and to publish the key for it.
type signer struct {
	name string
	sign func(t *testing.T, algorithm string, key crypto.Signer, claims map[string]any) string
	jwks func(t *testing.T, algorithm string, key crypto.PublicKey) []byte
}

var signers = []signer{
	{"jwx", signWithJWX, jwksOfJWX},
	{"golang-jwt", signWithGolangJWT, jwksOfGoJose}, // golang-jwt publishes no keys
	{"go-jose", signWithGoJose, jwksOfGoJose},
}

func signWithJWX(t *testing.T, algorithm string, key crypto.Signer, claims map[string]any) string {
	alg, ok := jwa.LookupSignatureAlgorithm(algorithm)
	if !ok {
		t.Fatalf("jwx does not know %s", algorithm)
	}
	private := must(jwk.Import(key))(t)
	for name, value := range map[string]any{jwk.KeyIDKey: signerKID, jwk.AlgorithmKey: alg} {
		if err := private.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	payload := must(json.Marshal(claims))(t)
	return string(must(jws.Sign(payload, jws.WithKey(alg, private)))(t))
}

func jwksOfJWX(t *testing.T, algorithm string, key crypto.PublicKey) []byte {
	public := must(jwk.Import(key))(t)
	alg, _ := jwa.LookupSignatureAlgorithm(algorithm)
	for name, value := range map[string]any{jwk.KeyIDKey: signerKID, jwk.AlgorithmKey: alg, jwk.KeyUsageKey: "sig"} {
		if err := public.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	set := jwk.NewSet()
	if err := set.AddKey(public); err != nil {
		t.Fatal(err)
	}
	return must(json.Marshal(set))(t)
}

func signWithGolangJWT(t *testing.T, algorithm string, key crypto.Signer, claims map[string]any) string {
	token := golangjwt.NewWithClaims(golangjwt.GetSigningMethod(algorithm), golangjwt.MapClaims(claims))
	token.Header["kid"] = signerKID
	return must(token.SignedString(key))(t)
}

func signWithGoJose(t *testing.T, algorithm string, key crypto.Signer, claims map[string]any) string {
	s := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: jose.JSONWebKey{Key: key, KeyID: signerKID}},
		(&jose.SignerOptions{}).WithType("JWT")))(t)
	signed := must(s.Sign(must(json.Marshal(claims))(t)))(t)
	return must(signed.CompactSerialize())(t)
}

func jwksOfGoJose(t *testing.T, algorithm string, key crypto.PublicKey) []byte {
	return must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: signerKID, Algorithm: algorithm, Use: "sig"}}}))(t)
}

// must turns (value, error) into the value, or ends the test.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}
