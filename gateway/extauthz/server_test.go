package extauthz_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/extauthz"
)

// TestHealth: who asks learns whether the gateway is ready, of either service.
func TestHealth(t *testing.T) {
	r := newRig(t, nil)
	client := healthv1.NewHealthClient(r.conn)
	for _, ready := range []bool{true, false, true} {
		r.server.Ready(ready)
		want := healthv1.HealthCheckResponse_NOT_SERVING
		if ready {
			want = healthv1.HealthCheckResponse_SERVING
		}
		for _, service := range []string{"", "envoy.service.auth.v3.Authorization"} {
			res, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
			if err != nil || res.GetStatus() != want {
				t.Errorf("%q: got %v and %v, want %v", service, res.GetStatus(), err, want)
			}
		}
		if got := status(r.check(http("GET", "/public/x"))); got != 200 {
			t.Errorf("ready %v: got %d, want calls to be answered either way", ready, got)
		}
	}
}

// TestTLS: with a certificate there is TLS, and nothing else.
func TestTLS(t *testing.T) {
	web := httptest.NewUnstartedServer(nil) // for its certificate
	web.StartTLS()
	defer web.Close()
	server, err := extauthz.NewServer(extauthz.Config{Decider: broken{}, TLS: &tls.Config{Certificates: web.TLS.Certificates}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	defer server.Shutdown(context.Background())
	roots := web.Client().Transport.(*nethttp.Transport).TLSClientConfig.RootCAs
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("over TLS: %v", err)
	}
	plain, err := nethttp.Get("http://" + l.Addr().String())
	if err == nil {
		plain.Body.Close()
		t.Error("without TLS there is an answer")
	}
}

// waiting is a decider that waits until it is let go.
type waiting struct{ entered, leave chan struct{} }

func (w waiting) Decide(*nethttp.Request) (*gateway.Decision, *access.Refusal) {
	close(w.entered)
	<-w.leave
	return new(gateway.Decision), &access.Refusal{Reason: access.Denied}
}

func (waiting) Answer(*nethttp.Request, *access.Refusal) (int, nethttp.Header, []byte) {
	return nethttp.StatusForbidden, nil, nil
}

// ask asks the rig's decider, and returns the error of the call.
func (r *rig) ask(answered chan<- error) {
	_, err := r.client.Check(r.tb.Context(), &authv3.CheckRequest{
		Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: http("GET", "/")}},
	})
	answered <- err
}

// TestShutdown: a call under way is answered.
func TestShutdown(t *testing.T) {
	w, answered := waiting{make(chan struct{}), make(chan struct{})}, make(chan error, 1)
	r := serve(t, extauthz.Config{Decider: w})
	go r.ask(answered)
	<-w.entered
	down := make(chan error, 1)
	go func() { down <- r.server.Shutdown(t.Context()) }()
	close(w.leave)
	if err := <-answered; err != nil {
		t.Errorf("the call: %v", err)
	}
	if err := <-down; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// TestShutdownInTime: when time is up, calls under way are broken off, whatever they wait for.
func TestShutdownInTime(t *testing.T) {
	w, answered := waiting{make(chan struct{}), make(chan struct{})}, make(chan error, 1)
	r := serve(t, extauthz.Config{Decider: w})
	go r.ask(answered)
	<-w.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: got %v, want the context's error", err)
	}
	if err := <-answered; err == nil {
		t.Error("the call was answered, want it broken off")
	}
	close(w.leave)
}

// TestUnknownMethod: there is nothing else to call; reflection is off.
func TestUnknownMethod(t *testing.T) {
	r := newRig(t, nil)
	err := r.conn.Invoke(t.Context(), "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", &healthv1.HealthCheckRequest{}, &healthv1.HealthCheckResponse{})
	if got := grpcstatus.Code(err); got != codes.Unimplemented {
		t.Errorf("got %v, want Unimplemented", err)
	}
}

// TestPanicIsLogged: the operator learns of it, the client does not.
func TestPanicIsLogged(t *testing.T) {
	var log bytes.Buffer
	service, err := extauthz.New(extauthz.Config{Decider: broken{panics: true}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := service.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: http("GET", "/")}}}); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "a secret") {
		t.Errorf("the log lacks the panic: %s", got)
	}
}
