package extauthz_test

import (
	nethttp "net/http"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/confidential-token-broker/ctb/gateway"
	"github.com/confidential-token-broker/ctb/gateway/access"
	"github.com/confidential-token-broker/ctb/gateway/extauthz"
)

// TestMalformed: what Envoy would not send is refused, and not judged, although
// the path is open to everybody.
func TestMalformed(t *testing.T) {
	r := newRig(t, nil)
	changed := func(change func(*authv3.AttributeContext_HttpRequest)) *authv3.AttributeContext_HttpRequest {
		in := http("GET", "/public/x")
		change(in)
		return in
	}
	type request = authv3.AttributeContext_HttpRequest
	for name, in := range map[string]*request{
		"nothing":           nil,
		"empty":             {},
		"no method":         changed(func(in *request) { in.Method, in.Headers = "", nil }),
		"a method's line":   changed(func(in *request) { in.Method, in.Headers = "GET /public/x", nil }),
		"no path":           changed(func(in *request) { in.Path, in.Headers = "", nil }),
		"asterisk":          http("OPTIONS", "*"),
		"absolute":          http("GET", "http://service.example/public/x"),
		"a host":            http("GET", "service.example:443"),
		"no slash":          http("GET", "public/x"),
		"fragment":          http("GET", "/public/x#y"),
		"fragment in query": http("GET", "/public/x?a#b"),
		"fragment apart":    changed(func(in *request) { in.Fragment = "y" }),
		"query apart":       changed(func(in *request) { in.Query = "y" }),
		"space":             http("GET", "/public/x y"),
		"line end":          http("GET", "/public/x\r\nX: y"),
		"zero":              http("GET", "/public/x\x00"),
		"bad escape":        http("GET", "/public/%zz"),
		"long path":         http("GET", "/public/"+strings.Repeat("x", 64<<10)),
		"no host":           changed(func(in *request) { in.Host, in.Headers = "", nil }),
		"a host's path":     changed(func(in *request) { in.Host, in.Headers = "service.example/x", nil }),
		"another scheme":    changed(func(in *request) { in.Scheme, in.Headers = "gopher", nil }),
		"another :method":   changed(func(in *request) { in.Headers[":method"] = "POST" }),
		"another :path":     changed(func(in *request) { in.Headers[":path"] = "/reports/1" }),
		"another authority": changed(func(in *request) { in.Headers[":authority"] = "other.example" }),
		"another Host":      http("GET", "/public/x", "Host: other.example"),
		"no header's name":  changed(func(in *request) { in.Headers[""] = "x" }),
		"a name with colon": changed(func(in *request) { in.Headers["a:b"] = "x" }),
		"a name with space": changed(func(in *request) { in.Headers["authorization "] = "x" }),
		"a value's line":    http("GET", "/public/x", "Accept: a\r\nX-User: root"),
		"a value's zero":    http("GET", "/public/x", "Accept: a\x00"),
		"much header":       http("GET", "/public/x", "Accept: "+strings.Repeat("x", 96<<10)),
		"many headers":      raw("GET", "/public/x", strings.Split(strings.Repeat("A: b\n", 1000)+"A: b", "\n")...),
		"both maps": changed(func(in *request) {
			in.HeaderMap = &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "a", RawValue: []byte("b")}}}
		}),
		"two values in one": changed(func(in *request) {
			in.Headers, in.HeaderMap = nil, &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: "a", RawValue: []byte("b"), Value: "c"}}}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			res := r.check(in)
			if got := status(res); got != 400 || codes.Code(res.GetStatus().GetCode()) != codes.InvalidArgument {
				t.Errorf("got %d, want 400 and InvalidArgument: %v", got, res)
			}
		})
	}
	if got := status(r.check(http("GET", "/public/x"))); got != 200 {
		t.Fatalf("unchanged: got %d, want 200: what is above was refused for another reason", got)
	}
}

// TestMethods: CONNECT is no request for a path, whatever path it has.
func TestMethods(t *testing.T) {
	r := newRig(t, nil)
	if got := status(r.check(http("CONNECT", "/public/x"))); got == 200 {
		t.Error("CONNECT is let through")
	}
}

// TestTooLarge: a call that is larger than any header is refused before it is read.
func TestTooLarge(t *testing.T) {
	r := newRig(t, nil)
	in := http("GET", "/public/x")
	in.RawBody = make([]byte, 1<<20)
	_, err := r.client.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: in}}})
	if got := grpcstatus.Code(err); got != codes.ResourceExhausted {
		t.Errorf("got %v, want ResourceExhausted", err)
	}
}

// TestNoAttributes: an empty call is a denial.
func TestNoAttributes(t *testing.T) {
	r := newRig(t, nil)
	for _, in := range []*authv3.CheckRequest{{}, {Attributes: &authv3.AttributeContext{}}, {Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{}}}} {
		res, err := r.client.Check(t.Context(), in)
		if err != nil || status(res) != 400 {
			t.Errorf("got %v and %v, want 400", res, err)
		}
	}
}

// broken is a decider that does what none should.
type broken struct {
	panics  bool
	status  int
	header  nethttp.Header
	body    string
	refusal *access.Refusal
}

func (b broken) Decide(*nethttp.Request) (*gateway.Decision, *access.Refusal) {
	if b.panics {
		panic("a secret")
	}
	return new(gateway.Decision), b.refusal
}

func (b broken) Answer(*nethttp.Request, *access.Refusal) (int, nethttp.Header, []byte) {
	return b.status, b.header, []byte(b.body)
}

// TestFailsClosed: whatever goes wrong inside is a denial that tells nothing, and
// no error of the call: those Envoy may be told to ignore.
func TestFailsClosed(t *testing.T) {
	denied := &access.Refusal{Reason: access.Denied, Public: "no"}
	for name, b := range map[string]broken{
		"panic":                  {panics: true},
		"a refusal that says OK": {refusal: denied, status: 200},
		"a redirect":             {refusal: denied, status: 302},
		"no status":              {refusal: denied},
		"a status of no class":   {refusal: denied, status: 999},
		"a header of two lines":  {refusal: denied, status: 403, header: nethttp.Header{"X": {"a\r\nb"}}},
		"a header of no text":    {refusal: denied, status: 403, header: nethttp.Header{"X": {"\xff"}}},
		"a header without name":  {refusal: denied, status: 403, header: nethttp.Header{"": {"x"}}},
		"a body of no text":      {refusal: denied, status: 403, body: "\xff"},
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, extauthz.Config{Decider: b})
			res := r.check(http("GET", "/public/x"))
			if got := status(res); got != 503 {
				t.Errorf("got %d, want 503", got)
			}
			if strings.Contains(res.String(), "secret") {
				t.Errorf("the answer tells of the inside: %v", res)
			}
		})
	}
}

func TestWithoutDecider(t *testing.T) {
	if _, err := extauthz.NewServer(extauthz.Config{}); err == nil {
		t.Error("got a server that has nobody to ask, want an error")
	}
	if _, err := extauthz.New(extauthz.Config{}); err == nil {
		t.Error("got a service that has nobody to ask, want an error")
	}
}
