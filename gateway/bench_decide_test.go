//go:build unix

package gateway_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/gateway"
)

// signer makes tokens of one algorithm, and checks a signature with nothing around it.
type signer struct {
	algorithm string
	public    crypto.PublicKey
	sign      func(digest []byte) []byte
	verify    func(digest, signature []byte) bool
}

func signers(b *testing.B) []signer {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	return []signer{
		{"RS256", rsaKey.Public(), func(digest []byte) []byte {
			s, err := rsa.SignPKCS1v15(nil, rsaKey, crypto.SHA256, digest)
			if err != nil {
				b.Fatal(err)
			}
			return s
		}, func(digest, s []byte) bool {
			return rsa.VerifyPKCS1v15(&rsaKey.PublicKey, crypto.SHA256, digest, s) == nil
		}},
		{"ES256", ecKey.Public(), func(digest []byte) []byte {
			r, s, err := ecdsa.Sign(rand.Reader, ecKey, digest)
			if err != nil {
				b.Fatal(err)
			}
			raw := make([]byte, 64)
			r.FillBytes(raw[:32])
			s.FillBytes(raw[32:])
			return raw
		}, func(digest, raw []byte) bool {
			return ecdsa.Verify(&ecKey.PublicKey, digest, new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:]))
		}},
	}
}

// BenchmarkNewTokens is a decision about a token that nobody has seen before,
// compared with the verification of its signature alone.
//
//	go test -bench NewTokens -count 6 ./gateway
func BenchmarkNewTokens(b *testing.B) {
	const issuer, audience, tokenCount = "https://idp.example.com", "https://api.example.com", 512
	for _, s := range signers(b) {
		var requests []*http.Request
		var digests, signatures [][]byte
		b64 := base64.RawURLEncoding.EncodeToString
		for i := range tokenCount {
			input := b64(fmt.Appendf(nil, `{"alg":%q,"typ":"at+jwt","kid":"1"}`, s.algorithm)) + "." + b64(fmt.Appendf(nil,
				`{"iss":%q,"aud":%q,"sub":"user-%d","jti":"%d","scope":"read:reports write:reports","exp":%d,"org":{"role":"owner"}}`, issuer, audience, i, i, time.Now().Add(time.Hour).Unix()))
			digest := sha256.Sum256([]byte(input))
			signature := s.sign(digest[:])
			digests, signatures = append(digests, digest[:]), append(signatures, signature)
			requests = append(requests, &http.Request{Method: "GET", URL: &url.URL{Path: "/reports/1"}, Host: "gw", Header: http.Header{"Authorization": {"Bearer " + input + "." + b64(signature)}}})
		}
		b.Run(s.algorithm+"/signature", func(b *testing.B) {
			before := cpuTime(b)
			defer func() { b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/op") }()
			for i := 0; b.Loop(); i++ {
				if !s.verify(digests[i%tokenCount], signatures[i%tokenCount]) {
					b.Fatal("does not verify")
				}
			}
		})
		b.Run(s.algorithm+"/decision", func(b *testing.B) {
			var g *gateway.Gateway
			b.ReportAllocs()
			before := cpuTime(b)
			defer func() { b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/op") }()
			for i := 0; b.Loop(); i++ {
				if i%tokenCount == 0 { // a gateway that has seen none of them
					b.StopTimer()
					g = newDecider(b, s, issuer, audience)
					b.StartTimer()
				}
				d, refusal := g.Decide(requests[i%tokenCount])
				if refusal != nil {
					b.Fatal(refusal)
				}
				d.Done()
			}
		})
	}
}

func newDecider(b *testing.B, s signer, issuer, audience string) *gateway.Gateway {
	v, err := ctb.NewVerifier(ctb.Config{Issuer: issuer, Audience: audience, Keys: ctb.StaticKeys{{ID: "1", Algorithm: s.algorithm, Public: s.public}}})
	if err != nil {
		b.Fatal(err)
	}
	g, err := gateway.New(gateway.Config{
		Credentials: tokens(b, v),
		Routes: []gateway.Route{{Path: "/healthcheck", Open: true}, {Path: "/reports/*", Rules: []gateway.Rule{
			{Claims: []ctb.Requirement{ctb.Scope("read:reports"), ctb.Claim("org.role", "owner", "admin")}},
		}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return g
}
