package extauthz_test

import (
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/extauthz"
)

// BenchmarkCheck is a call about a request by a token that was seen before:
// the translation both ways and the decision, then the same over a connection.
func BenchmarkCheck(b *testing.B) {
	r := newRig(b, nil)
	g, err := gateway.New(gateway.Config{Credentials: tokensOf(b, r.issuer)})
	if err != nil {
		b.Fatal(err)
	}
	service, err := extauthz.New(extauthz.Config{Decider: g})
	if err != nil {
		b.Fatal(err)
	}
	call := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: raw("GET", "/reports/1?a=b", r.bearer(ctbtest.Claims{"scope": "read:reports"}), "Accept: */*", "User-Agent: bench", "X-Request-Id: 1"),
	}}}
	b.Run("in process", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if answer, err := service.Check(b.Context(), call); err != nil || status(answer) != 200 {
				b.Fatal(answer, err)
			}
		}
	})
	b.Run("over gRPC, concurrent", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if answer, err := r.client.Check(b.Context(), call); err != nil || status(answer) != 200 {
					b.Error(answer, err)
					return
				}
			}
		})
	})
}
