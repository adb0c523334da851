package proxies

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/goccy/go-yaml"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// TestEnvoysConfiguration reads the shipped file with Envoy's messages and their validators.
func TestEnvoysConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../deploy/envoy.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	var bootstrap bootstrapv3.Bootstrap
	if err := protojson.Unmarshal(asJSON, &bootstrap); err != nil {
		t.Fatal(err)
	}
	if err := bootstrap.ValidateAll(); err != nil {
		t.Fatal(err)
	}
	manager := new(hcmv3.HttpConnectionManager)
	unpack(t, bootstrap.GetStaticResources().GetListeners()[0].GetFilterChains()[0].GetFilters()[0].GetTypedConfig(), manager)
	if err := manager.ValidateAll(); err != nil {
		t.Error(err)
	}
	ask := new(extauthzv3.ExtAuthz)
	unpack(t, manager.GetHttpFilters()[0].GetTypedConfig(), ask)
	if err := ask.ValidateAll(); err != nil {
		t.Error(err)
	}
	if ask.GetFailureModeAllow() || !ask.GetEncodeRawHeaders() || ask.GetGrpcService().GetEnvoyGrpc().GetClusterName() != "gateway" {
		t.Errorf("asks as %v, want it to refuse on failure, to send raw headers, and to ask the gateway", ask)
	}
	for _, cluster := range bootstrap.GetStaticResources().GetClusters() {
		for _, options := range cluster.GetTypedExtensionProtocolOptions() {
			if m, err := options.UnmarshalNew(); err != nil || m.(interface{ ValidateAll() error }).ValidateAll() != nil {
				t.Errorf("%s: %v: %v", cluster.GetName(), m, err)
			}
		}
	}
}

func unpack(t *testing.T, packed *anypb.Any, to proto.Message) {
	t.Helper()
	if err := packed.UnmarshalTo(to); err != nil {
		t.Fatal(err)
	}
}

// envoy stands for Envoy: it asks the gateway about a request over gRPC, and
// does what the answer says, in Envoy's order.
type envoy struct {
	t       *testing.T
	client  authv3.AuthorizationClient
	forward *httputil.ReverseProxy
	raw     bool // encode_raw_headers
}

func newEnvoy(t *testing.T, r *rig, raw bool) (address string) {
	conn, err := grpc.NewClient(r.extAuthz, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	target, err := url.Parse(r.service.URL)
	if err != nil {
		t.Fatal(err)
	}
	e := &envoy{t: t, client: authv3.NewAuthorizationClient(conn), raw: raw, forward: &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(target)
		p.Out.URL.RawQuery = p.In.URL.RawQuery
	}}}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// ServeHTTP implements http.Handler.
func (e *envoy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	answer, err := e.client.Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request: &authv3.AttributeContext_Request{Http: e.describe(r)},
	}})
	if err != nil { // failure_mode_allow: false, status_on_error: 503
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if answer.GetStatus().GetCode() != 0 {
		denied := answer.GetDeniedResponse()
		for _, f := range denied.GetHeaders() {
			w.Header().Set(f.GetHeader().GetKey(), f.GetHeader().GetValue())
		}
		w.WriteHeader(int(denied.GetStatus().GetCode()))
		io.WriteString(w, denied.GetBody())
		return
	}
	ok := answer.GetOkResponse()
	for _, f := range ok.GetHeaders() {
		if f.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
			e.t.Errorf("%v: want it in place of the client's own", f)
		}
		r.Header.Set(f.GetHeader().GetKey(), f.GetHeader().GetValue())
	}
	for _, name := range ok.GetHeadersToRemove() {
		r.Header.Del(name)
	}
	r.URL.RawQuery = without(r.URL.RawQuery, ok.GetQueryParametersToRemove())
	e.forward.ServeHTTP(w, r)
}

// describe is the request as Envoy describes it.
func (e *envoy) describe(r *http.Request) *authv3.AttributeContext_HttpRequest {
	in := &authv3.AttributeContext_HttpRequest{
		Id: "1", Method: r.Method, Path: r.RequestURI, Host: r.Host, Scheme: "http", Protocol: r.Proto, Size: r.ContentLength,
	}
	fields := map[string][]string{":method": {r.Method}, ":path": {r.RequestURI}, ":authority": {r.Host}, ":scheme": {"http"}}
	for name, values := range r.Header {
		fields[strings.ToLower(name)] = values
	}
	if !e.raw {
		in.Headers = map[string]string{}
		for name, values := range fields {
			in.Headers[name] = strings.Join(values, ",")
		}
		return in
	}
	in.HeaderMap = new(corev3.HeaderMap)
	for name, values := range fields {
		for _, value := range values {
			in.HeaderMap.Headers = append(in.HeaderMap.Headers, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
		}
	}
	return in
}

// without is a query without parameters of these names, which are not decoded.
func without(query string, names []string) string {
	if len(names) == 0 {
		return query
	}
	fields := slices.DeleteFunc(strings.Split(query, "&"), func(field string) bool {
		name, _, _ := strings.Cut(field, "=")
		return slices.Contains(names, name)
	})
	return strings.Join(fields, "&")
}

// TestEnvoy: the gateway's program decides for Envoy as it does for the others.
func TestEnvoy(t *testing.T) {
	r := newBeside(t)
	r.takesAway = true
	for name, raw := range map[string]bool{"raw headers": true, "joined headers": false} {
		t.Run(name, func(t *testing.T) { r.ask(t, newEnvoy(t, r, raw)) })
	}
	address := newEnvoy(t, r, true)
	t.Run("the token in the query stays here", func(t *testing.T) {
		token := r.issuer.Token(reader)
		if res, text := exchange(t, address, "GET", "/reports/1?a=b&access_token="+token, nil, ""); res.StatusCode != 200 {
			t.Fatalf("got %d %q, want 200", res.StatusCode, text)
		}
		if seen := r.service.reached(); len(seen) != 1 || seen[0].RequestURI != "/reports/1?a=b" {
			t.Errorf("the service got %v, want it without the token", seen)
		}
	})
	t.Run("health", func(t *testing.T) {
		conn, err := grpc.NewClient(r.extAuthz, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		res, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: "envoy.service.auth.v3.Authorization"})
		if err != nil || res.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("got %v and %v, want it to serve", res, err)
		}
	})
	r.gateway.stop()
	r.askNobody(t, address, "/reports/1")
}
