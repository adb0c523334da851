package extauthz_test

import (
	"context"
	"net"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/confidential-token-broker/ctb"
	"github.com/confidential-token-broker/ctb/ctbtest"
	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/credential"
	"github.com/confidential-token-broker/ctb/gateway/extauthz"
)

// rig is a gateway that is asked over gRPC, on a real socket.
type rig struct {
	tb     testing.TB
	issuer *ctbtest.Issuer
	server *extauthz.Server
	conn   *grpc.ClientConn
	client authv3.AuthorizationClient
}

// newRig starts a gateway that takes tokens of the rig's issuer, with changes to its configuration.
func newRig(tb testing.TB, change func(*gateway.Config)) *rig {
	tb.Helper()
	issuer := ctbtest.NewIssuer(tb)
	c := gateway.Config{
		Credentials: tokensOf(tb, issuer),
		Routes: []gateway.Route{
			{Path: "/public/*", Open: true},
			{Path: "/reports/*", Methods: []string{"GET"}, Rules: []gateway.Rule{{Claims: []ctb.Requirement{ctb.Scope("read:reports")}}}},
			{Path: "/reports/*", Rules: []gateway.Rule{{Claims: []ctb.Requirement{ctb.Claim("org.role", "admin")}}}},
		},
		ClaimHeaders: []gateway.ClaimHeader{{Header: "X-User", Claim: []string{"sub"}}, {Header: "X-Role", Claim: []string{"org", "role"}}},
	}
	if change != nil {
		change(&c)
	}
	g, err := gateway.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	r := serve(tb, extauthz.Config{Decider: g})
	r.issuer = issuer
	return r
}

func tokensOf(tb testing.TB, issuer *ctbtest.Issuer, places ...credential.Place) *credential.Tokens {
	tb.Helper()
	tokens, err := credential.NewTokens([]credential.Issuer{{Name: issuer.URL, Verifier: issuer.Verifier()}}, places...)
	if err != nil {
		tb.Fatal(err)
	}
	return tokens
}

// serve starts a server, and a client without TLS.
func serve(tb testing.TB, c extauthz.Config) *rig {
	tb.Helper()
	server, err := extauthz.NewServer(c)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		conn.Close()
		if err := server.Shutdown(context.Background()); err != nil {
			tb.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			tb.Errorf("serve: %v", err)
		}
	})
	return &rig{tb: tb, server: server, conn: conn, client: authv3.NewAuthorizationClient(conn)}
}

// http is a request as Envoy describes it. Headers are "name: value".
func http(method, path string, headers ...string) *authv3.AttributeContext_HttpRequest {
	r := &authv3.AttributeContext_HttpRequest{
		Id: "1", Method: method, Path: path, Host: "service.example", Scheme: "https", Protocol: "HTTP/1.1", Size: -1,
		Headers: map[string]string{":method": method, ":path": path, ":authority": "service.example", ":scheme": "https"},
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if had, ok := r.Headers[strings.ToLower(name)]; ok {
			value = had + "," + value // as Envoy joins them
		}
		r.Headers[strings.ToLower(name)] = value
	}
	return r
}

// raw is the same with encode_raw_headers.
func raw(method, path string, headers ...string) *authv3.AttributeContext_HttpRequest {
	r := http(method, path)
	r.HeaderMap = new(corev3.HeaderMap)
	for name, value := range r.Headers {
		r.HeaderMap.Headers = append(r.HeaderMap.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.HeaderMap.Headers = append(r.HeaderMap.Headers, &corev3.HeaderValue{Key: strings.ToLower(name), RawValue: []byte(value)})
	}
	r.Headers = nil
	return r
}

// check asks about a request.
func (r *rig) check(in *authv3.AttributeContext_HttpRequest) *authv3.CheckResponse {
	r.tb.Helper()
	res, err := r.client.Check(r.tb.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
			SocketAddress: &corev3.SocketAddress{Address: "192.0.2.7", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 4711}},
		}}},
		Request: &authv3.AttributeContext_Request{Http: in},
	}})
	if err != nil {
		r.tb.Fatalf("%s %s: the call failed: %v", in.GetMethod(), in.GetPath(), err)
	}
	return res
}

// bearer is the header with a token with these changes.
func (r *rig) bearer(changes ctbtest.Claims) string {
	return "Authorization: Bearer " + r.issuer.Token(changes)
}

// status is what Envoy answers the client, 200 for a request that it forwards.
func status(res *authv3.CheckResponse) int {
	if res.GetStatus().GetCode() == 0 {
		return 200
	}
	if code := res.GetDeniedResponse().GetStatus().GetCode(); code != 0 {
		return int(code)
	}
	return 403 // Envoy's default
}

// sets are the headers that an answer sets.
func sets(fields []*corev3.HeaderValueOption) map[string]string {
	m := map[string]string{}
	for _, f := range fields {
		m[f.GetHeader().GetKey()] = f.GetHeader().GetValue()
	}
	return m
}
