package extauthz_test

import (
	"net/url"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that servers use
	"google.golang.org/grpc/mem"

	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/extauthz"
)

// FuzzCheck: whatever a call says, there is an answer that can be sent, no error,
// and no consent but for what is open, for nobody has a good token here.
func FuzzCheck(f *testing.F) {
	codec := encoding.GetCodecV2("proto")
	for _, in := range []*authv3.AttributeContext_HttpRequest{
		nil,
		http("GET", "/public/x"),
		raw("GET", "/public/x?access_token=a", "Authorization: Bearer a.b.c", "X-User: root"),
		http("POST", "/reports/1", "Authorization: Bearer a.b.c", "Authorization: Bearer a.b.c"),
		http("GET", "/public/../reports/1", "Host: service.example"),
		http("OPTIONS", "/public/%2e%2e", "Origin: https://app.example", "Access-Control-Request-Method: GET"),
		{Method: "GET", Path: "//x#y", Host: "a", HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{nil, {Key: ":path", Value: "/"}}}},
	} {
		data, err := codec.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: in}}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data.Materialize())
	}
	issuer := ctbtest.NewIssuer(f)
	g, err := gateway.New(gateway.Config{
		Credentials:  tokensOf(f, issuer),
		Routes:       []gateway.Route{{Path: "/public/*", Open: true}, {Path: "/*"}},
		ClaimHeaders: []gateway.ClaimHeader{{Header: "X-User", Claim: []string{"sub"}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	service, err := extauthz.New(extauthz.Config{Decider: g})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		call := new(authv3.CheckRequest)
		if codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, call) != nil {
			return
		}
		answer, err := service.Check(t.Context(), call)
		if err != nil {
			t.Fatalf("got an error, want a denial: %v", err)
		}
		if _, err := codec.Marshal(answer); err != nil {
			t.Fatalf("the answer cannot be sent: %v", err)
		}
		path, _, _ := strings.Cut(call.GetAttributes().GetRequest().GetHttp().GetPath(), "?")
		if decoded, err := url.PathUnescape(path); status(answer) == 200 && (err != nil || decoded != "/public" && !strings.HasPrefix(decoded, "/public/")) {
			t.Errorf("%q is let through", path)
		}
		if code := status(answer); code != 200 && (code < 400 || code > 499) { // 503 is the answer to a decision that panicked
			t.Errorf("got the status %d, want consent or the client's fault", code)
		}
	})
}
