// Package jwt has no code of its own: its tests let other people's JWT
// implementations verify the broker's tokens, keys and metadata, and let the
// verifier and the broker accept what those implementations sign.
//
// The strangers are coreos/go-oidc, lestrrat-go/jwx, golang-jwt/jwt and
// go-jose/go-jose.
package jwt
