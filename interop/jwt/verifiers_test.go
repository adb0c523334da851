package jwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	golangjwt "github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"
)

// keySource is a JWKS that is served over HTTPS.
type keySource struct {
	url    string
	client *http.Client
}

// expectation is what a verifier demands of a token beside a good signature.
type expectation struct{ algorithm, issuer, audience string }

// verifier is somebody else's way to verify a token. It returns the subject.
type verifier struct {
	name   string
	verify func(ctx context.Context, keys keySource, want expectation, raw string) (subject string, err error)
}

var verifiers = []verifier{
	{"go-oidc", verifyWithGoOIDC},
	{"jwx", verifyWithJWX},
	{"golang-jwt", verifyWithGolangJWT},
	{"go-jose", verifyWithGoJose},
}

func verifyWithGoOIDC(ctx context.Context, keys keySource, want expectation, raw string) (string, error) {
	ctx = oidc.ClientContext(ctx, keys.client)
	v := oidc.NewVerifier(want.issuer, oidc.NewRemoteKeySet(ctx, keys.url), &oidc.Config{
		ClientID:             want.audience, // go-oidc's word for the expected audience
		SupportedSigningAlgs: []string{want.algorithm},
	})
	token, err := v.Verify(ctx, raw)
	if err != nil {
		return "", err
	}
	return token.Subject, nil
}

func verifyWithJWX(ctx context.Context, keys keySource, want expectation, raw string) (string, error) {
	set, err := jwk.Fetch(ctx, keys.url, jwk.WithHTTPClient(keys.client))
	if err != nil {
		return "", err
	}
	token, err := jwxjwt.Parse([]byte(raw), jwxjwt.WithKeySet(set), jwxjwt.WithIssuer(want.issuer), jwxjwt.WithAudience(want.audience))
	if err != nil {
		return "", err
	}
	subject, _ := token.Subject()
	return subject, nil
}

func verifyWithGoJose(ctx context.Context, keys keySource, want expectation, raw string) (string, error) {
	body, err := get(ctx, keys)
	if err != nil {
		return "", err
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil {
		return "", err
	}
	token, err := josejwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(want.algorithm)})
	if err != nil {
		return "", err
	}
	var claims josejwt.Claims
	if err := token.Claims(set, &claims); err != nil {
		return "", err
	}
	return claims.Subject, claims.Validate(josejwt.Expected{Issuer: want.issuer, AnyAudience: josejwt.Audience{want.audience}})
}

// verifyWithGolangJWT reads the JWKS by hand, since golang-jwt knows none.
func verifyWithGolangJWT(ctx context.Context, keys keySource, want expectation, raw string) (string, error) {
	body, err := get(ctx, keys)
	if err != nil {
		return "", err
	}
	find := func(token *golangjwt.Token) (any, error) { return keyByHand(body, fmt.Sprint(token.Header["kid"])) }
	token, err := golangjwt.Parse(raw, find, golangjwt.WithValidMethods([]string{want.algorithm}),
		golangjwt.WithIssuer(want.issuer), golangjwt.WithAudience(want.audience), golangjwt.WithExpirationRequired())
	if err != nil {
		return "", err
	}
	return token.Claims.GetSubject()
}

// keyByHand reads one key of a JWKS with nothing but RFC 7517 and 7518 beside it.
func keyByHand(jwks []byte, kid string) (crypto.PublicKey, error) {
	var set struct {
		Keys []struct{ Kid, Kty, Crv, N, E, X, Y string }
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		return nil, err
	}
	number := func(s string) *big.Int {
		b, _ := base64.RawURLEncoding.DecodeString(s)
		return new(big.Int).SetBytes(b)
	}
	for _, k := range set.Keys {
		switch {
		case k.Kid != kid:
		case k.Kty == "RSA":
			return &rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}, nil
		case k.Crv == "P-256":
			return &ecdsa.PublicKey{Curve: elliptic.P256(), X: number(k.X), Y: number(k.Y)}, nil
		case k.Crv == "P-384":
			return &ecdsa.PublicKey{Curve: elliptic.P384(), X: number(k.X), Y: number(k.Y)}, nil
		case k.Crv == "Ed25519":
			x, err := base64.RawURLEncoding.DecodeString(k.X)
			return ed25519.PublicKey(x), err
		}
	}
	return nil, errors.New("no such key")
}

func get(ctx context.Context, keys keySource) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, keys.url, nil)
	if err != nil {
		return nil, err
	}
	res, err := keys.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// wantVerdicts checks that every stranger accepts raw, and refuses it as soon as anything about it is wrong.
func wantVerdicts(t *testing.T, keys keySource, want expectation, subject, raw string) {
	t.Helper()
	for _, v := range verifiers {
		t.Run(v.name, func(t *testing.T) {
			got, err := v.verify(t.Context(), keys, want, raw)
			if err != nil {
				t.Fatalf("refuses our token: %v", err)
			}
			if got != subject {
				t.Errorf("reads subject %q, want %q", got, subject)
			}
			for _, fault := range faults {
				if _, err := v.verify(t.Context(), keys, want, fault.spoil(t, raw)); err == nil {
					t.Errorf("accepts %s", fault.name)
				}
			}
			other := want
			other.audience = "https://other.example.com"
			if _, err := v.verify(t.Context(), keys, other, raw); err == nil {
				t.Error("accepts our token for another audience")
			}
		})
	}
}
